# SPDX-License-Identifier: Apache-2.0
"""The command finds its venv from wherever it is called."""

from pathlib import Path
import subprocess

import pytest

COMMAND = Path(__file__).parents[2] / 'bin' / 'tunnel_crack'


@pytest.mark.parametrize('links', [[], ['home/tc'], ['home/tc', 'home/again']])
@pytest.mark.parametrize('relative', [False, True])
def test_the_command_runs_its_venvs_python_through_links(tmp_path, links, relative):
    venv, home = tmp_path / 'venv', tmp_path / 'home'
    (venv / 'bin').mkdir(parents=True)
    home.mkdir()
    (venv / 'pyvenv.cfg').touch()
    python = venv / 'bin' / 'python'
    python.write_text('#!/bin/sh\necho "$AMENT_PREFIX_PATH" "$@"\n')
    python.chmod(0o755)
    called = venv / 'bin' / 'tunnel_crack'
    called.symlink_to(COMMAND)      # as a symlink install does
    for name in links:
        target = called
        if relative:
            target = Path('..') / called.relative_to(tmp_path)
        called = tmp_path / name
        called.symlink_to(target)
    said = subprocess.run([called, 'models', 'a b'], env={'PATH': '/usr/bin:/bin'}, check=True,
                          capture_output=True, text=True).stdout
    assert said == f'{venv} -m tunnel_crack_ros.cli models a b\n'
