# SPDX-License-Identifier: Apache-2.0
"""Scores guessed from other scores: what is known stays, what depends on it is found."""

import numpy as np
import pytest

from tunnel_crack_ros.vision.explain.interpolation import Interpolation
from tunnel_crack_ros.vision.explain.log_odds import from_log_odds, log_odds, slope_at


def test_interpolation_keeps_what_is_known_and_finds_what_depends_on_the_maps():
    rng = np.random.default_rng(0)
    maps = rng.uniform(0, 1, (60, 4))
    truth = from_log_odds(np.sin(maps[:, 0] * 2) + maps[:, 1])
    known = np.full(60, np.nan)
    known[:30] = truth[:30]
    found = Interpolation(maps, np.full(60, 0.5), np.zeros((60, 0)), 0.0).fit(known)
    assert (found.scores[:30] == truth[:30]).all()
    assert not found.covariance[:30].any()
    assert np.corrcoef(found.scores[30:], truth[30:])[0, 1] > 0.98
    sigmas = np.sqrt(np.diag(found.covariance)[30:])
    assert np.mean(np.abs(found.scores[30:] - truth[30:]) < 3 * sigmas) > 0.9


def test_interpolation_learns_from_traits_over_orders_of_magnitude():
    rng = np.random.default_rng(1)
    traits, guesses = rng.normal(0, 1, (40, 2)), 10.0 ** rng.uniform(-2.5, -0.3, 40)
    truth = from_log_odds(log_odds(guesses) + traits[:, 0])
    known = np.full(40, np.nan)
    known[:8] = truth[:8]
    found = Interpolation(np.zeros((40, 1)), guesses, traits, 0.0).fit(known)
    off = np.abs(log_odds(found.scores) - log_odds(truth))[8:]
    assert off.max() < np.abs(traits[8:, 0]).max() / 3
    sigmas = np.sqrt(np.diag(found.covariance))[8:]
    assert np.corrcoef(np.log(sigmas), np.log(truth[8:]))[0, 1] > 0.8   # small ones are small


def test_scores_are_drawn_as_log_odds_so_that_a_small_one_may_be_far_larger():
    rng = np.random.default_rng(2)
    maps, guesses = rng.uniform(0, 1, (30, 4)), np.full(30, 1e-3)
    known = np.full(30, np.nan)
    known[:4] = from_log_odds(log_odds(guesses[:4]) + np.array([-2.0, 2.0, -1.5, 2.5]))
    found = Interpolation(maps, guesses, np.zeros((30, 0)), 0.0).fit(known)
    drawn = found.draws(400)
    assert drawn.shape == (400, 30)
    assert (drawn[:, :4] == known[:4]).all()
    opened = log_odds(drawn[:, 4:])
    assert opened.mean(0) == pytest.approx(found.log_odds[4:], abs=0.5)
    sigmas = np.sqrt(np.diag(found.log_odds_covariance)[4:])
    assert opened.std(0) == pytest.approx(sigmas, rel=0.2)
    assert drawn.min() >= 0.0
    # as many draws are three sigmas below as above, but only above is far away
    assert (drawn[:, 4:] > 10 * found.scores[4:]).any()


def test_many_channels_are_drawn_as_far_apart_and_as_alike_as_few():
    rng = np.random.default_rng(3)
    maps, known = rng.uniform(0, 1, (700, 3)), np.full(700, np.nan)
    known[:10] = rng.uniform(0.2, 0.8, 10)
    found = Interpolation(maps, np.full(700, 0.5), np.zeros((700, 0)), 0.0).fit(known)
    drawn = log_odds(found.draws(2000))
    opened = slice(10, None)
    sigmas = np.sqrt(np.diag(found.log_odds_covariance)[opened])
    assert drawn[:, opened].std(0) == pytest.approx(sigmas, rel=0.12)
    expected = found.log_odds_covariance[opened, opened] / np.outer(sigmas, sigmas)
    got = np.corrcoef(drawn[:, opened].T)
    far = ~np.eye(690, dtype=bool)
    assert np.corrcoef(expected[far], got[far])[0, 1] > 0.95


def test_all_scores_known_leave_nothing_to_draw():
    known = np.array([0.1, 0.5, 0.9])
    found = Interpolation(np.eye(3), known, np.zeros((3, 0)), 0.0).fit(known)
    assert (found.draws(2) == known).all()


def test_log_odds_have_an_inverse_and_an_end():
    values = np.array([0.0, 1e-7, 1e-3, 0.5, 0.999, 1.0])
    assert from_log_odds(log_odds(values)) == pytest.approx(values, abs=1e-12)
    assert np.isfinite(log_odds(np.array([-0.1, 1.1]))).all()
    p, step = np.array([1e-4, 0.3, 0.9]), 1e-4
    rise = from_log_odds(log_odds(p) + step) - from_log_odds(log_odds(p) - step)
    assert slope_at(p) == pytest.approx(rise / (2 * step), rel=0.02)
