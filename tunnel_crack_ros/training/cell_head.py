# SPDX-License-Identifier: Apache-2.0
"""A second head, for training only: which cells of the frame hold the crack?"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class CellHead(nn.Module):
    """A 1 x 1 convolution on a classifier's last feature map.

    A frame's label is one bit; its mask says in which cells the crack is. With that the features
    learn to follow cracks and not the walls they come with. The head is not exported: the network
    itself stays what its name says.
    """

    def __init__(self, network: nn.Module, layer: str, size: tuple[int, int]) -> None:
        """Listen to a layer.

        :param network: classifier whose features are watched; N x C x h x w at that layer.
        :param layer: dotted path of the module.
        :param size: width and height of the input, px.
        """
        super().__init__()
        self._features: torch.Tensor | None = None
        network.get_submodule(layer).register_forward_hook(self._keep)
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, size[1], size[0],
                                       device=next(network.parameters()).device))
        assert self._features is not None
        self.convolution: nn.Conv2d = nn.Conv2d(self._features.shape[1], 1, 1)
        nn.init.normal_(self.convolution.weight, std=0.01)
        assert self.convolution.bias is not None
        nn.init.constant_(self.convolution.bias, -2.0)      # few cells are cracked

    def _keep(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        self._features = output

    def forward(self, shape: tuple[int, int]) -> torch.Tensor:
        """Return the logits of the last batch's cells, N x 1 x h x w.

        :param shape: height and width of the cells' grid.
        """
        assert self._features is not None
        logits: torch.Tensor = self.convolution(self._features)
        return functional.interpolate(logits, shape, mode='bilinear', align_corners=False)
