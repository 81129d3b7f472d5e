# SPDX-License-Identifier: Apache-2.0
"""What a layer's scores are as far as is known, how sure that is, and which pass tells most."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.channel_maps import small_maps
from tunnel_crack_ros.vision.explain.dimming import Guesses
from tunnel_crack_ros.vision.explain.interpolation import Interpolated, Interpolation
from tunnel_crack_ros.vision.explain.layer import Layer
from tunnel_crack_ros.vision.explain.ranks import rank_correlation, rank_slopes

_PIXELS = 1024      # of the layer that stand for all when passes are chosen
_DRAWS = 16         # maps drawn to see how far the exact one may be from the estimate
_ROUND = 8          # a new choice is made after this part of the passes made so far


class Estimate:
    """The estimated scores of one layer."""

    def __init__(self, layer: Layer, guesses: Guesses, nothing: float) -> None:
        """Take what is known before any channel has a pass.

        :param nothing: f of the baseline.
        """
        self._layer, self._nothing = layer, nothing
        flat = layer.activations.reshape(len(layer), -1)
        chosen = np.random.default_rng(0).permutation(flat.shape[1])[:_PIXELS]
        self._pixels = flat[:, np.sort(chosen)].T.astype(np.float64)
        self._interpolation = Interpolation(
            small_maps(layer.activations), guesses.scores, guesses.traits, nothing)
        self._found: tuple[int, Interpolated] | None = None
        self._fidelity: tuple[int, float] | None = None

    def scores(self) -> npt.NDArray[np.float64]:
        """Return f with each channel's mask; those known as they are."""
        return self._interpolated().scores

    def next_channels(self) -> list[int]:
        """Return the channels whose passes make the map's ranks surest, one round of them.

        The first is the one that moves the map most: where its guess is wrong, all is.
        """
        if not self._layer.scored:
            return self._layer.by_energy()[:1]
        covariance = self._interpolated().covariance.copy()
        seen = self._slopes()[:, None] * self._pixels
        count = min(max(1, self._layer.scored // _ROUND),
                    len(self._layer) - self._layer.scored)
        across = seen @ covariance
        chosen: list[int] = []
        for _ in range(count):
            variances = np.diag(covariance)
            gain = (across * across).sum(0) / np.maximum(variances, 1e-16)
            gain[np.isfinite(self._layer.known)] = -1.0
            gain[chosen] = -1.0
            best = int(gain.argmax())
            chosen.append(best)
            column = covariance[best] / max(variances[best], 1e-16)
            across = across - np.outer(across[:, best], column)
            covariance = covariance - np.outer(covariance[:, best], column)
        return chosen

    def fidelity(self) -> float:
        """Return the rank correlation with the exact map that the known scores let expect.

        Scores are drawn from all that is possible, and their maps compared with the estimate, at
        the pixels that stand for all.

        :return: -1..1; 1 when all are known, NaN when too few are.
        """
        done = self._layer.scored
        if self._fidelity is None or self._fidelity[0] != done:
            self._fidelity = done, self._expected()
        return self._fidelity[1]

    def _expected(self) -> float:
        if self._layer.complete:
            return 1.0
        if self._layer.scored < 2:
            return math.nan
        found, pixels = self._interpolated(), self._pixels[::2]
        mine = np.maximum(pixels @ (found.scores - self._nothing), 0.0)
        maps = np.maximum((found.draws(_DRAWS) - self._nothing) @ pixels.T, 0.0)
        alike = [rank_correlation(mine, drawn) for drawn in maps]
        return float(np.nanmean(alike)) if np.isfinite(alike).any() else math.nan

    def _slopes(self) -> npt.NDArray[np.float64]:
        return rank_slopes(self._pixels @ (self._interpolated().scores - self._nothing))

    def _interpolated(self) -> Interpolated:
        done = self._layer.scored
        if self._found is None or self._found[0] != done:
            self._found = done, self._interpolation.fit(self._layer.known)
        return self._found[1]
