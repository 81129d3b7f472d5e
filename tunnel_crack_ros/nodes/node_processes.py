# SPDX-License-Identifier: Apache-2.0
"""Start nodes as processes without `launch`, in a ROS domain of their own on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
import os
from pathlib import Path
import random
import signal
import subprocess
import sys

from tunnel_crack_ros.nodes.node_table import fastdds_environment, Process

_END_S = 10.0  # a node that has not ended by itself after this is killed


def share_folder() -> Path:
    """Return the folder that holds the package's config/: installed, or the checkout.

    :raises FileNotFoundError: there is neither.
    """
    for folder in Path(__file__).resolve().parents:
        installed = folder / 'share' / 'tunnel_crack_ros'
        for candidate in (folder, installed):
            if (candidate / 'config' / 'tunnel_crack.yaml').is_file():
                return candidate
    raise FileNotFoundError('config/tunnel_crack.yaml: neither in the checkout nor installed')


def use_private_domain() -> None:
    """Keep this process and its children to themselves. Call it before rclpy starts."""
    os.environ.update(
        ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST', ROS_DOMAIN_ID=str(random.randint(1, 101)),
        **fastdds_environment(share_folder()))


@contextmanager
def running(processes: Sequence[Process], log_folder: Path) -> Iterator[list[subprocess.Popen]]:
    """Run nodes while the block runs; end them with it, as Ctrl-C would.

    :param processes: entries of the node table, of this package.
    :param log_folder: gets one `<node>.log` each, and the parameters that were asked for.
    """
    log_folder.mkdir(parents=True, exist_ok=True)
    started: list[subprocess.Popen] = []
    try:
        for process in processes:
            arguments = process.command(Path(), log_folder)[1:]
            command = [sys.executable, '-m', f'tunnel_crack_ros.nodes.{process.executable}_node',
                       *arguments]
            with (log_folder / f'{process.name}.log').open('w') as log:
                started.append(subprocess.Popen(
                    command, stdout=log, stderr=subprocess.STDOUT,
                    env={**os.environ, **process.environment}))
        yield started
    finally:
        for running_process in started:
            running_process.send_signal(signal.SIGINT)
        for running_process in started:
            try:
                running_process.wait(_END_S)
            except subprocess.TimeoutExpired:
                running_process.kill()
                running_process.wait()
