# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('ament_flake8', reason='ament_flake8 is not installed')
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.flake8
@pytest.mark.linter
def test_code_follows_ament_flake8():
    folders = [name for name in ('launch', 'test', 'tools', 'tunnel_crack_ros')
               if (REPOSITORY / name).is_dir()]
    # A process of its own: flake8 forks workers, and a fork of a process in which ROS 2 has run
    # (its threads, their locks) may crash or never end.
    run = subprocess.run(
        [sys.executable, '-m', 'ament_flake8.main', '--config', '.flake8', 'setup.py', *folders],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
