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


def test_log_odds_have_an_inverse_and_an_end():
    values = np.array([0.0, 1e-7, 1e-3, 0.5, 0.999, 1.0])
    assert from_log_odds(log_odds(values)) == pytest.approx(values, abs=1e-12)
    assert np.isfinite(log_odds(np.array([-0.1, 1.1]))).all()
    p, step = np.array([1e-4, 0.3, 0.9]), 1e-4
    rise = from_log_odds(log_odds(p) + step) - from_log_odds(log_odds(p) - step)
    assert slope_at(p) == pytest.approx(rise / (2 * step), rel=0.02)
