# SPDX-License-Identifier: Apache-2.0
"""Training samples drawn from photographs: balanced, by source, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.training.augment import flip_and_turn, Mask, Picture, vary_appearance
from tunnel_crack_ros.training.distractors import add_distractors
from tunnel_crack_ros.training.labels import (
    cell_labels,
    CRACK,
    IGNORE,
    Label,
    LOOKALIKE,
    NO_CRACK,
    paste_crack,
    THICK_SOURCES,
    thin_label,
)
from tunnel_crack_ros.training.mining import FalseAlarm
from tunnel_crack_ros.vision.resize import resized

_TRIES = 12             # crops looked at before another photograph is taken
_MIN_CROP = 128         # px; smaller crops show texture, no scene
_MIN_EXTENT = 0.15      # a crop shows a crack when that spans this share of its side
_KEPT_BYTES = 4 << 30   # of decoded photographs: 1300 of 1 megapixel, 100 of 12
_kept: dict[tuple[CrackImage, bool], tuple[Picture, Label]] = {}


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


@dataclass(frozen=True, slots=True)
class SampleMix:
    """What samples are made of besides the photographs as they are."""

    clean_share: float = 0.3        # segmenters: samples from photographs without crack
    distractor_share: float = 0.5   # samples with joints, cables, stains and the like drawn in
    mined_share: float = 0.5        # segmenters: crack-free samples around mined false alarms
    lookalike_share: float = 0.15   # segmenters: crack-free samples around labelled look-alikes
    paste_share: float = 0.25       # samples of a clean photograph with the crack of another one
    thin_labels: bool = True        # thin down the labels of sources drawn too thick
    scales: tuple[float, float] = (0.4, 2.5)    # segmenters: of the photograph in the crop
    vary: bool = True               # light, colour, blur, noise, compression


Sample = tuple[torch.Tensor, ...]


class Samples(Dataset[Sample]):
    """An epoch of random samples.

    Sample `position` of epoch `epoch` depends on these two and the seed alone, so a run that is
    stopped and resumed sees the same samples, however many workers load them.
    """

    def __init__(self, images: Sequence[CrackImage], weights: Mapping[str, float],
                 count: int, seed: int, mix: SampleMix) -> None:
        """Make an epoch.

        :param images: training images of both labels.
        :param weights: how often each source is drawn, relative; 1 for sources not named.
        :param count: samples an epoch.
        :param seed: of all that is random here.
        :param mix: what is drawn and changed.
        """
        cracked = [image for image in images if image.has_crack]
        clean = [image for image in images if not image.has_crack]
        self._cracked = Pool.of(cracked, weights)
        self._clean = Pool.of(clean, weights) if clean else None
        self._count = count
        self._seed = seed
        self._mix = mix
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

    def _read(self, image: CrackImage) -> tuple[Picture, Label]:
        return _labelled(image, self._mix.thin_labels and image.source in THICK_SOURCES)

    def _disturb(self, picture: Picture, label: Label,
                 rng: np.random.Generator) -> tuple[Picture, Label]:
        if rng.random() >= self._mix.distractor_share:
            return picture, label
        picture, hidden, drawn = add_distractors(picture, label == CRACK, rng)
        label = np.where(hidden, np.uint8(IGNORE), label)
        return picture, np.where(drawn & (label == NO_CRACK), np.uint8(LOOKALIKE), label)

    def _finish(self, picture: Picture, label: Label,
                rng: np.random.Generator) -> tuple[Picture, Label]:
        picture, label = flip_and_turn(picture, label, rng)
        return (vary_appearance(picture, rng) if self._mix.vary else picture), label


class FrameSamples(Samples):
    """Frames and crops with one label each, half of them cracked.

    Crops of cracked photographs without a crack in them are the clean samples that the sources
    lack: the same surface, camera and light as the cracked ones, so only the crack can tell.
    """

    def __init__(self, images: Sequence[CrackImage], weights: Mapping[str, float],
                 count: int, seed: int, size: tuple[int, int],
                 mix: SampleMix | None = None) -> None:
        """Make an epoch; `size` is width and height of the network's input."""
        super().__init__(images, weights, count, seed, mix or SampleMix())
        self._size = size

    def __getitem__(self, position: int) -> Sample:
        """Draw a sample.

        :return: uint8 H x W x 3; its label (1 crack, 0 none); the label of each 32 x 32 px cell,
            float32 H/32 x W/32 (1 crack, 0 none, 255 cannot say).
        """
        rng = self._generator(position)
        wants_crack = bool(rng.random() < 0.5)
        if not wants_crack:
            image, label = self._clean_view(rng)
        elif self._clean is not None and rng.random() < self._mix.paste_share:
            image, label = self._pasted_view(rng)
        else:
            image, label = self._cracked_view(rng)
        image, label = _reduced(image, label, max(self._size))
        image, label = self._disturb(image, label, rng)
        cells = cell_labels(label, self._size)
        image, _ = fit(image, label == CRACK, self._size)
        # the cells are turned by the same draws as the picture
        turned = np.random.default_rng(int(rng.integers(1 << 62)))
        state = turned.bit_generator.state
        image, _ = flip_and_turn(image, image[:, :, 0], turned)
        turned.bit_generator.state = state
        cells, _ = flip_and_turn(cells, cells, turned)
        if self._mix.vary:
            image = vary_appearance(image, rng)
        return (torch.tensor(image), torch.tensor(int(wants_crack)),
                torch.from_numpy(cells.astype(np.float32)))

    def _cracked_view(self, rng: np.random.Generator) -> tuple[Picture, Label]:
        image, label = self._read(self._cracked.draw(rng))
        if rng.random() < 0.5:
            for _ in range(_TRIES):
                window = random_window(label.shape, rng)
                if crack_extent(label[window] == CRACK) >= _MIN_EXTENT:
                    return image[window], label[window]
        return image, label

    def _pasted_view(self, rng: np.random.Generator) -> tuple[Picture, Label]:
        cracked, label = self._cracked_view(rng)
        assert self._clean is not None
        clean, _ = self._read(self._clean.draw(rng))
        clean = clean[random_window(clean.shape, rng)]
        return paste(clean, cracked, label, rng), label

    def _clean_view(self, rng: np.random.Generator) -> tuple[Picture, Label]:
        if self._clean is None or rng.random() < 0.4:
            for _ in range(_TRIES):
                image, label = self._read(self._cracked.draw(rng))
                for _ in range(_TRIES):
                    window = random_window(label.shape, rng)
                    if not label[window].any():
                        return image[window], label[window]
        if self._clean is None:
            raise ValueError('nothing without crack to draw: no such image, and no place in the '
                             f'cracked ones of {_MIN_CROP} px a side')
        image, label = self._read(self._clean.draw(rng))
        if rng.random() < 0.5:
            window = random_window(label.shape, rng)
            image, label = image[window], label[window]
        return image, label


