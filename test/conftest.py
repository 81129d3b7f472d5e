# SPDX-License-Identifier: Apache-2.0
"""What every test session shares: a ROS 2 domain of its own that stays on this machine."""

import fcntl
import importlib.util
import os
from pathlib import Path
import random
import sys
import tempfile

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# Above 101 the ports of a domain overlap those that Linux hands out to anybody.
DOMAINS = range(1, 102)
_held = []


def free_domain() -> int:
    """Return a ROS_DOMAIN_ID that no other test session on this machine uses.

    It is held by a lock on a file, which the system takes back however the session ends.
    """
    folder = Path(tempfile.gettempdir()) / f'tunnel_crack_ros_domains_{os.getuid()}'
    folder.mkdir(exist_ok=True)
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        lock = (folder / str(domain)).open('w')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        return domain
    raise RuntimeError(f'all {len(DOMAINS)} domains are taken by test sessions: see {folder}')


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment of all nodes and processes that the tests start."""
    # Plain assignment: nothing set outside may let a test's messages leave this machine.
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_LOCALHOST_ONLY'] = '1' if os.environ.get('ROS_DISTRO') == 'humble' else '0'
    os.environ.pop('ROS_STATIC_PEERS', None)
    os.environ.pop('ROS_DISCOVERY_SERVER', None)
    os.environ['ROS_DOMAIN_ID'] = str(free_domain())
    os.environ['ROS_LOG_DIR'] = tempfile.mkdtemp(prefix='tunnel_crack_ros_log_')
    profile = str(REPOSITORY / 'config' / 'fastdds_local.xml')
    # The first name is read up to Jazzy, the second from Kilted on.
    os.environ['FASTRTPS_DEFAULT_PROFILES_FILE'] = profile
    os.environ['FASTDDS_DEFAULT_PROFILES_FILE'] = profile
    if (Path(sys.prefix) / 'share' / 'ament_index').is_dir():
        prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
        if sys.prefix not in prefixes:
            prefixes.insert(0, sys.prefix)
            os.environ['AMENT_PREFIX_PATH'] = os.pathsep.join(filter(None, prefixes))
    if wants_training(config) and importlib.util.find_spec('torch') is None:
        raise pytest.UsageError(
            'PyTorch is not installed, so no test of training can run: make setup-training')


def wants_training(config: pytest.Config) -> bool:
    """Tell whether the session was asked for the tests that are marked `training`."""
    return config.getoption('markexpr') != 'not training'


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave test/training alone unless it is asked for: its files import PyTorch."""
    if collection_path.parent.name == 'test' and collection_path.name == 'training':
        return not wants_training(config) or None
    return None
