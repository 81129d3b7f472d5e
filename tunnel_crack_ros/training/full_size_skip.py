# SPDX-License-Identifier: Apache-2.0
"""A U-Net that looks at the picture itself once more before it decides."""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import nn

_SEEN = 8       # channels of what is seen of the picture, and of what is made of it


class FullSizeSkip(nn.Module):
    """Add to the decoder's last features what the picture shows at its own size.

    smp's U-Net has skip connections down to half the picture's size; a hairline of one pixel is
    gone there. Starts as the identity, so that weights trained without it keep their answers.
    """

    def __init__(self, channels: int) -> None:
        """Make the layers; `channels` of the decoder's last features."""
        super().__init__()
        self.see = nn.Sequential(nn.Conv2d(3, _SEEN, 3, padding=1, bias=False),
                                 nn.BatchNorm2d(_SEEN), nn.ReLU(inplace=True))
        self.join = nn.Sequential(nn.Conv2d(channels + _SEEN, _SEEN, 3, padding=1, bias=False),
                                  nn.BatchNorm2d(_SEEN), nn.ReLU(inplace=True))
        self.add = nn.Conv2d(_SEEN, channels, 1)
        nn.init.zeros_(self.add.weight)
        nn.init.zeros_(self.add.bias)   # type: ignore[arg-type]

    def forward(self, features: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
        """Join features, N x C x H x W, and picture, N x 3 x H x W; as large as the features."""
        added: torch.Tensor = self.add(self.join(torch.cat([features, self.see(picture)], 1)))
        return features + added


class FineUnet(smp.Unet):
    """smp's U-Net with a `FullSizeSkip`."""

    def __init__(self, *arguments: Any, decoder_channels: tuple[int, ...],
                 **options: Any) -> None:
        """Make a U-Net as smp does."""
        super().__init__(*arguments, decoder_channels=decoder_channels, **options)
        self.skip = FullSizeSkip(decoder_channels[-1])

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Segment N x 3 x H x W, sides a multiple of 32: logits N x 1 x H x W."""
        features = self.decoder(self.encoder(picture))
        logits: torch.Tensor = self.segmentation_head(self.skip(features, picture))
        return logits