class CropSamples(Samples):
    """Square crops with their labels, for segmenters."""

    def __init__(self, images: Sequence[CrackImage], weights: Mapping[str, float],
                 count: int, seed: int, side: int, mix: SampleMix | None = None,
                 mined: Sequence[FalseAlarm] = ()) -> None:
        """Make an epoch.

        :param side: of a crop, px.
        :param mined: false alarms that crack-free crops are drawn around.
        """
        super().__init__(images, weights, count, seed, mix or SampleMix())
        self._side = side
        self._mined = list(mined)
        self._lookalikes = [image for image in images if image.distractor_path is not None
                            and weights.get(image.source, 1.0) > 0.0]

    def __getitem__(self, position: int) -> Sample:
        """Draw a sample: uint8 S x S x 3 and its label, float32 S x S (`labels`)."""
        rng = self._generator(position)
        if self._clean is not None and rng.random() < self._mix.clean_share:
            image, label = self._lookalike_crop(rng) or self._clean_crop(self._clean, rng)
        elif self._clean is not None and rng.random() < self._mix.paste_share:
            cracked, label = self._crop(self._cracked, rng)
            image = paste(self._crop(self._clean, rng)[0], cracked, label, rng)
        else:
            image, label = self._crop(self._cracked, rng)
        image, label = self._disturb(image, label, rng)
        image, label = self._finish(image, label, rng)
        return torch.tensor(image), torch.from_numpy(label.astype(np.float32))

    def _clean_crop(self, pool: Pool, rng: np.random.Generator) -> tuple[Picture, Label]:
        if not self._mined or rng.random() >= self._mix.mined_share:
            return self._crop(pool, rng)
        alarm = self._mined[int(rng.integers(len(self._mined)))]
        image, label = self._read(alarm.image)
        return self._cut(image, label, self._window_around((alarm.y, alarm.x), label, rng))

    def _lookalike_crop(self, rng: np.random.Generator) -> tuple[Picture, Label] | None:
        """Cut around a joint or leak that somebody has labelled as none; None: not this time."""
        if not self._lookalikes or rng.random() >= self._mix.lookalike_share:
            return None
        for _ in range(_TRIES):
            image = self._lookalikes[int(rng.integers(len(self._lookalikes)))]
            picture, label = self._read(image)
            points = _lookalike_points(image)
            if not len(points):
                continue
            y, x = points[int(rng.integers(len(points)))]
            window = self._window_around((int(y), int(x)), label, rng)
            if not (label[window] == CRACK).any():
                return self._cut(picture, label, window)
        return None

    def _crop(self, pool: Pool, rng: np.random.Generator) -> tuple[Picture, Label]:
        image, label = self._read(pool.draw(rng))
        return self._cut(image, label, self._window(label, rng))

    def _cut(self, image: Picture, label: Label,
             window: tuple[slice, slice]) -> tuple[Picture, Label]:
        size = (self._side, self._side)
        picture, crack = fit(image[window], label[window] == CRACK, size)
        _, unclear = fit(image[window], label[window] == IGNORE, size)
        return picture, np.where(crack, CRACK, np.where(unclear, IGNORE, NO_CRACK)).astype(
            np.uint8)

    def _window(self, label: Label, rng: np.random.Generator) -> tuple[slice, slice]:
        side = self._window_side(label, rng)
        ys, xs = np.nonzero(label == CRACK)
        if len(ys) and rng.random() < 0.75:
            point = rng.integers(len(ys))
            return _around((int(ys[point]), int(xs[point])), side, label, rng)
        top = int(rng.integers(label.shape[0] - side + 1))
        left = int(rng.integers(label.shape[1] - side + 1))
        return slice(top, top + side), slice(left, left + side)

    def _window_around(self, point: tuple[int, int], label: Label,
                       rng: np.random.Generator) -> tuple[slice, slice]:
        return _around(point, self._window_side(label, rng), label, rng)

    def _window_side(self, label: Label, rng: np.random.Generator) -> int:
        low, high = self._mix.scales
        scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        return min(round(self._side / scale), *label.shape)


