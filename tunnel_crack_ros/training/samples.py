# SPDX-License-Identifier: Apache-2.0
"""Training samples drawn from photographs: balanced, by source, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.training.augment import flip_and_turn, Mask, Picture, vary_appearance

_TRIES = 12             # crops looked at before another photograph is taken
_MIN_CROP = 128         # px; smaller crops show texture, no scene
_MIN_EXTENT = 0.15      # a crop shows a crack when that spans this share of its side


@dataclass(frozen=True, slots=True)
class Pool:
    """Photographs to draw from, each source with its own weight."""

    by_source: Mapping[str, Sequence[CrackImage]]
    weights: npt.NDArray[np.float64]    # one a source, sum 1

    @classmethod
    def of(cls, images: Sequence[CrackImage], weights: Mapping[str, float]) -> Pool:
        """Group images by source.

        :param images: what to draw from; sources of weight 0 are left out.
        :param weights: how often each source is drawn, relative; 1 for sources not named.
        :raises ValueError: nothing is left to draw from.
        """
        by_source: dict[str, list[CrackImage]] = {}
        for image in images:
            if weights.get(image.source, 1.0) > 0.0:
                by_source.setdefault(image.source, []).append(image)
        if not by_source:
            raise ValueError(f'no image to draw from: {len(images)} images, all of weight 0')
        shares = np.array([weights.get(source, 1.0) for source in by_source])
        return cls(by_source, shares / shares.sum())

    def draw(self, rng: np.random.Generator) -> CrackImage:
        """Draw a source by weight, then one of its photographs."""
        images = list(self.by_source.values())[rng.choice(len(self.weights), p=self.weights)]
        return images[int(rng.integers(len(images)))]


class Samples(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """An epoch of random samples.

    Sample `position` of epoch `epoch` depends on these two and the seed alone, so a run that is
    stopped and resumed sees the same samples, however many workers load them.
    """

    def __init__(self, images: Sequence[CrackImage], weights: Mapping[str, float],
                 count: int, seed: int) -> None:
        """Make an epoch.

        :param images: training images of both labels.
        :param weights: how often each source is drawn, relative; 1 for sources not named.
        :param count: samples an epoch.
        :param seed: of all that is random here.
        """
        cracked = [image for image in images if image.has_crack]
        clean = [image for image in images if not image.has_crack]
        self._cracked = Pool.of(cracked, weights)
        self._clean = Pool.of(clean, weights) if clean else None
        self._count = count
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Move to another epoch's samples."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of samples an epoch."""
        return self._count

    def _generator(self, position: int) -> np.random.Generator:
        if not 0 <= position < self._count:
            raise IndexError(position)      # ends a plain `for`
        return np.random.default_rng((self._seed, self._epoch, position))


