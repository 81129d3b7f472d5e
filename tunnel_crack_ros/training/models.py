# SPDX-License-Identifier: Apache-2.0
"""The networks that can be trained, by name: the paper's and light ones.

Adding one is one line in `ARCHITECTURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn
import torchvision

from tunnel_crack_ros.training.full_size_skip import FineUnet
from tunnel_crack_ros.training.imagenet import efficientnet_lite_weights, load_backbone


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
    one_size: bool = False                  # takes no other input size


class Normalise(nn.Module):
    """Camera pixels to the network's numbers: the first layer of every exported graph."""

    # as the ImageNet weights of EfficientNet-Lite expect them: (pixel - 127) / 128
    MEAN = 127.0
    STD = 128.0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn uint8 N x H x W x 3 into float32 N x 3 x H x W."""
        return (image.permute(0, 3, 1, 2).float() - self.MEAN) / self.STD


def architecture(name: str, input_side: int = 0) -> Architecture:
    """Look a network up.

    :param input_side: classifiers: of the square input instead of the network's own, px; 0: its
        own.
    :raises ValueError: no network of that name, or one that cannot take such an input.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown model '{name}'; expected one of {', '.join(ARCHITECTURES)}")
    plan = ARCHITECTURES[name]
    if not input_side:
        return plan
    if plan.task != 'classifier':
        raise ValueError(f'{name} takes frames of any size; an input side is for classifiers')
    if input_side % 32 or input_side < 64:
        raise ValueError(f'an input side of {input_side} px; expected a multiple of 32 from 64 on')
    size = (input_side, input_side)
    if plan.one_size and size != plan.input_size:
        raise ValueError(f'{name} takes {plan.input_size[0]} px a side only, not {input_side}')
    return replace(plan, input_size=size)


def _lite_classifier(size: int) -> Callable[[bool], nn.Module]:
    """Build an EfficientNet-Lite, logits N x 2 (background, crack)."""
    def build(pretrained: bool) -> nn.Module:
        network: Any = timm.create_model(f'tf_efficientnet_lite{size}', num_classes=2,
                                         drop_rate=0.2)
        if pretrained:
            load_backbone(network, efficientnet_lite_weights(size))
        # timm's start for a head of two classes is so large that the first epoch only shrinks it
        nn.init.normal_(network.classifier.weight, std=0.01)
        return cast(nn.Module, network)
    return build


def _lite_segmenter(make: Callable[..., nn.Module], size: int,
                    **options: Any) -> Callable[[bool], nn.Module]:
    """Build a segmenter on EfficientNet-Lite, logits N x 1 x H x W."""
    def build(pretrained: bool) -> nn.Module:
        network: Any = make(f'tu-tf_efficientnet_lite{size}', encoder_weights=None, classes=1,
                            **options)
        if pretrained:
            load_backbone(network.encoder.model, efficientnet_lite_weights(size))
        return cast(nn.Module, network)
    return build


def _classifier(make: Callable[..., nn.Module]) -> Callable[[bool], nn.Module]:
    """Build one of torchvision's classifiers, logits N x 2; no registry has ImageNet weights."""
    return lambda pretrained: make(weights=None, num_classes=2)


def _segmenter(make: Callable[..., nn.Module], encoder: str,
               **options: Any) -> Callable[[bool], nn.Module]:
    """Build one of smp's segmenters, logits N x 1 x H x W; encoder without ImageNet weights."""
    def build(pretrained: bool) -> nn.Module:
        network: nn.Module = make(encoder, encoder_weights=None, classes=1, **options)
        start_shallow(network)
        start_narrow(network)
        return network
    return build


def start_shallow(network: nn.Module) -> None:
    """Let each residual block of a ResNet start as the identity.

    From random weights a ResNet-101 learns sooner so (Goyal et al., *Accurate, Large Minibatch
    SGD*, 2017, section 5.1), and one that starts from a ResNet-50's weights does what that does.
    """
    for block in network.modules():
        last = {'Bottleneck': 'bn3', 'BasicBlock': 'bn2'}.get(type(block).__name__)
        if last is not None:
            nn.init.zeros_(getattr(block, last).weight)


def start_narrow(network: nn.Module) -> None:
    """Let the atrous convolutions of a spatial pyramid start with their centre alone.

    In a crop of 160 px a rate of 12 reaches into the padding on every side: the outer weights
    would never learn there, and whole frames would meet them as they were drawn at random.
    """
    for name, module in network.named_modules():
        if 'aspp' in name and isinstance(module, nn.Conv2d) and module.dilation[0] > 1:
            with torch.no_grad():
                centre = module.weight[:, :, 1, 1].clone()
                module.weight.zero_()
                module.weight[:, :, 1, 1] = centre


