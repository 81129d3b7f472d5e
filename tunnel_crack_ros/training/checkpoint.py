# SPDX-License-Identifier: Apache-2.0
"""The files of a training run, `<model>.best.pt` and `<model>.last.pt`, and of its start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import pickle
from typing import Any

import torch

from tunnel_crack_ros.training.licences import images_by_source
from tunnel_crack_ros.training.models import Architecture, architecture
from tunnel_crack_ros.training.published_weights import adapted
from tunnel_crack_ros.vision.model_card import ModelCard


def read_checkpoint(path: Path, model: str | None = None) -> dict[str, Any]:
    """Read a `.best.pt`: a trained network.

    :param model: the name that it must carry.
    :raises ValueError: no such file, none that `train` wrote as its best, or one of another model.
    """
    return _of_train(path, 'network', '.best.pt, a trained network', model)


def read_run(path: Path, model: str | None = None) -> dict[str, Any]:
    """Read a `.last.pt`: a run that can go on.

    :param model: the name that it must carry.
    :raises ValueError: no such file, none that `train` wrote as its last, or one of another model.
    """
    return _of_train(path, 'run', '.last.pt, a run that can go on', model)


def read_start(path: Path) -> dict[str, Any]:
    """Read what a run may start from: a `.best.pt`, or weights as torchvision publishes them.

    :return: `network`, the state dict, and `model`, the file's name where it is a plain one.
    :raises ValueError: no such file, or neither.
    """
    state = _load(path)
    if 'network' in state:
        return state
    if state and all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        return {'model': path.name, 'network': adapted(state)}
    raise ValueError(f'{path} holds no network; expected a .best.pt of `train`, or a state dict '
                     '(names and tensors) as torchvision publishes them')


def plan_of(state: Mapping[str, Any], input_side: int = 0) -> Architecture:
    """Look up the network of a checkpoint, with the input size that it was trained at.

    :param state: a `.best.pt`.
    :param input_side: classifiers: of the input, px, instead; 0: as trained.
    :raises ValueError: a network that cannot take such an input.
    """
    trained_at: int = state.get('recipe', {}).get('input_side', 0)
    return architecture(state['model'], input_side or trained_at)


def write_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write one, whole or not at all."""
    # whoever stops the run while it writes keeps the checkpoint before
    unfinished = path.with_suffix('.unfinished')
    torch.save(state, unfinished)
    unfinished.replace(path)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in which entries, those of the recipe among them, two runs differ; '' in none."""
    names = [name for name in now if name != 'recipe' and before.get(name) != now[name]]
    recipe = before.get('recipe', {})
    names += [f'recipe.{name}' for name, value in now['recipe'].items()
              if recipe.get(name) != value]
    return ', '.join(names)


def data_of_start(path: Path) -> dict[str, int]:
    """Read what a checkpoint or a deployed model was trained on: images by source.

    :param path: `.best.pt`, `.onnx` with its card beside it, or a plain state dict, of which
        nothing is known.
    """
    if path.suffix == '.onnx':
        return images_by_source(ModelCard.read(path.with_suffix('.yaml')))
    return dict(read_start(path).get('training_data', {}))


def _of_train(path: Path, part: str, kind: str, model: str | None) -> dict[str, Any]:
    state = _load(path)
    if 'model' not in state or part not in state:
        raise ValueError(f"{path}: found {', '.join(list(state)[:5]) or 'nothing'}; expected a "
                         f'{kind}, as `train` writes it')
    if model is not None and state['model'] != model:
        raise ValueError(f"{path} is a checkpoint of {state['model']}; expected {model}")
    return state


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f'{path}: no such checkpoint')
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f'{path}: PyTorch cannot read it as weights alone '
                         f'({type(error).__name__})') from error
    return state if isinstance(state, dict) else {}
