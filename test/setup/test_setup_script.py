# SPDX-License-Identifier: Apache-2.0
"""What `make setup` says when something is missing. Each run ends before it makes anything."""

import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / 'tools' / 'setup.sh'

if not SCRIPT.exists() or sys.platform != 'linux' or os.uname().machine != 'x86_64':
    pytest.skip('tools/setup.sh is for Linux x86_64', allow_module_level=True)


def complaint(tmp_path: Path, **environment: str) -> str:
    """Run the script, which must fail before it makes a venv, and return what it said."""
    venv = tmp_path / 'venv'
    clean = {key: value for key, value in os.environ.items()
             if key in ('HOME', 'PATH', 'LANG')}
    run = subprocess.run(
        ['bash', str(SCRIPT)], capture_output=True, text=True, timeout=60, check=False,
        env={**clean, 'PYTHON': sys._base_executable, 'VENV': str(venv), **environment})
    assert run.returncode == 1, run.stdout + run.stderr
    assert not (venv / 'bin').exists()
    return run.stdout + run.stderr


def path_without(tmp_path: Path, *missing: str) -> str:
    """Make a PATH that has every command of this machine but some."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for directory in ('/usr/local/bin', '/usr/bin', '/bin'):
        for command in Path(directory).glob('*'):
            link = folder / command.name
            if command.name not in missing and not link.is_symlink():
                link.symlink_to(command)
    return str(folder)


def fake_python(tmp_path: Path, version: str) -> str:
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/sh\necho {version}\n')
    python.chmod(0o755)
    return str(python)


def test_missing_tools_are_named_with_the_command_that_installs_them(tmp_path):
    said = complaint(tmp_path, PATH=path_without(tmp_path, 'cmake', 'g++'))
    assert 'missing: cmake, g++. Install with' in said
    assert 'sudo apt-get install -y cmake g++' in said


def test_a_python_without_venv_and_headers_is_named(tmp_path):
    python = tmp_path / 'python'
    # as on Debian without python3-venv and python3-dev
    python.write_text(f"""#!/bin/sh
case "$2" in
    *ensurepip*) exit 1 ;;
    *get_path*) echo /no/include ;;
    *) exec {sys._base_executable} "$@" ;;
esac
""")
    python.chmod(0o755)
    version = f'{sys.version_info[0]}.{sys.version_info[1]}'
    said = complaint(tmp_path, PYTHON=str(python))
    assert f'missing: the module venv of Python {version}, /no/include/Python.h' in said
    assert f'apt-get install -y python{version}-venv python{version}-dev' in said


def test_a_python_that_has_no_wheels_is_refused(tmp_path):
    said = complaint(tmp_path, PYTHON=fake_python(tmp_path, '3.9'))
    assert 'is Python 3.9; expected 3.10 to 3.13' in said


def test_a_python_that_is_not_there_is_refused(tmp_path):
    assert 'PYTHON=python4: no such command' in complaint(tmp_path, PYTHON='python4')


def test_a_distribution_without_wheels_is_refused_and_the_way_out_named(tmp_path):
    said = complaint(tmp_path, ROS_DISTRO='humble')
    assert 'ROS_DISTRO=humble, but PyPI has wheels of jazzy and kilted only' in said
    assert 'colcon build' in said


def test_a_sourced_ros_2_is_left_out_and_that_is_said(tmp_path):
    said = complaint(tmp_path, ROS_DISTRO='humble', AMENT_PREFIX_PATH='/opt/ros/humble')
    assert 'a ROS 2 is sourced here (/opt/ros/humble). make does not use it' in said


@pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')
def test_make_alone_lists_what_it_can_do():
    run = subprocess.run(['make'], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for target in ('setup', 'demo', 'test', 'setup-training', 'test-training', 'lint', 'clean'):
        assert f'make {target} ' in run.stdout