_RESNET = {f'layer{n}': Tap(f'layer{n}') for n in (1, 2, 3, 4)}
_DENSENET = {f'layer{n}': Tap(f'features.denseblock{n}') for n in (1, 2, 3, 4)}
_SWIN = {'layer4': Tap('permute')}    # the stages before have their channels last
_RESNET_ENCODER = {f'layer{n}': Tap(f'encoder.layer{n}') for n in (1, 2, 3, 4)}
_DEEPLABV3PLUS = {
    'low_level': Tap('decoder.block1'), 'aspp': Tap('decoder.aspp'),
    'fused': Tap('decoder.block2', of_input=True), 'decoder': Tap('decoder.block2')}
_DEEPLABV3PLUS_RESNET = _RESNET_ENCODER | {'high_level': Tap('encoder.layer4')} | _DEEPLABV3PLUS
_PAPER_RATES = (6, 12, 18)  # of the atrous spatial pyramid pooling
_FRAME, _SQUARE = (512, 384), (224, 224)

# Last block of each stage of EfficientNet that ends a resolution: strides 4, 8, 16 and the last.
_LITE_STAGES = {'layer1': 'blocks.1', 'layer2': 'blocks.2', 'layer3': 'blocks.4',
                'layer4': 'blocks.6'}

_EFFICIENTNET = {'layer1': Tap('features.2'), 'layer2': Tap('features.3'),
                 'layer3': Tap('features.5'), 'layer4': Tap('features.7')}
_VGG13_ENCODER = {'layer1': Tap('encoder.features.13'), 'layer2': Tap('encoder.features.18'),
                  'layer3': Tap('encoder.features.23'), 'layer4': Tap('encoder.features.24')}
_PSPNET_ENCODER = {layer: _RESNET_ENCODER[layer] for layer in ('layer1', 'layer2')}

_LITE = {layer: Tap(module) for layer, module in _LITE_STAGES.items()}
_LITE_ENCODER = {layer: Tap(f'encoder.model.{module}') for layer, module in _LITE_STAGES.items()}
_DEEPLABV3PLUS_LITE = (_LITE_ENCODER | {'high_level': Tap('encoder.model.blocks.6')}
                       | _DEEPLABV3PLUS)
# A U-Net decides at the frame's own resolution, where DeepLabV3+ decides at a quarter of it: a
# hairline is one to three pixels wide.
_SLIM = (128, 64, 48, 32, 16)   # channels of the decoder, deepest first
_UNET_LITE = _LITE_ENCODER | {
    'high_level': Tap('encoder.model.blocks.6'), 'low_level': Tap('encoder.model.blocks.0'),
    'fused': Tap('decoder.blocks.2'), 'decoder': Tap('decoder.blocks.4')}
_LITE_FRAME = (448, 448)   # a hairline in a frame of 1024 px is lost at 224

