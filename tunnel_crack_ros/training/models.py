# SPDX-License-Identifier: Apache-2.0
"""The networks that can be trained, by name. Adding one is one line in `ARCHITECTURES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from tunnel_crack_ros.training.imagenet import efficientnet_lite0_weights, load_backbone


@dataclass(frozen=True, slots=True)
class Tap:
    """A tensor inside the network that the explainer may look at."""

    module: str             # dotted path
    of_input: bool = False  # the module's input instead of its output


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network, what it is for, and where its layers are."""

    title: str
    task: str                               # classifier or segmenter
    build: Callable[[bool], nn.Module]      # argument: start from ImageNet weights
    input_size: tuple[int, int]             # width, height
    taps: Mapping[str, Tap] = field(default_factory=dict)


class Normalise(nn.Module):
    """Camera pixels to the network's numbers: the first layer of every exported graph."""

    # as the ImageNet weights of EfficientNet-Lite expect them: (pixel - 127) / 128
    MEAN = 127.0
    STD = 128.0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn uint8 N x H x W x 3 into float32 N x 3 x H x W."""
        return (image.permute(0, 3, 1, 2).float() - self.MEAN) / self.STD


def architecture(name: str) -> Architecture:
    """Look a network up.

    :raises ValueError: no network of that name.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown model '{name}'; expected one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def _lite0_classifier(pretrained: bool) -> nn.Module:
    """Logits, N x 2 (background, crack)."""
    network: Any = timm.create_model('tf_efficientnet_lite0', num_classes=2, drop_rate=0.2)
    if pretrained:
        load_backbone(network, efficientnet_lite0_weights())
    # timm's start for a head of two classes is so large that the first epoch only shrinks it
    nn.init.normal_(network.classifier.weight, std=0.01)
    return cast(nn.Module, network)


def _deeplabv3plus_lite0(pretrained: bool) -> nn.Module:
    """Logits, N x 1 x H x W."""
    network = smp.DeepLabV3Plus('tu-tf_efficientnet_lite0', encoder_weights=None, classes=1,
                                decoder_aspp_dropout=0.1)
    if pretrained:
        load_backbone(network.encoder.model, efficientnet_lite0_weights())
    return network


# Last block of each stage of EfficientNet that ends a resolution: strides 4, 8, 16 and the last.
_LITE_STAGES = {'layer1': 'blocks.1', 'layer2': 'blocks.2', 'layer3': 'blocks.4',
                'layer4': 'blocks.6'}

ARCHITECTURES: dict[str, Architecture] = {
    'efficientnet_lite0_classifier': Architecture(
        'EfficientNet-Lite0', 'classifier', _lite0_classifier, (320, 320),
        {layer: Tap(module) for layer, module in _LITE_STAGES.items()}),
    'deeplabv3plus_efficientnet_lite0_segmenter': Architecture(
        'DeepLabV3+ with EfficientNet-Lite0', 'segmenter', _deeplabv3plus_lite0, (512, 384),
        {layer: Tap(f'encoder.model.{module}') for layer, module in _LITE_STAGES.items()}
        | {'high_level': Tap('encoder.model.blocks.6'),
           'low_level': Tap('decoder.block1'),
           'aspp': Tap('decoder.aspp'),
           'fused': Tap('decoder.block2', of_input=True),
           'decoder': Tap('decoder.block2')}),
}
