# SPDX-License-Identifier: Apache-2.0
"""What training makes small."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class DiceAndCrossEntropy(nn.Module):
    """Dice loss over the batch plus binary cross entropy.

    Dice (the paper's loss) does not mind that a crack covers one pixel in a hundred, but says
    nothing about crops without crack; cross entropy keeps those silent.
    """

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compare.

        :param logits: N x 1 x H x W.
        :param label: N x H x W, 0 or 1.
        """
        logits = logits[:, 0].float()
        confidence = logits.sigmoid()
        overlap = (confidence * label).sum()
        dice = 1.0 - (2.0 * overlap + 1.0) / (confidence.sum() + label.sum() + 1.0)
        return dice + functional.binary_cross_entropy_with_logits(logits, label)


class FrameCrossEntropy(nn.Module):
    """Cross entropy with softened labels: some frame labels are debatable."""

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compare logits, N x 2, with labels, N, 0 or 1."""
        return functional.cross_entropy(logits.float(), label, label_smoothing=0.05)
