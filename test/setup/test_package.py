# SPDX-License-Identifier: Apache-2.0
"""What the packages declare, and what an installed copy holds."""

from importlib import metadata
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import tunnel_crack_ros

REPOSITORY = Path(__file__).resolve().parents[2]


def pinned(file: str) -> set[str]:
    """Return the names of a file of pins."""
    return {canonical(line) for line in (REPOSITORY / 'constraints' / file).read_text().split('\n')
            if line and not line.startswith('#')}


def canonical(requirement: str) -> str:
    return re.sub(r'[-_.]+', '-', re.match(r'[\w.-]+', requirement)[0]).lower()


def required(extra: str = '') -> set[str]:
    try:
        found = metadata.requires('tunnel-crack-ros') or []
    except metadata.PackageNotFoundError:
        pytest.skip('tunnel_crack_ros is not installed')
    return {canonical(line) for line in found
            if (f'extra == "{extra}"' in line.replace("'", '"') if extra else 'extra' not in line)}


def test_everything_required_is_pinned():
    assert required() | required('test') <= pinned('python.txt')
    assert required('training') <= pinned('training.txt')


def test_pytorch_comes_with_training_alone():
    for file in ('python.txt', 'ros-jazzy.txt', 'ros-kilted.txt'):
        assert not {'torch', 'torchvision', 'timm'} & pinned(file)


def test_there_is_one_opencv():
    for file in ('python.txt', 'training.txt'):
        assert {name for name in pinned(file) if name.startswith('opencv')} <= {
            'opencv-python-headless'}


def test_all_versions_agree():
    versions = {ElementTree.parse(REPOSITORY / path).findtext('version')
                for path in ('package.xml', 'tunnel_crack_msgs/package.xml')}
    assert versions == {tunnel_crack_ros.__version__}
    assert f'## {tunnel_crack_ros.__version__}' in (REPOSITORY / 'CHANGELOG.md').read_text()


def test_every_message_is_built():
    listed = set(re.findall(r'(?:msg|action)/\w+\.(?:msg|action)', (
        REPOSITORY / 'tunnel_crack_msgs' / 'CMakeLists.txt').read_text()))
    there = {path.relative_to(REPOSITORY / 'tunnel_crack_msgs').as_posix() for path in (
        REPOSITORY / 'tunnel_crack_msgs').glob('*/*.*') if path.suffix in ('.msg', '.action')}
    assert listed == there


@pytest.mark.skipif(shutil.which('colcon') is None, reason='colcon is not installed')
def test_an_installed_copy_is_complete(tmp_path):
    subprocess.run(
        ['colcon', '--log-base', tmp_path / 'log', 'build', '--merge-install',
         '--install-base', tmp_path / 'install', '--build-base', tmp_path / 'build',
         '--base-paths', REPOSITORY, '--packages-select', 'tunnel_crack_ros'],
        cwd=tmp_path, check=True, capture_output=True, timeout=120)
    install = tmp_path / 'install'
    share = install / 'share' / 'tunnel_crack_ros'
    package, = install.glob('lib/python3*/site-packages/tunnel_crack_ros')
    for folder, pattern, copy in (('tunnel_crack_ros', '**/*.py', package),
                                  ('launch', '*.launch.py', share / 'launch'),
                                  ('config', '*', share / 'config'),
                                  ('models', '*.*', share / 'models')):
        source = REPOSITORY / folder
        for path in source.glob(pattern):
            assert (copy / path.relative_to(source)).is_file(), f'{path} is not installed'
    for name in ('classifier', 'segmenter', 'tunnel_crack'):
        assert os.access(install / 'lib' / 'tunnel_crack_ros' / name, os.X_OK)
    assert os.access(install / 'bin' / 'tunnel_crack', os.X_OK)
    assert (install / 'share/ament_index/resource_index/packages/tunnel_crack_ros').is_file()


@pytest.mark.skipif(not (Path(sys.prefix) / 'bin' / 'tunnel_crack').exists(),
                    reason='this is not the venv of make setup')
def test_the_command_runs_without_sourcing(tmp_path):
    run = subprocess.run(
        [Path(sys.prefix) / 'bin' / 'tunnel_crack', '--help'], cwd=tmp_path, check=True,
        env={'HOME': str(tmp_path), 'PATH': '/usr/bin:/bin'}, capture_output=True, text=True)
    assert 'simulate' in run.stdout
