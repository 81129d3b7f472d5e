# SPDX-License-Identifier: Apache-2.0
"""Scores of channels that had no pass, from those that had one: a Gaussian process.

Channels whose masks look alike get like scores. A linear trend along hints (cheap guesses of the
scores) is followed as far as the scores known bear it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_LENGTHS = (0.35, 0.7, 1.4, 2.8)    # of the kernel, in median distances between channels
_NOISES = (1e-3, 3e-2, 0.2)         # variance of what the maps do not tell, in shares of the whole


@dataclass(frozen=True)
class Interpolated:
    """Scores of all channels, and how sure they are."""

    scores: Array
    """C; those known as they are."""
    covariance: Array
    """C x C; 0 for those known."""


class Interpolation:
    """A Gaussian process over the channels of one layer."""

    def __init__(self, maps: Array, hints: Array) -> None:
        """Take what is known of the channels beforehand.

        :param maps: rows that say what a channel's mask looks like, C x n.
        :param hints: guesses of the scores, C x m; m may be 0.
        """
        squares = (maps * maps).sum(1)
        self._squares: Array = np.maximum(
            squares[:, None] - 2.0 * maps @ maps.T + squares[None], 0.0)
        apart = self._squares[np.triu_indices(len(maps), 1)]
        self._scale = float(np.median(apart)) if apart.size and np.median(apart) > 0 else 1.0
        self._hints = hints

    def fit(self, known: Array) -> Interpolated:
        """Return all scores.

        :param known: C, NaN where a channel had no pass; at least one had.
        """
        places = np.flatnonzero(np.isfinite(known))
        values = known[places]
        centre, spread = float(values.mean()), float(values.std()) or 1e-6
        best: tuple[float, Interpolated] | None = None
        for length in _LENGTHS:
            kernel = np.exp(-self._squares / (2.0 * length ** 2 * self._scale))
            # a trend whose slope and height are themselves uncertain: unlikely to be steep
            prior = kernel + 1.0 + self._hint_kernel(places)
            for noise in _NOISES:
                likelihood, found = _condition(prior, noise, places, (values - centre) / spread)
                if best is None or likelihood > best[0]:
                    best = likelihood, found
        assert best is not None
        scores = best[1].scores * spread + centre
        scores[places] = values
        return Interpolated(scores, best[1].covariance * spread ** 2)

    def _hint_kernel(self, places: npt.NDArray[np.intp]) -> Array:
        if not self._hints.shape[1]:
            return np.zeros_like(self._squares)
        spread = self._hints.std(0)
        hints = (self._hints - self._hints[places].mean(0)) / np.where(spread > 0, spread, 1.0)
        product: Array = hints @ hints.T
        return product


def _condition(prior: Array, noise: float, places: npt.NDArray[np.intp],
               values: Array) -> tuple[float, Interpolated]:
    """Return the log likelihood of what is known, and the rest given that."""
    inner = prior[np.ix_(places, places)] + noise * np.eye(len(places))
    factor = np.linalg.cholesky(inner)
    whitened = np.linalg.solve(factor, values)
    # the amplitude that fits best; kept from 0, where few values happen to be alike
    amplitude = max(float(whitened @ whitened) / len(values), 1e-2)
    likelihood = -np.log(np.diag(factor)).sum() - 0.5 * len(values) * np.log(amplitude)
    across = np.linalg.solve(factor, prior[places])
    scores = across.T @ whitened
    covariance = amplitude * (prior - across.T @ across + noise * np.eye(len(prior)))
    covariance[places, :] = 0.0
    covariance[:, places] = 0.0
    return float(likelihood), Interpolated(scores, covariance)
