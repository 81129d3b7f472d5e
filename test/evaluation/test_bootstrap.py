# SPDX-License-Identifier: Apache-2.0
"""Intervals: whole photographs are drawn, and the width is the one that theory gives."""

import math

import numpy as np
import pytest

from tunnel_crack_ros.evaluation.bootstrap import resample, score_with_intervals
from tunnel_crack_ros.evaluation.weighted_scores import weighted_mean


def mean_of(values):
    return lambda weights: {'mean': weighted_mean(np.asarray(values, float), weights)}


def test_crops_of_a_photograph_are_drawn_together():
    weights = resample(['a', 'b', 'a', 'c'])
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()
    assert weights[:, 1].min() == 0 and weights[:, 1].max() == 3


def test_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(4).normal(10, 2, 400)
    found, limits = score_with_intervals(mean_of(values), [str(i) for i in range(400)])
    error = 1.96 * values.std() / math.sqrt(400)
    assert found['mean'] == pytest.approx(values.mean())
    # 1000 resamples give the ends of the interval to about a tenth of its half width
    assert limits['mean'] == pytest.approx(
        (values.mean() - error, values.mean() + error), abs=0.25 * error)


def test_copies_of_a_photograph_make_nothing_more_certain():
    values = np.random.default_rng(4).normal(10, 2, 40)
    names = [str(i) for i in range(40)]
    _, once = score_with_intervals(mean_of(values), names)
    _, thrice = score_with_intervals(mean_of(np.tile(values, 3)), names * 3)
    assert thrice['mean'] == pytest.approx(once['mean'])


def test_the_same_data_gives_the_same_interval():
    groups = [str(i) for i in range(9)]
    assert score_with_intervals(mean_of(range(9)), groups) == score_with_intervals(
        mean_of(range(9)), groups)


@pytest.mark.parametrize('groups', [[], ['a'], ['a', 'a']])
def test_no_interval_of_less_than_two_photographs(groups):
    assert score_with_intervals(mean_of([1.0] * len(groups)), groups)[1] == {'mean': None}


def test_nothing_known_is_none():
    assert score_with_intervals(mean_of([math.nan, math.nan]), ['a', 'b']) == (
        {'mean': None}, {'mean': None})
