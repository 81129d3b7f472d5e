# SPDX-License-Identifier: Apache-2.0
"""The method stands alone: no ROS, PyTorch or SciPy, nothing of the rest of the package."""

import ast
import importlib
from pathlib import Path
import subprocess
import sys

import pytest

VISION = Path(__file__).resolve().parents[2] / 'tunnel_crack_ros' / 'vision'
FILES = sorted(VISION.rglob('*.py'))
BLOCKED = ('rclpy', 'torch', 'torchvision', 'timm', 'sensor_msgs', 'std_msgs', 'cv_bridge',
           'tunnel_crack_msgs', 'ament_index_python', 'rosbags', 'scipy', 'skimage')


def imported(file: Path) -> set[str]:
    """Return the full names of all modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'relative imports would slip through'
            names |= {node.module, *(f'{node.module}.{alias.name}' for alias in node.names)}
    return names


@pytest.mark.parametrize('file', FILES, ids=lambda file: str(file.relative_to(VISION)))
def test_the_method_imports_nothing_of_ros_or_the_other_parts(file):
    for name in imported(file):
        top = name.split('.')[0]
        assert top not in BLOCKED
        if top == 'tunnel_crack_ros':
            assert name == top or name.startswith('tunnel_crack_ros.vision')


def test_the_method_works_where_none_of_them_is_installed():
    modules = ['.'.join(file.relative_to(VISION.parents[1]).with_suffix('').parts)
               for file in FILES]
    code = f"""
import importlib, sys
for name in {BLOCKED!r}:
    sys.modules[name] = None
for name in {modules!r}:
    importlib.import_module(name.removesuffix('.__init__'))
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=VISION.parents[1],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_method_gives_all_names_that_it_promises():
    """They are imported when they are asked for; type checkers read them elsewhere."""
    module = importlib.import_module('tunnel_crack_ros.vision')
    listed = [name for names in module._FILES.values() for name in names]
    typed = {alias.name for node in ast.walk(ast.parse(Path(module.__file__).read_text()))
             if isinstance(node, ast.ImportFrom) and node.module.startswith('tunnel_crack_ros')
             for alias in node.names}
    assert sorted(listed) == module.__all__
    assert typed == set(listed)
    assert all(getattr(module, name) is not None for name in listed)
    with pytest.raises(AttributeError, match='nothing_here'):
        module.nothing_here  # noqa: B018


def test_classifying_starts_without_what_measures():
    """All else that a classifier needs is imported sooner."""
    code = ('import sys; from tunnel_crack_ros.vision import CrackClassifier, Model; '
            'assert not [name for name in sys.modules if "vision.geometry" in name]')
    subprocess.run([sys.executable, '-c', code], cwd=VISION.parents[1], check=True, timeout=60)
