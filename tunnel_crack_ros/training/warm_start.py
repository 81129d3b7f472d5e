# SPDX-License-Identifier: Apache-2.0
"""Start a network from the weights of a trained one: all of them, or the encoder it shares.

A deep classifier or DeepLabV3+ learns nothing from random weights in an hour; a U-Net on the same
encoder does, because its skip connections reach every layer. So the encoder is trained in a U-Net
first, and the network that is wanted starts from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

_LEAST_SHARE = 0.5      # of the encoder's tensors: less is a coincidence of names


def start_network(network: nn.Module, model: str, checkpoint: Mapping[str, Any],
                  path: Path) -> int:
    """Load what fits; the rest stays as it was built.

    :param network: of `model`.
    :param checkpoint: with `model` and `network`, as `checkpoint.read_start` gives it. Of the same
        model all its weights are taken; of another, those with equal place and shape in the
        encoder.
    :param path: of the checkpoint, for the error.
    :return: number of tensors taken.
    :raises ValueError: the two share no encoder.
    """
    theirs = checkpoint['network']
    if checkpoint['model'] == model:
        network.load_state_dict(theirs)
        return len(theirs)
    places = {_place(name): tensor for name, tensor in theirs.items()}
    ours = network.state_dict()
    taken = {name: places[_place(name)] for name, tensor in ours.items()
             if _place(name) in places and places[_place(name)].shape == tensor.shape}
    encoder = [name for name in theirs if name.startswith('encoder.')] or list(theirs)
    if len(taken) < _LEAST_SHARE * len(encoder):
        raise ValueError(f"{path} holds {checkpoint['model']}, whose encoder is not that of "
                         f'{model}: {len(taken)} of {len(encoder)} tensors fit')
    network.load_state_dict(ours | taken)
    return len(taken)


def _place(name: str) -> str:
    """Name a tensor as the bare encoder does."""
    return name.removeprefix('encoder.').removeprefix('model.')
