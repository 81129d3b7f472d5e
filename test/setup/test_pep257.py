# SPDX-License-Identifier: Apache-2.0
import logging
from pathlib import Path

import pytest

ament_pep257 = pytest.importorskip('ament_pep257.main', reason='ament_pep257 is not installed')
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.linter
@pytest.mark.pep257
def test_docstrings_follow_pep257(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    # It names every file it checks.
    monkeypatch.setattr(logging.root.manager, 'disable', logging.INFO)
    # A summary stands on the first line (not D213); a question may be one (D400).
    failed = ament_pep257.main(
        argv=['--add-ignore', 'D213', 'D400', '--', 'setup.py', 'launch', 'tools',
              'tunnel_crack_ros'])
    assert failed == 0, 'see the list of errors above'
