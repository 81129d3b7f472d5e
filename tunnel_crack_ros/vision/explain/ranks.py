# SPDX-License-Identifier: Apache-2.0
"""Ranks of a map's values: how alike two maps are, and where a small error changes ranks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_WINDOW = 0.04          # share of the values between which their density is measured
_FINEST = 1e-3          # of the largest value: differences below are taken for one rank
_BELOW = 0.3            # what an error counts where the map is cut off at 0 and would stay so


def rank_correlation(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    """Return Spearman's correlation of two maps; ties share their rank.

    :return: -1..1; NaN when one of them is constant.
    """
    ranks = np.stack([_ranks(a), _ranks(b)])
    ranks -= ranks.mean(1, keepdims=True)
    lengths = np.sqrt((ranks * ranks).sum(1))
    if not lengths.all():
        return math.nan
    return float(ranks[0] @ ranks[1] / lengths.prod())


def _ranks(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Rank from 0, equal values sharing their mean rank; scipy.stats takes a second to import."""
    _, place, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1.0
    shared: npt.NDArray[np.float64] = (last - (counts - 1) / 2.0)[place]
    return shared


def rank_slopes(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return by how much an error of 1 in each value moves its rank among ReLU(values).

    Most pixels of a heat map are nearly alike and far from the crack: there a tiny error is worth
    many ranks, and on the crack a large one is worth few.

    :param values: n, before the ReLU.
    :return: >= 0, n; ranks go from 0 to 1.
    """
    positive = np.maximum(values, 0.0)
    order, count = np.argsort(positive, kind='stable'), len(values)
    half = max(1, round(_WINDOW * count / 2))
    places = np.arange(count)
    low, high = np.maximum(places - half, 0), np.minimum(places + half, count - 1)
    lifted = positive[order]
    spans = (lifted[high] - lifted[low]) / np.maximum((high - low) / count, 1.0 / count)
    slopes = np.empty(count)
    slopes[order] = 1.0 / (spans + _FINEST * lifted[-1] + 1e-12)
    slopes[values <= 0.0] *= _BELOW
    return slopes
