# SPDX-License-Identifier: Apache-2.0
"""One layer on its way to a heat map: its channels, the scores known, and what they make."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.channel_groups import medoids, small_maps
from tunnel_crack_ros.vision.explain.interpolation import Interpolation
from tunnel_crack_ros.vision.explain.picture import enlarged

_EPSILON = 1e-6     # span of a channel, in shares of its largest value, below which it is constant
_DRAWS = 16         # maps drawn to see how far the exact one may be from the estimate


class Layer:
    """A tapped layer of one picture."""

    def __init__(self, name: str, activations: npt.NDArray[np.float32], baseline_score: float,
                 ) -> None:
        """Take a layer.

        :param name: plain name.
        :param activations: A, float32, C x h x w.
        :param baseline_score: f(X_b).
        """
        self.name = name
        self._baseline = baseline_score
        low, high = activations.min((1, 2)), activations.max((1, 2))
        span = high - low
        size = np.maximum(np.abs(low), np.abs(high))
        self.places = np.flatnonzero(span > _EPSILON * np.maximum(size, _EPSILON))
        """Channels that are not constant; only those can be scored."""
        self.channels = len(activations)
        self._activations = activations[self.places]
        self.known = np.full(len(self.places), math.nan)
        """f with each channel's mask; NaN: not scored yet."""
        self.passes = 0
        self._small: npt.NDArray[np.float64] | None = None
        self._hints: npt.NDArray[np.float64] = np.zeros((len(self.places), 0))
        self._interpolation: Interpolation | None = None

    def __len__(self) -> int:
        """Return how many channels can be scored."""
        return len(self.places)

    @property
    def complete(self) -> bool:
        """Return whether every channel that can be scored has been."""
        return bool(np.isfinite(self.known).all())

    @property
    def energy(self) -> npt.NDArray[np.float64]:
        """Return how much each channel moves the heat map for a score of 1."""
        return np.abs(self._activations).mean((1, 2), dtype=np.float64)

    def mask(self, index: int, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Return H of a channel: s(Up(A)), from 0 to 1 (equations 1 and 2).

        :param index: among the channels that can be scored.
        :param size: height and width of the picture, px.
        :return: float32, H x W; all 0 where nothing is left of the channel at that size.
        """
        whole = enlarged(self._activations[index], size)
        low, high = float(whole.min()), float(whole.max())
        if not high > low:
            return np.zeros(size, np.float32)
        return (whole - np.float32(low)) * np.float32(1.0 / (high - low))

    def by_energy(self) -> list[int]:
        """Return all channels, those first that move the map most."""
        return [int(i) for i in np.argsort(-self.energy, kind='stable')]

    def representatives(self, count: int) -> list[int]:
        """Return channels that speak for the others, the weightiest group's first."""
        if count >= len(self):
            return self.by_energy()
        return medoids(self._maps(), count, self.energy)

    def take_hints(self, hints: npt.NDArray[np.float64]) -> None:
        """Take cheap guesses of the scores, C x m."""
        self._hints, self._interpolation = hints, None

    def score(self, index: int, value: float) -> None:
        """Note f with a channel's mask."""
        self.known[index] = value

    def weights(self) -> npt.NDArray[np.float64]:
        """Return C of every channel, guessed where there was no pass; 0 for constant ones."""
        result = np.zeros(self.channels)
        result[self.places] = self._estimate()[0] - self._baseline
        return result

    def heat(self) -> npt.NDArray[np.float32]:
        """Return L = ReLU(sum of C A) at the layer's own size (equation 4), not scaled."""
        return self._combine(self._estimate()[0] - self._baseline)

    def fidelity(self) -> float:
        """Return the rank correlation with the exact map that the known scores let expect.

        Maps are drawn from all that the scores leave possible and compared with the estimate.

        :return: -1..1; 1 when all are known, NaN when too few are.
        """
        if self.complete:
            return 1.0
        if np.isfinite(self.known).sum() < 3:
            return math.nan
        scores, covariance = self._estimate()
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        noise = np.random.default_rng(0).standard_normal((_DRAWS, len(self)))
        mine = self._combine(scores - self._baseline)
        found = [rank_correlation(mine, self._combine(scores + root @ draw - self._baseline))
                 for draw in noise]
        return float(np.nanmean(found)) if np.isfinite(found).any() else math.nan

    def _combine(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        total = np.tensordot(weights.astype(np.float32), self._activations, 1)
        return np.maximum(total, 0.0).astype(np.float32)

    def _maps(self) -> npt.NDArray[np.float64]:
        if self._small is None:
            self._small = small_maps(self._activations)
        return self._small

    def _estimate(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return all scores and their covariance."""
        count, nothing = len(self), np.zeros((len(self), len(self)))
        if self.complete:
            return self.known, nothing
        if not np.isfinite(self.known).any():
            first = self._hints[:, 0] if self._hints.shape[1] else np.ones(count)
            return first, nothing
        if self._interpolation is None:
            self._interpolation = Interpolation(self._maps(), self._hints)
        found = self._interpolation.fit(self.known)
        return found.scores, found.covariance


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
