# SPDX-License-Identifier: Apache-2.0
"""Run the two stages on one labelled photograph and keep what the scores need, no pixels."""

from __future__ import annotations

from dataclasses import dataclass
import time

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.evaluation.agreement import (
    Agreement,
    centre_line_agreement,
    count_px,
    curve_counts,
    CURVE_THRESHOLDS,
    strict_agreement,
    tolerant_agreement,
    widened,
)
from tunnel_crack_ros.evaluation.crack_dataset import CrackImage, DatasetError
from tunnel_crack_ros.evaluation.tiles import cut_tiles
from tunnel_crack_ros.vision import CrackClassifier, CrackSegmenter, RgbFrame

_NOTHING = Agreement(0, 0, 0, 0)
_TILES_AT_ONCE = 8      # more in one batch take memory and save no time on a CPU


@dataclass(frozen=True, slots=True)
class TileScore:
    """What the classifier made of one tile."""

    crack_probability: float    # 0..1
    has_crack: bool


@dataclass(frozen=True, slots=True)
class VerdictScore:
    """What the classifier made of one image, the quality gate being off."""

    crack_probability: float    # 0..1
    seconds: float              # of the whole frame, from pixels to verdict
    tiles: tuple[TileScore, ...] = ()


@dataclass(frozen=True, slots=True)
class DistractorScore:
    """What the segmenter marked of the things that look like cracks and are none."""

    marked_px: int
    area_px: int        # labelled as distractor, more than 2 px away from any labelled crack


@dataclass(frozen=True, slots=True)
class MaskScore:
    """What the segmenter made of one image, whatever the classifier said."""

    strict: Agreement
    seconds: float                      # of the whole frame, from pixels to mask
    tolerant: Agreement = _NOTHING      # this and what follows: of images with crack only
    centre_lines: Agreement = _NOTHING
    curve: npt.NDArray[np.int64] | None = None      # see `agreement.curve_counts`
    distractor: DistractorScore | None = None       # None: the image has no such mask


@dataclass(frozen=True, slots=True)
class ImageScore:
    """What the stages made of one image; None for a stage that did not run."""

    image: CrackImage
    verdict: VerdictScore | None
    mask: MaskScore | None


def score_image(image: CrackImage, classifier: CrackClassifier | None,
                segmenter: CrackSegmenter | None) -> ImageScore:
    """Run the stages on one image, the second whatever the first says.

    :param classifier: without quality gate, so that every image gets a probability.
    :raises DatasetError: the image or a mask of it cannot be read, or label and mask contradict
        each other.
    :raises ModelError: an engine failed.
    """
    frame, label = image.read()
    if label.any() != image.has_crack:
        said, expected = ('crack', 'some') if image.has_crack else ('no_crack', 'none')
        raise DatasetError(f'{image.mask_path}: {count_px(label)} px are marked as crack; '
                           f'expected {expected}, as the label of {image.source} {image.stem} '
                           f'is {said}')
    frame = np.ascontiguousarray(frame)
    return ImageScore(image,
                      None if classifier is None else _score_verdict(frame, label, classifier),
                      None if segmenter is None else _score_mask(
                          frame, label, image.read_distractor(), segmenter))


def _score_verdict(frame: RgbFrame, label: npt.NDArray[np.bool_],
                   classifier: CrackClassifier) -> VerdictScore:
    start = time.perf_counter()
    verdict, = classifier.classify([frame])
    seconds = time.perf_counter() - start
    scores = []
    tiles = cut_tiles(frame, label)
    for first in range(0, len(tiles), _TILES_AT_ONCE):
        batch = tiles[first:first + _TILES_AT_ONCE]
        verdicts = classifier.classify([tile.picture for tile in batch])
        scores += [TileScore(found.crack_probability, tile.has_crack)
                   for tile, found in zip(batch, verdicts)]
    return VerdictScore(verdict.crack_probability, seconds, tuple(scores))


def _score_mask(frame: RgbFrame, label: npt.NDArray[np.bool_],
                distractor: npt.NDArray[np.bool_] | None,
                segmenter: CrackSegmenter) -> MaskScore:
    start = time.perf_counter()
    found = segmenter.segment(frame)
    seconds = time.perf_counter() - start
    marked = found.mask > 0
    away = None
    if distractor is not None:
        aside = distractor & ~widened(label)
        away = DistractorScore(count_px(marked & aside), count_px(aside))
    strict = strict_agreement(marked, label)
    if not label.any():
        return MaskScore(strict, seconds, distractor=away)
    return MaskScore(strict, seconds, tolerant_agreement(marked, label),
                     centre_line_agreement(marked, label),
                     curve_counts(found.confidence, label), away)


def no_curve() -> npt.NDArray[np.int64]:
    """Return the counts of no image at all, in the shape of `agreement.curve_counts`."""
    return np.zeros((4, len(CURVE_THRESHOLDS)), np.int64)
