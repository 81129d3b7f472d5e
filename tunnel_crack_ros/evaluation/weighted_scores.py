# SPDX-License-Identifier: Apache-2.0
"""Scores of many weightings of the same items at once.

An item is an image or a tile. `weights` is float, R x N: row r says how often each of the N items
counts in resample r; a row of ones gives the plain score. All functions return R numbers, NaN
where a row leaves nothing to score.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


def weighted_mean(values: Numbers, weights: Numbers) -> Numbers:
    """Mean of the values; those that are NaN are left out.

    :param values: float, N.
    """
    known = ~np.isnan(values)
    return ratio(weights @ np.where(known, values, 0.0), weights @ known)


def weighted_roc_auc(scores: Numbers, truth: Truth, weights: Numbers) -> Numbers:
    """Chance that a positive item scores higher than a negative one; ties count half.

    :param scores: float, N.
    :param truth: bool, N.
    """
    order = np.argsort(scores)
    scores, truth, weights = scores[order], truth[order], weights[:, order]
    below = np.pad(np.cumsum(weights * ~truth, axis=1), ((0, 0), (1, 0)))
    first, end = (np.searchsorted(scores, scores, side) for side in ('left', 'right'))
    won = (weights * truth * (below[:, first] + below[:, end]) / 2).sum(axis=1)
    return ratio(won, (weights @ truth) * (weights @ ~truth))


def weighted_recall(scores: Numbers, truth: Truth, weights: Numbers,
                    false_alarms: float) -> Numbers:
    """Largest recall of all thresholds at which the false alarms stay within a share.

    :param scores: float, N; an item is flagged from the threshold on.
    :param truth: bool, N.
    :param false_alarms: share of the negative items that may be flagged, 0..1.
    """
    order = np.argsort(-scores)
    scores, truth, weights = scores[order], truth[order], weights[:, order]
    # equal scores are flagged together: look only where the next score differs
    last = np.append(scores[1:] != scores[:-1], True)[:len(scores)]
    flagged = np.cumsum(weights * truth, axis=1)[:, last]
    alarms = np.cumsum(weights * ~truth, axis=1)[:, last]
    negatives = weights @ ~truth
    allowed = alarms <= false_alarms * negatives[:, np.newaxis] + 1e-9
    recall = ratio(np.where(allowed, flagged, 0.0).max(axis=1, initial=0.0), weights @ truth)
    return np.where(negatives > 0, recall, np.nan)


def ratio(part: Numbers, whole: Numbers) -> Numbers:
    """Divide; NaN where the whole is zero."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
