# SPDX-License-Identifier: Apache-2.0
"""Ranks of a map's values against a plain count."""

import math

import numpy as np
import pytest

from tunnel_crack_ros.vision.explain.ranks import rank_correlation, rank_slopes


def test_rank_correlation_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    a = rng.permutation(50).astype(float)
    b = a + rng.normal(0, 10, 50)
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    apart = float(((ranks[0] - ranks[1]) ** 2).sum())
    assert rank_correlation(a, b) == pytest.approx(1 - 6 * apart / (50 * (50 ** 2 - 1)))
    assert rank_correlation(a, -a) == pytest.approx(-1.0)
    assert math.isnan(rank_correlation(a, np.ones(50)))
    # equal values share their mean rank
    assert rank_correlation(np.array([1, 1, 2, 3]), np.array([1, 2, 3, 4])) == pytest.approx(
        np.corrcoef([0.5, 0.5, 2, 3], [0, 1, 2, 3])[0, 1])


def test_an_error_moves_a_rank_most_where_many_values_are_alike():
    values = np.concatenate([np.linspace(0.0, 0.1, 900), np.linspace(0.1, 1.0, 100)])
    places, errors = np.array([450, 950]), np.array([1e-3, 0.03])
    passed = np.searchsorted(values, values[places] + errors) - 1 - places
    # whole ranks against a slope
    assert rank_slopes(values)[places] * errors == pytest.approx(passed / len(values), rel=0.3)
