# SPDX-License-Identifier: Apache-2.0
"""The demonstration: a simulated inspection, replayed through the live nodes, results kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
import csv
from dataclasses import dataclass, replace
import math
from pathlib import Path
import shutil
import subprocess
import sys
import time

import numpy as np
import rclpy
from rclpy.node import Node
import yaml

from tunnel_crack_ros.inspection.frame_record import FrameRecord
from tunnel_crack_ros.inspection.result_folder import Summary
from tunnel_crack_ros.nodes.node_processes import running, share_folder, use_private_domain
from tunnel_crack_ros.nodes.node_table import Camera, node_table, Settings
from tunnel_crack_ros.nodes.result_recorder import ResultRecorder
from tunnel_crack_ros.nodes.run_node import keep_large_buffers
from tunnel_crack_ros.simulation import is_complete, simulate, SimulationSettings, spread_cameras
from tunnel_crack_ros.simulation.lining import tunnel_radius_m
from tunnel_crack_ros.vision import Label
from tunnel_crack_ros.vision.picture_file import read_picture, write_picture

_CAMERAS = ('left', 'right')
_START_S = 60.0     # for the nodes to load their models
_QUIET_S = 3.0      # without a result after the last frame: nothing more will come
_SHEET = (4, 3)     # columns and rows of the contact sheet
_DRIVE = 'demo_drive'   # written anew where it is another; `simulate` has a folder of its own
Bar = Callable[[int, int], None]


class DemoError(RuntimeError):
    """The demonstration could not be run to its end."""


@dataclass(frozen=True)
class Outcome:
    """What came of the demonstration."""

    folder: Path
    summary: Summary
    published: int
    segmented: int
    seconds: float
    cracked_seen: int = 0
    cracked: int = 0
    """Frames with a crack in the truth that were judged, and how many of them were flagged."""
    clean_flagged: int = 0
    clean: int = 0
    """Frames without, and how many of them were flagged."""

    def text(self) -> str:
        """Say it in a few lines, the folder last."""
        dropped = self.published - self.summary.frames
        not_segmented = self.summary.flagged - self.segmented
        return '\n'.join([
            f'{self.published} frames replayed in {self.seconds:.0f} s through classifier and '
            f'segmenter; dropped: {dropped} frames, {not_segmented} flagged frames',
            self.summary.sentence(),
            f'against the truth: {self.cracked_seen} of {self.cracked} cracked frames flagged, '
            f'{self.clean_flagged} of {self.clean} crack-free frames flagged',
            f'Look at {self.folder}/contact_sheet.jpg and {self.folder}/live/overlays/'])


def run_demo(out: Path, frames: int, rate: float, seed: int,
             partial_bar: Callable[[str], Bar]) -> Outcome:
    """Render, replay, record.

    :param out: folder: `demo_drive/` (bag and truth), `live/` (results), `log/` (of the nodes).
    :param frames: of each of the two cameras.
    :param rate: times the speed of the drive.
    :param seed: which tunnel and drive.
    :param partial_bar: makes a progress bar (done, of) with a title.
    :raises DemoError: a node did not start, or the replay failed.
    :raises OSError: the folder cannot be written.
    """
    settings = SimulationSettings(seed=seed, frames=frames, cameras=spread_cameras(_CAMERAS))
    bag = _simulated(settings, out / _DRIVE, partial_bar('Rendering'))
    live = out / 'live'
    use_private_domain()
    keep_large_buffers()
    # frames may wait here: a demonstration shall show its cracks on a slow machine, too
    table = [replace(process, parameters={**process.parameters, 'queue_depth': 100,
                                          **(_ring(settings) if process.name == 'segmenter'
                                             else {})})
             for process in node_table(
                 Settings(cameras=tuple(Camera(name) for name in _CAMERAS),
                          transport='compressed', odometry='/odom'), share_folder())]
    rclpy.init()
    node = rclpy.create_node('result_recorder')
    try:
        recorder = ResultRecorder(node, list(_CAMERAS), live, tunnel_radius_m(settings))
        with running(table, out / 'log') as processes:
            _await_nodes(node, processes, out / 'log')
            start = time.monotonic()
            _replay(node, recorder, bag, rate, len(_CAMERAS) * frames, partial_bar('Inspecting'))
            seconds = time.monotonic() - start
    finally:
        node.destroy_node()
        rclpy.shutdown()
    summary = recorder.close({'recording': str(bag)})
    _contact_sheet(recorder.records(), live, out / 'contact_sheet.jpg')
    return _against_truth(
        Outcome(out, summary, len(_CAMERAS) * frames, recorder.segmented, seconds),
        recorder.records(), out / _DRIVE / 'truth' / 'frames.csv')


def _ring(settings: SimulationSettings) -> dict[str, object]:
    """Return what an operator would say of the tunnel and of how the cameras are mounted."""
    # the simulator counts angles to the left, and turns cameras right of the crown upside down
    return {'tunnel_radius_m': tunnel_radius_m(settings),
            'camera_roll': [-math.radians(camera.angle_deg) for camera in settings.cameras],
            'axis_angle': [0.0 if camera.angle_deg >= 0.0 else math.pi
                           for camera in settings.cameras]}


def _simulated(settings: SimulationSettings, folder: Path, bar: Bar) -> Path:
    """Render the inspection unless the folder already holds this very one."""
    known = folder / 'settings.yaml'
    with suppress(FileNotFoundError, yaml.YAMLError):
        if is_complete(folder) and yaml.safe_load(known.read_text()) == yaml.safe_load(
                yaml.safe_dump(settings.as_dict())):
            bar(settings.frames, settings.frames)
            return folder / 'bag'
    if known.exists():  # an older demonstration's, or one cut short; not somebody's data
        shutil.rmtree(folder)
    return simulate(settings, folder, bar).bag


def _await_nodes(node: Node, processes: list[subprocess.Popen], logs: Path) -> None:
    end = time.monotonic() + _START_S
    needed = [f'{camera}/flagged/compressed' for camera in _CAMERAS]
    while any(node.count_subscribers(topic) == 0 for topic in needed) or any(
            node.count_publishers(f'{camera}/{topic}') == 0 for camera in _CAMERAS
            for topic in ('verdict', 'overlay')):
        if time.monotonic() > end or any(process.poll() is not None for process in processes):
            raise DemoError(f'the nodes did not start; see {logs}/')
        rclpy.spin_once(node, timeout_sec=0.1)


def _replay(node: Node, recorder: ResultRecorder, bag: Path, rate: float, frames: int,
            bar: Bar) -> None:
    command = [sys.executable, '-m', 'tunnel_crack_ros.cli', 'replay', str(bag), '--wait',
               '--rate', str(rate)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as player:
        seen, last_news = -1, time.monotonic()
        while player.poll() is None or time.monotonic() < last_news + _QUIET_S:
            rclpy.spin_once(node, timeout_sec=0.1)
            if (now := recorder.verdicts + recorder.segmented + recorder.overlays) != seen:
                seen, last_news = now, time.monotonic()
                bar(recorder.verdicts, frames)
            if recorder.verdicts == frames and recorder.overlays == recorder.flagged \
                    and player.poll() is not None:
                break
        if player.returncode:
            raise DemoError(f'the replay of {bag} failed')


def _contact_sheet(records: list[FrameRecord], live: Path, file: Path) -> None:
    """Put a dozen overlays, evenly chosen, into one picture."""
    file.unlink(missing_ok=True)    # an earlier demonstration's
    overlays = [live / 'overlays' / f'{record.name}.jpg' for record in records
                if record.cracks and (live / 'overlays' / f'{record.name}.jpg').exists()]
    if not overlays:
        return
    columns, rows = _SHEET
    chosen = [overlays[i] for i in np.unique(
        np.linspace(0, len(overlays) - 1, columns * rows).round().astype(int))]
    pictures = [read_picture(path) for path in chosen]
    pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
    sheet = np.vstack([np.hstack(pictures[i:i + columns])
                       for i in range(0, len(pictures), columns)])
    write_picture(file, sheet)


def _against_truth(outcome: Outcome, records: list[FrameRecord], truth: Path) -> Outcome:
    """Count flagged frames among those with and without a crack."""
    with truth.open(newline='') as file:
        cracked = {(row['camera'], row['stamp_ns']): float(row['crack_px']) > 0
                   for row in csv.DictReader(file)}
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for record in records:
        if record.verdict in (Label.CRACK.name, Label.NO_CRACK.name):
            stamp_ns = record.stamp[0] * 1_000_000_000 + record.stamp[1]
            counts[cracked[record.camera, str(stamp_ns)],
                   record.verdict == Label.CRACK.name] += 1
    return replace(outcome, cracked_seen=counts[True, True],
                   cracked=counts[True, True] + counts[True, False],
                   clean_flagged=counts[False, True],
                   clean=counts[False, True] + counts[False, False])
