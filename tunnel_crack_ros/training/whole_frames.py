# SPDX-License-Identifier: Apache-2.0
"""Every image once an epoch, whole, resized to the network's input: as the paper trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.training.samples import fit, Sample


class WholeFrames(Dataset[Sample]):
    """Images as they are, in an order that depends on seed and epoch alone."""

    def __init__(self, images: Sequence[CrackImage], task: str, size: tuple[int, int],
                 seed: int | None = None) -> None:
        """Make an epoch.

        :param images: all of them for a classifier; a segmenter takes those with crack, as the
            paper does.
        :param task: classifier or segmenter.
        :param size: width and height of the network's input, px.
        :param seed: of the order; None keeps the order of `images`.
        """
        self._images = [image for image in images if task == 'classifier' or image.has_crack]
        if not self._images:
            raise ValueError(f'none of the {len(images)} images shows a crack')
        self._is_classifier = task == 'classifier'
        self._size = size
        self._seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for another epoch."""
        count = len(self._images)
        self._order = (np.arange(count) if self._seed is None else
                       np.random.default_rng((self._seed, epoch)).permutation(count))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __getitem__(self, position: int) -> Sample:
        """Return uint8 H x W x 3 and the frame's label, 0 or 1, or its mask, float32 H x W."""
        if not 0 <= position < len(self._images):
            raise IndexError(position)      # ends a plain `for`
        image = self._images[self._order[position]]
        picture, mask = image.read()
        picture, mask = fit(picture, mask, self._size)
        pixels = torch.from_numpy(np.ascontiguousarray(picture))
        if self._is_classifier:
            return pixels, torch.tensor(int(image.has_crack))
        return pixels, torch.from_numpy(mask.astype(np.float32))