def _around(point: tuple[int, int], side: int, label: Label,
            rng: np.random.Generator) -> tuple[slice, slice]:
    """Choose a square window that holds a point (row, column), not in its middle."""
    corner = []
    for place, length, shift in zip(point, label.shape, rng.uniform(-0.4, 0.4, 2)):
        corner.append(min(max(int(place + shift * side - side / 2), 0), length - side))
    top, left = corner
    return slice(top, top + side), slice(left, left + side)


def _labelled(image: CrackImage, thin: bool) -> tuple[Picture, Label]:
    # kept in memory: decoding and thinning would cost a third of a training step each time
    if (image, thin) in _kept:
        return _kept[image, thin]
    picture, mask = image.read()
    picture = np.ascontiguousarray(picture)
    label = thin_label(picture, mask) if thin else mask.astype(np.uint8)
    picture.setflags(write=False)
    label.setflags(write=False)
    if sum(each.nbytes + its.nbytes for each, its in _kept.values()) < _KEPT_BYTES:
        _kept[image, thin] = picture, label
    return picture, label


@lru_cache(maxsize=1024)
def _lookalike_points(image: CrackImage) -> npt.NDArray[np.intp]:
    marked = image.read_distractor()
    return np.argwhere(marked) if marked is not None else np.zeros((0, 2), np.intp)


def _reduced(image: Picture, label: Label, side: int) -> tuple[Picture, Label]:
    """Reduce a view whose longer side is above `side` px; drawing on fewer pixels is faster."""
    height, width = label.shape
    factor = side / max(height, width)
    if factor >= 1.0:
        return image, label
    size = (round(width * factor), round(height * factor))
    image, crack = fit(image, label == CRACK, size)
    unclear = cv2.resize((label == IGNORE).astype(np.uint8), size,
                         interpolation=cv2.INTER_NEAREST)
    return image, np.where(crack, np.uint8(CRACK), unclear * np.uint8(IGNORE))


def paste(clean: Picture, cracked: Picture, label: Label, rng: np.random.Generator) -> Picture:
    """Put a crack on a clean picture, which is resized to the cracked one's shape first."""
    height, width = label.shape
    clean = fit(clean, np.zeros(clean.shape[:2], bool), (width, height))[0]
    return paste_crack(clean, cracked, label != NO_CRACK, rng.uniform(0.7, 1.2))


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
    if mask.shape[::-1] == size:
        return image, mask
    # below one half, so that a hairline survives when the picture shrinks
    return resized(np.ascontiguousarray(image), size), resized(mask.astype(np.float32), size) > 0.4


def _between(low: int, value: int, high: int) -> int:
    return min(max(low, value), high)
