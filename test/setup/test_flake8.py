# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest

ament_flake8 = pytest.importorskip('ament_flake8.main', reason='ament_flake8 is not installed')
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.flake8
@pytest.mark.linter
def test_code_follows_ament_flake8(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    folders = [name for name in ('launch', 'test', 'tools', 'tunnel_crack_ros')
               if os.path.isdir(name)]
    failed, errors = ament_flake8.main_with_errors(
        argv=['--config', '.flake8', 'setup.py', *folders])
    assert not failed, '\n'.join(errors)
