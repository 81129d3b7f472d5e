# SPDX-License-Identifier: Apache-2.0
"""How far a score may be off: percentile bootstrap over photographs (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import math

import numpy as np

from tunnel_crack_ros.evaluation.weighted_scores import Numbers

RESAMPLES = 1000
COVERAGE = 0.95
_SEED = 20_000      # any; the same data gives the same intervals

Scores = Mapping[str, Numbers]


def resample(groups: Sequence[str], resamples: int = RESAMPLES) -> Numbers:
    """Draw whole groups with replacement, as many as there are.

    :param groups: group of each of the N items; items of one group stay together.
    :return: float, R x N: how often each item was drawn in each resample.
    """
    names, group_of_item = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(_SEED)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    return drawn[:, group_of_item].astype(np.float64)


def score_with_intervals(score: Callable[[Numbers], Scores], groups: Sequence[str],
                         ) -> tuple[dict[str, float | None],
                                    dict[str, tuple[float, float] | None]]:
    """Score the items, and say within which limits each score would lie with other photographs.

    :param score: takes weights (R x N), returns R numbers a metric.
    :param groups: group of each of the N items.
    :return: each metric's value, and its 95 % interval [low, high]. None where the data cannot
        give it: nothing to score, or for an interval fewer than two groups.
    """
    ones = np.ones((1, len(groups)))
    values = {name: _known(float(found[0])) for name, found in score(ones).items()}
    if len(set(groups)) < 2:
        return values, dict.fromkeys(values)
    tail = (1 - COVERAGE) / 2
    limits: dict[str, tuple[float, float] | None] = {}
    for name, found in score(resample(groups)).items():
        found = found[~np.isnan(found)]     # a resample may hold no image of one class
        low, high = np.quantile(found, (tail, 1 - tail)) if len(found) else (math.nan, math.nan)
        limits[name] = (float(low), float(high)) if len(found) else None
    return values, limits


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