class FrameSamples(Samples):
    """Frames and crops with one label each, half of them cracked.

    Crops of cracked photographs without a crack in them are the clean samples that the sources
    lack: the same surface, camera and light as the cracked ones, so only the crack can tell.
    """

    def __init__(self, images: Sequence[CrackImage], weights: Mapping[str, float],
                 count: int, seed: int, size: tuple[int, int]) -> None:
        """Make an epoch; `size` is width and height of the network's input."""
        super().__init__(images, weights, count, seed)
        self._size = size

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a sample: uint8 H x W x 3 and its label (1 crack, 0 none)."""
        rng = self._generator(position)
        wants_crack = bool(rng.random() < 0.5)
        image, mask = self._cracked_view(rng) if wants_crack else self._clean_view(rng)
        image, mask = fit(image, mask, self._size)
        image, mask = flip_and_turn(image, mask, rng)
        return torch.from_numpy(vary_appearance(image, rng)), torch.tensor(int(wants_crack))

    def _cracked_view(self, rng: np.random.Generator) -> tuple[Picture, Mask]:
        image, mask = self._cracked.draw(rng).read()
        if rng.random() < 0.5:
            for _ in range(_TRIES):
                window = random_window(mask.shape, rng)
                if crack_extent(mask[window]) >= _MIN_EXTENT:
                    return image[window], mask[window]
        return image, mask

    def _clean_view(self, rng: np.random.Generator) -> tuple[Picture, Mask]:
        if self._clean is None or rng.random() < 0.4:
            for _ in range(_TRIES):
                image, mask = self._cracked.draw(rng).read()
                for _ in range(_TRIES):
                    window = random_window(mask.shape, rng)
                    if not mask[window].any():
                        return image[window], mask[window]
        if self._clean is None:
            raise ValueError('nothing without crack to draw: no such image, and no place in the '
                             f'cracked ones of {_MIN_CROP} px a side')
        image, mask = self._clean.draw(rng).read()
        if rng.random() < 0.5:
            window = random_window(mask.shape, rng)
            image, mask = image[window], mask[window]
        return image, mask


class CropSamples(Samples):
    """Square crops with their masks, for segmenters."""

    def __init__(self, images: Sequence[CrackImage], weights: Mapping[str, float],
                 count: int, seed: int, side: int, clean_share: float) -> None:
        """Make an epoch.

        :param side: of a crop, px.
        :param clean_share: share of samples from photographs without crack, 0..1.
        """
        super().__init__(images, weights, count, seed)
        self._side = side
        self._clean_share = clean_share if self._clean is not None else 0.0

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a sample: uint8 S x S x 3 and its mask, float32 S x S, 0 or 1."""
        rng = self._generator(position)
        pool = self._clean if rng.random() < self._clean_share and self._clean else self._cracked
        image, mask = pool.draw(rng).read()
        window = self._window(mask, rng)
        image, mask = fit(image[window], mask[window], (self._side, self._side))
        image, mask = flip_and_turn(image, mask, rng)
        return (torch.from_numpy(vary_appearance(image, rng)),
                torch.from_numpy(mask.astype(np.float32)))

    def _window(self, mask: Mask, rng: np.random.Generator) -> tuple[slice, slice]:
        scale = float(np.exp(rng.uniform(np.log(0.65), np.log(1.5))))
        side = min(round(self._side / scale), *mask.shape)
        top_most, left_most = mask.shape[0] - side, mask.shape[1] - side
        ys, xs = np.nonzero(mask)
        if len(ys) and rng.random() < 0.75:     # around a point of the crack, not in its middle
            point = rng.integers(len(ys))
            shift = rng.uniform(-0.4, 0.4, 2) * side - side / 2
            top, left = int(ys[point] + shift[0]), int(xs[point] + shift[1])
        else:
            top, left = int(rng.integers(top_most + 1)), int(rng.integers(left_most + 1))
        top, left = min(max(top, 0), top_most), min(max(left, 0), left_most)
        return slice(top, top + side), slice(left, left + side)


def random_window(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, slice]:
    """Choose a part of a frame: 30 to 100 % of each side, sides up to a third apart.

    :param shape: height and width of the frame, px.
    """
    share = rng.uniform(0.3, 1.0)
    stretch = float(np.exp(rng.uniform(-0.15, 0.15)))
    height = _between(_MIN_CROP, round(shape[0] * share * stretch), shape[0])
    width = _between(_MIN_CROP, round(shape[1] * share / stretch), shape[1])
    top = int(rng.integers(shape[0] - height + 1))
    left = int(rng.integers(shape[1] - width + 1))
    return slice(top, top + height), slice(left, left + width)


def crack_extent(mask: Mask) -> float:
    """Share of a view's height or width, whichever is larger, that its crack spans, 0..1."""
    rows, columns = mask.any(axis=1), mask.any(axis=0)
    if not rows.any():
        return 0.0
    return max(float(np.ptp(np.flatnonzero(span)) + 1) / span.size for span in (rows, columns))


def fit(image: Picture, mask: Mask, size: tuple[int, int]) -> tuple[Picture, Mask]:
    """Resize to the network's input as `vision` does; the aspect is not kept.

    :param size: width and height, px.
    """
    height, width = mask.shape
    if (width, height) == size:
        return image, mask
    shrinks = width > size[0] or height > size[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(image), size, interpolation=way)
    soft = cv2.resize(mask.astype(np.float32), size, interpolation=way)
    # below one half, so that a hairline survives when the picture shrinks
    return resized.astype(np.uint8, copy=False), soft > 0.4


def _between(low: int, value: int, high: int) -> int:
    return min(max(low, value), high)
