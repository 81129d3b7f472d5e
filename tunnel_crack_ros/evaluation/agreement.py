# SPDX-License-Identifier: Apache-2.0
"""How well a mask of thin cracks fits its label: pixel by pixel, within 2 px, by centre lines."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from skimage.morphology import skeletonize

from tunnel_crack_ros.evaluation.weighted_scores import Numbers, ratio

TOLERANCE_PX = 2
CURVE_THRESHOLDS: Numbers = np.linspace(0.01, 0.99, 50)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Marked against labelled, in pixels; sums over images give pooled scores.

    Both directions are counted, since with a tolerance they differ.
    """

    right: int      # of the marked pixels, those that belong to a labelled crack
    marked: int
    found: int      # of the labelled pixels, those that were marked
    labelled: int


def strict_agreement(marked: Mask, label: Mask) -> Agreement:
    """Count pixel by pixel.

    :param marked: bool, H x W.
    :param label: bool, H x W.
    """
    both = count_px(marked & label)
    return Agreement(both, count_px(marked), both, count_px(label))


def tolerant_agreement(marked: Mask, label: Mask, tolerance_px: int = TOLERANCE_PX) -> Agreement:
    """Count with a tolerance.

    A marked pixel is right within `tolerance_px` (Euclidean, between pixel centres) of a labelled
    one; a labelled pixel is found within as much of a marked one.

    :param marked: bool, H x W.
    :param label: bool, H x W.
    """
    return Agreement(count_px(marked & widened(label, tolerance_px)),
                     count_px(marked),
                     count_px(label & widened(marked, tolerance_px)),
                     count_px(label))


def centre_line_agreement(marked: Mask, label: Mask) -> Agreement:
    """Count centre lines inside the other mask; their F1 is clDice (Shit et al., CVPR 2021).

    :param marked: bool, H x W.
    :param label: bool, H x W.
    """
    marked_line, label_line = skeletonize(marked), skeletonize(label)
    return Agreement(count_px(marked_line & label), count_px(marked_line),
                     count_px(label_line & marked), count_px(label_line))


def count_px(mask: Mask) -> int:
    """Count the pixels of a mask."""
    return int(np.count_nonzero(mask))


def widened(mask: Mask, by_px: int = TOLERANCE_PX) -> Mask:
    """Return all pixels within a distance of the mask; the same as its distance transform cut."""
    return cv2.dilate(mask.astype(np.uint8), _disc(by_px)) > 0


def curve_counts(confidence: npt.NDArray[np.float32], label: Mask) -> npt.NDArray[np.int64]:
    """Count at every threshold of `CURVE_THRESHOLDS` at once.

    :param confidence: float32, H x W, 0..1.
    :param label: bool, H x W.
    :return: int64, 4 x thresholds: marked pixels, those of them that are labelled, those within
        2 px of a label, and labelled pixels within 2 px of a marked one.
    """
    # the most confident within 2 px
    nearby = cv2.dilate(confidence, _disc(TOLERANCE_PX)).astype(np.float32, copy=False)
    return np.stack([_at_or_above(confidence.ravel()), _at_or_above(confidence[label]),
                     _at_or_above(confidence[widened(label)]), _at_or_above(nearby[label])])


def agreement_scores(counts: npt.NDArray[np.generic]) -> dict[str, Numbers]:
    """Turn counts into scores.

    F1 is the harmonic mean of precision and recall, IoU the value that goes with it (F1 / (2 -
    F1); without tolerance, intersection over union). Nothing marked: no precision (NaN), F1 0.

    :param counts: ... x 4, in the order of `Agreement`.
    :return: `precision`, `recall`, `f1` and `iou`, each of the leading shape.
    """
    right, marked, found, labelled = np.moveaxis(counts.astype(np.float64), -1, 0)
    both = right * found
    f1 = np.where(marked + labelled > 0,
                  np.nan_to_num(ratio(2 * both, right * labelled + found * marked)), np.nan)
    return {'precision': ratio(right, marked), 'recall': ratio(found, labelled), 'f1': f1,
            'iou': f1 / (2 - f1)}


def _at_or_above(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    passed = np.searchsorted(CURVE_THRESHOLDS, values, side='right')    # thresholds it reaches
    count = np.bincount(passed, minlength=len(CURVE_THRESHOLDS) + 1)
    return np.cumsum(count[::-1])[::-1][1:]


def _disc(radius: int) -> npt.NDArray[np.uint8]:
    away = np.arange(-radius, radius + 1) ** 2
    return (away[:, np.newaxis] + away <= radius ** 2).astype(np.uint8)
