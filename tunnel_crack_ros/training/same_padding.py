# SPDX-License-Identifier: Apache-2.0
"""Turn TensorFlow's "SAME" padding into fixed padding before export.

timm computes this padding from the input's shape in every strided convolution. Exported, that is
a chain of shape arithmetic a convolution: slow to run and harmful to quantisation. For sides that
are multiples of the network's stride the padding is always the same, so it can be written down.
"""

from __future__ import annotations

import copy

from timm.layers import Conv2dSame
from torch import nn


def freeze_same_padding(network: nn.Module) -> nn.Module:
    """Copy a network with its shape-dependent paddings fixed.

    :param network: any network; left as it is.
    :return: a copy which gives the same output for sides that are multiples of 32.
    """
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv2dSame):
                setattr(parent, name, _fixed(child))
    return network


def _fixed(convolution: Conv2dSame) -> nn.Module:
    pads = [_pad(*side) for side in zip(
        convolution.kernel_size, convolution.stride, convolution.dilation)]
    (top, bottom), (left, right) = pads
    kernel, stride, dilation = (
        (sides[0], sides[1]) for sides in (
            convolution.kernel_size, convolution.stride, convolution.dilation))
    plain = nn.Conv2d(
        convolution.in_channels, convolution.out_channels, kernel, stride, 0, dilation,
        convolution.groups, bias=convolution.bias is not None)
    plain.weight = convolution.weight
    plain.bias = convolution.bias
    if (top, left) == (bottom, right):
        plain.padding = (top, left)
        return plain
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain)


def _pad(kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    # TensorFlow: output = ceil(side / stride); the odd pixel goes to the end.
    total = max((kernel - 1) * dilation + 1 - stride, 0)
    return total // 2, total - total // 2


def has_same_padding(network: nn.Module) -> bool:
    """Say whether shape-dependent padding is left."""
    return any(isinstance(module, Conv2dSame) for module in network.modules())
