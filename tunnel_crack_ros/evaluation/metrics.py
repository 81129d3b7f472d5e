# SPDX-License-Identifier: Apache-2.0
"""Scores of classifiers and segmenters, in NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.evaluation.weighted_scores import weighted_roc_auc


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Agreement of a mask with its label, in pixels; sums of counts give pooled scores."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0

    @classmethod
    def of(cls, predicted: npt.NDArray[np.bool_], label: npt.NDArray[np.bool_]) -> PixelCounts:
        """Count.

        :param predicted: bool, H x W.
        :param label: bool, H x W.
        """
        both = int(np.count_nonzero(predicted & label))
        return cls(both, int(np.count_nonzero(predicted)) - both,
                   int(np.count_nonzero(label)) - both)

    def __add__(self, other: PixelCounts) -> PixelCounts:
        """Pool two images."""
        return PixelCounts(self.true_positive + other.true_positive,
                           self.false_positive + other.false_positive,
                           self.false_negative + other.false_negative)

    @property
    def precision(self) -> float:
        """Share of the marked pixels that are crack; NaN when nothing is marked."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """Share of the crack's pixels that are marked; NaN when there is no crack."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def iou(self) -> float:
        """Intersection over union; NaN when both are empty."""
        return _ratio(self.true_positive,
                      self.true_positive + self.false_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall (Dice); NaN when both masks are empty."""
        return _ratio(2 * self.true_positive,
                      2 * self.true_positive + self.false_positive + self.false_negative)


def pooled(counts: Iterable[PixelCounts]) -> PixelCounts:
    """Sum the counts of many images: every pixel weighs the same."""
    return sum(counts, PixelCounts())


def accuracy(probabilities: Sequence[float], labels: Sequence[bool], threshold: float) -> float:
    """Share of right decisions.

    :param probabilities: crack probability of each frame, 0..1.
    :param labels: whether each frame shows a crack.
    :param threshold: a frame counts as crack from this probability on.
    :return: 0..1; NaN without frames.
    """
    return float(np.mean((np.asarray(probabilities) >= threshold) == np.asarray(labels, bool))) \
        if len(labels) else float('nan')


def roc_auc(probabilities: Sequence[float], labels: Sequence[bool]) -> float:
    """Chance that a cracked frame gets a higher probability than a clean one; ties count half.

    :param probabilities: crack probability of each frame, 0..1.
    :param labels: whether each frame shows a crack.
    :return: 0..1; NaN when only one class is there.
    """
    weights = np.ones((1, len(labels)))
    return float(weighted_roc_auc(np.asarray(probabilities, float), np.asarray(labels, bool),
                                  weights)[0])


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float('nan')