ARCHITECTURES: dict[str, Architecture] = {
    # light ones, from ImageNet weights
    'efficientnet_lite0_classifier': Architecture(
        'EfficientNet-Lite0', 'classifier', _lite_classifier(0), _LITE_FRAME, _LITE),
    'efficientnet_lite1_classifier': Architecture(
        'EfficientNet-Lite1', 'classifier', _lite_classifier(1), _LITE_FRAME, _LITE),
    'efficientnet_lite2_classifier': Architecture(
        'EfficientNet-Lite2', 'classifier', _lite_classifier(2), _LITE_FRAME, _LITE),
    'unet_efficientnet_lite0_segmenter': Architecture(
        'U-Net with EfficientNet-Lite0', 'segmenter',
        _lite_segmenter(smp.Unet, 0, decoder_channels=_SLIM), _FRAME, _UNET_LITE),
    'fine_unet_efficientnet_lite0_segmenter': Architecture(
        'U-Net with EfficientNet-Lite0 and a full-size skip', 'segmenter',
        _lite_segmenter(FineUnet, 0, decoder_channels=_SLIM), _FRAME,
        _UNET_LITE | {'decoder': Tap('skip')}),
    'unet_efficientnet_lite1_segmenter': Architecture(
        'U-Net with EfficientNet-Lite1', 'segmenter',
        _lite_segmenter(smp.Unet, 1, decoder_channels=_SLIM), _FRAME, _UNET_LITE),
    'unet_efficientnet_lite2_segmenter': Architecture(
        'U-Net with EfficientNet-Lite2', 'segmenter',
        _lite_segmenter(smp.Unet, 2, decoder_channels=_SLIM), _FRAME, _UNET_LITE),
    'deeplabv3plus_efficientnet_lite0_segmenter': Architecture(
        'DeepLabV3+ with EfficientNet-Lite0', 'segmenter',
        _lite_segmenter(smp.DeepLabV3Plus, 0, decoder_aspp_dropout=0.1), _FRAME,
        _DEEPLABV3PLUS_LITE),
    # the paper's Table 2
    'densenet169_classifier': Architecture(
        'DenseNet-169', 'classifier', _classifier(torchvision.models.densenet169), _SQUARE,
        _DENSENET),
    'densenet201_classifier': Architecture(
        'DenseNet-201', 'classifier', _classifier(torchvision.models.densenet201), _SQUARE,
        _DENSENET),
    'efficientnet_b0_classifier': Architecture(
        'EfficientNet-B0', 'classifier', _classifier(torchvision.models.efficientnet_b0),
        _SQUARE, _EFFICIENTNET),
    'resnet50_classifier': Architecture(
        'ResNet-50', 'classifier', _classifier(torchvision.models.resnet50), _SQUARE, _RESNET),
    'resnet101_classifier': Architecture(
        'ResNet-101', 'classifier', _classifier(torchvision.models.resnet101), _SQUARE, _RESNET),
    'swin_t_classifier': Architecture(
        'Swin Transformer, tiny', 'classifier', _classifier(torchvision.models.swin_t), _SQUARE,
        _SWIN),
    'vit_b16_classifier': Architecture(
        'Vision Transformer, base, 16', 'classifier', _classifier(torchvision.models.vit_b_16),
        _SQUARE, one_size=True),
    # the paper's Table 3
    'deeplabv3plus_resnet101_segmenter': Architecture(
        'DeepLabV3+ with ResNet-101', 'segmenter',
        _segmenter(smp.DeepLabV3Plus, 'resnet101', decoder_atrous_rates=_PAPER_RATES), _FRAME,
        _DEEPLABV3PLUS_RESNET),
    'deeplabv3_resnet101_segmenter': Architecture(
        'DeepLabV3 with ResNet-101', 'segmenter',
        _segmenter(smp.DeepLabV3, 'resnet101', decoder_atrous_rates=_PAPER_RATES), _FRAME,
        _RESNET_ENCODER),
    'pspnet_resnet50_segmenter': Architecture(
        'PSPNet with ResNet-50', 'segmenter', _segmenter(smp.PSPNet, 'resnet50'), _FRAME,
        _PSPNET_ENCODER),
    'unet_vgg13_segmenter': Architecture(
        'U-Net with VGG-13', 'segmenter', _segmenter(smp.Unet, 'vgg13'), _FRAME, _VGG13_ENCODER),
    'unetplusplus_vgg13_segmenter': Architecture(
        'U-Net++ with VGG-13', 'segmenter', _segmenter(smp.UnetPlusPlus, 'vgg13'), _FRAME,
        _VGG13_ENCODER),
    # on the paper's encoders: what these learn in a U-Net, the paper's networks start from
    'unet_densenet169_segmenter': Architecture(
        'U-Net with DenseNet-169', 'segmenter',
        _segmenter(smp.Unet, 'densenet169', decoder_channels=_SLIM), _FRAME,
        {layer: Tap(f'encoder.{tap.module}') for layer, tap in _DENSENET.items()}),
    'unet_resnet101_segmenter': Architecture(
        'U-Net with ResNet-101', 'segmenter',
        _segmenter(smp.Unet, 'resnet101', decoder_channels=_SLIM), _FRAME, _RESNET_ENCODER),
    # light ones, from nothing
    'mobilenet_v3_classifier': Architecture(
        'MobileNetV3-Large', 'classifier', _classifier(torchvision.models.mobilenet_v3_large),
        _SQUARE),
    'deeplabv3plus_mobilenet_v3_segmenter': Architecture(
        'DeepLabV3+ with MobileNetV3', 'segmenter',
        _segmenter(smp.DeepLabV3Plus, 'tu-mobilenetv3_large_100',
                   decoder_atrous_rates=_PAPER_RATES), _FRAME, _DEEPLABV3PLUS),
    'deeplabv3plus_resnet18_segmenter': Architecture(
        'DeepLabV3+ with ResNet-18', 'segmenter',
        _segmenter(smp.DeepLabV3Plus, 'resnet18', decoder_atrous_rates=_PAPER_RATES), _FRAME,
        _DEEPLABV3PLUS_RESNET),
    'deeplabv3plus_resnet50_segmenter': Architecture(
        'DeepLabV3+ with ResNet-50', 'segmenter',
        _segmenter(smp.DeepLabV3Plus, 'resnet50', decoder_atrous_rates=_PAPER_RATES), _FRAME,
        _DEEPLABV3PLUS_RESNET),
    'deeplabv3plus_resnet34_segmenter': Architecture(
        'DeepLabV3+ with ResNet-34', 'segmenter',
        _segmenter(smp.DeepLabV3Plus, 'resnet34', decoder_atrous_rates=_PAPER_RATES), _FRAME,
        _DEEPLABV3PLUS_RESNET),
}
