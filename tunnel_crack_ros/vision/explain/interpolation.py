# SPDX-License-Identifier: Apache-2.0
"""Scores of channels that had no pass, from those that had one: a Gaussian process.

It works on log-odds: there guesses are about as far off for a score of 0.001 as for one of 0.5.
It starts from guesses and learns how far off they are: on the whole, along the guesses, along the
traits of the masks, and for channels whose masks look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
import itertools

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.log_odds import from_log_odds, log_odds, slope_at

Array = npt.NDArray[np.float64]

_LENGTHS = (0.35, 0.7, 1.4, 2.8)    # of the kernels, in median distances between channels
_NOISES = (1e-3, 3e-2, 0.2)         # variance of what nothing here tells
_LIKE_MAPS = 0.5                    # variances of what masks of like looks, of like traits,
_LIKE_TRAITS = 1.0                  # along a line through the traits, and all channels share
_LINE = 1.0
_COMMON = 1.0
_MOST = 256                         # channels with a pass that are looked at
_LEADING = 256                      # channels whose doubts are drawn all together
_SLOPE = 0.3                        # and of a factor on all guesses
_USUAL = 1.0                        # variance of the log-odds about guesses, as found on pictures,
_WORTH = 4.0                        # and how many channels with a pass that knowledge is worth


@dataclass(frozen=True)
class Interpolated:
    """Scores of all channels, and how sure they are."""

    scores: Array
    """C; those known as they are."""
    covariance: Array
    """C x C, of small errors; 0 for those known."""
    log_odds: Array
    """Of the scores, C."""
    log_odds_covariance: Array
    """C x C; 0 for those known."""

    def draws(self, count: int) -> Array:
        """Draw scores from all that is possible, those known as they are.

        They are drawn as log-odds: where a score may be 0.001 or 0.1 alike, `covariance` would
        have it between 0 and 0.003.

        :param count: n.
        :return: 0..1, n x C.
        """
        doubt = self.log_odds_covariance
        opened = np.flatnonzero(np.diag(doubt) > 0.0)
        found = np.tile(self.scores, (count, 1))
        if not opened.size:
            return found
        opened = opened[np.argsort(-np.diag(doubt)[opened], kind='stable')]
        leading, rest = opened[:_LEADING], opened[_LEADING:]
        noise = np.random.default_rng(0).standard_normal((count, opened.size))
        root = np.linalg.cholesky(_firm(doubt[np.ix_(leading, leading)]))
        # the others by what they share with the leading ones, and each by what is its own
        shared = np.linalg.solve(root, doubt[np.ix_(leading, rest)])
        own = np.sqrt(np.maximum(np.diag(doubt)[rest] - (shared * shared).sum(0), 0.0))
        drawn, others = noise[:, :leading.size], noise[:, leading.size:]
        off = np.hstack([drawn @ root.T, drawn @ shared + others * own])
        found[:, opened] = from_log_odds(self.log_odds[opened] + off)
        return found


class Interpolation:
    """A Gaussian process over the channels of one layer."""

    def __init__(self, maps: Array, scores: Array, traits: Array, nothing: float) -> None:
        """Take what is known of the channels beforehand.

        :param maps: rows that say what a channel's mask looks like, C x n.
        :param scores: guesses, 0..1, C.
        :param traits: rows that say what the mask does to the region, C x m; m may be 0.
        :param nothing: f of the baseline, where a guess is surest.
        """
        self._guess = log_odds(scores)
        self._like_maps = _distances(maps)
        scaled = (traits - traits.mean(0)) / np.maximum(traits.std(0), 1e-6)
        self._like_traits = _distances(scaled)
        self._whole: tuple[tuple[float, float], Array] | None = None
        self._trend: Array = _COMMON + _LINE * scaled @ scaled.T / max(1, scaled.shape[1])
        if len(scores) and np.ptp(self._guess) > 1e-6:
            rise = (self._guess - log_odds(np.array(nothing))) / self._guess.std()
            self._trend += _SLOPE * np.outer(rise, rise)

    def fit(self, known: Array) -> Interpolated:
        """Return all scores.

        :param known: C, NaN where a channel had no pass.
        """
        scored = np.flatnonzero(np.isfinite(known))
        places = scored[::-(-len(scored) // _MOST) or 1]
        off = log_odds(known[places]) - self._guess[places]
        length, noise, amplitude = self._best(places, off)
        if self._whole is None or self._whole[0] != (length, noise):
            self._whole = (length, noise), self._prior(length, noise, np.arange(len(known)))
        prior = self._whole[1]
        factor = np.linalg.cholesky(_firm(prior[np.ix_(places, places)]))
        across = np.linalg.solve(factor, prior[places])
        odds = self._guess + across.T @ np.linalg.solve(factor, off)
        scores = from_log_odds(odds)
        scores[scored] = known[scored]
        doubt = amplitude * (prior - across.T @ across)
        doubt[scored, :] = 0.0
        doubt[:, scored] = 0.0
        slopes = slope_at(scores)
        return Interpolated(scores, doubt * np.outer(slopes, slopes), odds, doubt)

    def _best(self, places: npt.NDArray[np.intp], off: Array) -> tuple[float, float, float]:
        """Return length, noise and amplitude that make what is known the likeliest."""
        found = (-np.inf, _LENGTHS[1], _NOISES[1], _USUAL)
        for length, noise in itertools.product(_LENGTHS, _NOISES) if len(places) else ():
            factor = np.linalg.cholesky(_firm(self._prior(length, noise, places)))
            whitened = np.linalg.solve(factor, off)
            # a few channels happen to be alike: the usual amplitude has its say
            worth = _WORTH + len(off)
            amplitude = (_WORTH * _USUAL + float(whitened @ whitened)) / worth
            likelihood = -np.log(np.diag(factor)).sum() - 0.5 * worth * np.log(amplitude)
            found = max(found, (float(likelihood), length, noise, amplitude))
        return found[1:]

    def _prior(self, length: float, noise: float, places: npt.NDArray[np.intp]) -> Array:
        part = np.ix_(places, places)
        like = _LIKE_MAPS * np.exp(-self._like_maps[part] / (2.0 * length ** 2))
        like += _LIKE_TRAITS * np.exp(-self._like_traits[part] / (2.0 * length ** 2))
        like[np.diag_indices(len(places))] += noise
        prior: Array = self._trend[part] + like
        return prior


def _distances(rows: Array) -> Array:
    """Return squared distances of rows in units of their median, C x C."""
    squares = (rows * rows).sum(1)
    apart = np.maximum(squares[:, None] - 2.0 * rows @ rows.T + squares[None], 0.0)
    pairs = apart[np.triu_indices(len(rows), 1)]
    middle = float(np.median(pairs)) if pairs.size else 0.0
    return apart / middle if middle > 0.0 else apart


def _firm(matrix: Array) -> Array:
    """Return it with what rounding may have taken from its diagonal."""
    return matrix + np.eye(len(matrix)) * (1e-10 * float(np.trace(matrix)) / max(1, len(matrix)))
