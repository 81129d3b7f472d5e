# SPDX-License-Identifier: Apache-2.0
"""Toy models for the tests of the method."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def load_toy_models() -> ModuleType:
    """Load the file beside this one: folders of tests are no packages."""
    path = Path(__file__).with_name('toy_models.py')
    spec = importlib.util.spec_from_file_location('toy_models', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def toy_models() -> ModuleType:
    return load_toy_models()


@pytest.fixture(scope='session')
def toy_folder(toy_models, tmp_path_factory) -> Path:
    """Return a folder with one toy model of each task."""
    folder = tmp_path_factory.mktemp('models')
    for task in ('classifier', 'segmenter'):
        toy_models.write_model(folder, task)
    return folder
