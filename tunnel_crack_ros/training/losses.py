# SPDX-License-Identifier: Apache-2.0
"""What training makes small."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from tunnel_crack_ros.training.labels import CRACK, IGNORE, LOOKALIKE

_WORST = 200        # pixels of a crop that the silence term looks at
_FAR = 20           # px from any crack: what is marked nearer is mostly its unlabelled end or rim
_BESIDE = 4         # px; but what was drawn into the picture is no crack that near either


class CrackLoss(nn.Module):
    """Dice, binary cross entropy, and silence away from cracks.

    Dice (the paper's loss) does not mind that a crack covers one pixel in a hundred, but says
    nothing about crops without crack; cross entropy keeps those silent on the mean, and a false
    crack of a hundred pixels is lost in that mean. The silence term is the cross entropy of the
    200 pixels of each crop that look most like crack and are more than 20 px from any, 4 px where
    a joint or cable was drawn.

    Half of Dice is over the batch, half the mean over its crops with crack. Over the batch alone
    a hairline beside a wide crack counts next to nothing: to leave out a faint one costs less
    than to mark it, to leave out a faint wide one more.
    """

    def __init__(self, silence: float = 0.0) -> None:
        """Make the loss; `silence` is the weight of that term, 0 or more."""
        super().__init__()
        self._silence = silence

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compare.

        :param logits: N x 1 x H x W.
        :param label: float32, N x H x W: 1 crack, 0 none, 2 none but like one, 255 not judged.
        """
        logits = logits[:, 0].float()
        judged, crack = (label != IGNORE).float(), (label == CRACK).float()
        each = functional.binary_cross_entropy_with_logits(logits, crack, reduction='none')
        confidence = logits.sigmoid() * judged
        dice = _dice(confidence.flatten(), crack.flatten())
        cracked = crack.flatten(1).any(dim=1)
        if cracked.any():
            dice = 0.5 * dice + 0.5 * _dice(
                confidence[cracked].flatten(1), crack[cracked].flatten(1)).mean()
        loss = dice + (each * judged).sum() / judged.sum().clamp(min=1.0)
        if self._silence == 0.0:
            return loss
        near = (label == CRACK) | (label == IGNORE)
        far = ~_grown(near, _FAR) | ((label == LOOKALIKE) & ~_grown(near, _BESIDE))
        of_far = (each * far).flatten(1)
        worst = of_far.topk(min(_WORST, of_far.shape[1]), dim=1).values
        return loss + self._silence * worst.mean()


def _dice(confidence: torch.Tensor, crack: torch.Tensor) -> torch.Tensor:
    """Return the loss of each row."""
    overlap = (confidence * crack).sum(dim=-1)
    return 1.0 - (2.0 * overlap + 1.0) / (confidence.sum(dim=-1) + crack.sum(dim=-1) + 1.0)


def _grown(marked: torch.Tensor, by: int) -> torch.Tensor:
    """Grow what is marked, N x H x W, to squares of `by` px around."""
    rows = functional.max_pool2d(marked[:, None].float(), (2 * by + 1, 1), 1, (by, 0))
    return functional.max_pool2d(rows, (1, 2 * by + 1), 1, (0, by))[:, 0] > 0


class DiceLoss(nn.Module):
    """Dice loss alone, as the paper trains its segmenters."""

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compare logits, N x 1 x H x W, with labels, N x H x W, as `CrackLoss`."""
        judged, crack = (label != IGNORE).float(), (label == CRACK).float()
        confidence = logits[:, 0].float().sigmoid() * judged
        return _dice(confidence.flatten(), crack.flatten())


class FrameLoss(nn.Module):
    """Cross entropy of frames, with softened labels: some are debatable."""

    def __init__(self, smoothing: float = 0.05) -> None:
        """Make the loss; `smoothing` 0 is plain cross entropy."""
        super().__init__()
        self._smoothing = smoothing

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compare logits, N x 2, with labels, N, 0 or 1."""
        return functional.cross_entropy(logits.float(), label, label_smoothing=self._smoothing)


def cell_loss(logits: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy of the cells that are judged.

    :param logits: N x 1 x h x w.
    :param cells: float32, N x h x w: 1 crack, 0 none, 255 not judged.
    """
    judged = (cells <= 1.0).float()
    each = functional.binary_cross_entropy_with_logits(
        logits[:, 0].float(), cells * judged, reduction='none')
    return (each * judged).sum() / judged.sum().clamp(min=1.0)
