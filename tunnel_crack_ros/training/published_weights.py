# SPDX-License-Identifier: Apache-2.0
"""ImageNet weights as torchvision publishes them, for a network that is fed as ours are."""

from __future__ import annotations

from collections.abc import Mapping
import re

import torch

from tunnel_crack_ros.training.models import Normalise

# torchvision's networks see (pixel / 255 - mean) / std, by channel
_MEAN = torch.tensor([0.485, 0.456, 0.406])
_STD = torch.tensor([0.229, 0.224, 0.225])


def adapted(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename and rescale, so that the network sees in our numbers what it saw in torchvision's.

    The first convolution takes the difference between the two ways to normalise a picture; what
    is constant of it goes to its bias, or to the mean of the batch normalisation behind it. Only
    the picture's rim differs: outside of it lies grey here, the mean colour there.

    :param weights: state dict; its first tensor of four dimensions is the first convolution.
    """
    ours = {_today(name): tensor for name, tensor in weights.items()}
    first = next((name for name, tensor in ours.items() if tensor.ndim == 4), None)
    if first is None or ours[first].shape[1] != len(_MEAN):
        return ours
    kernel = ours[first].float()
    scale = Normalise.STD / (255.0 * _STD)
    shift = (Normalise.MEAN / 255.0 - _MEAN) / _STD
    constant = (kernel * shift.view(1, -1, 1, 1)).sum(dim=(1, 2, 3))
    ours[first] = kernel * scale.view(1, -1, 1, 1)
    bias = first.removesuffix('weight') + 'bias'
    if bias in ours:
        ours[bias] = ours[bias] + constant
        return ours
    behind = next((name for name in ours if name.endswith('running_mean')), None)
    if behind is not None:
        ours[behind] = ours[behind] - constant
    return ours


def _today(name: str) -> str:
    """Spell a tensor's name as today's DenseNet does: torchvision's file says `norm.1`."""
    return re.sub(r'(denselayer\d+\.(?:norm|conv))\.([12])\.', r'\1\2.', name)
