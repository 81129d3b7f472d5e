# SPDX-License-Identifier: Apache-2.0
"""One layer on its way to a heat map: its channels, the scores known, and what they make."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.picture import enlarged

_EPSILON = 1e-6     # span of a channel, in shares of its largest value, below which it is constant


class Layer:
    """A tapped layer of one picture."""

    def __init__(self, name: str, activations: npt.NDArray[np.float32]) -> None:
        """Take a layer.

        :param name: plain name.
        :param activations: A, float32, C x h x w.
        """
        self.name = name
        low, high = activations.min((1, 2)), activations.max((1, 2))
        span = high - low
        size = np.maximum(np.abs(low), np.abs(high))
        self.places = np.flatnonzero(span > _EPSILON * np.maximum(size, _EPSILON))
        """Channels that are not constant; only those can be scored."""
        self.channels = len(activations)
        self.activations = activations[self.places]
        """A of those, float32."""
        self.known = np.full(len(self.places), math.nan)
        """f with each channel's mask; NaN: not scored yet."""
        self.passes = 0

    def __len__(self) -> int:
        """Return how many channels can be scored."""
        return len(self.places)

    @property
    def complete(self) -> bool:
        """Return whether every channel that can be scored has been."""
        return bool(np.isfinite(self.known).all())

    @property
    def scored(self) -> int:
        """Return how many channels had a pass of their own."""
        return int(np.isfinite(self.known).sum())

    def mask(self, index: int, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Return H of a channel: s(Up(A)), from 0 to 1 (equations 1 and 2).

        :param index: among the channels that can be scored.
        :param size: height and width of the picture, px.
        :return: float32, H x W; all 0 where nothing is left of the channel at that size.
        """
        whole = enlarged(self.activations[index], size)
        low, high = float(whole.min()), float(whole.max())
        if not high > low:
            return np.zeros(size, np.float32)
        return (whole - np.float32(low)) * np.float32(1.0 / (high - low))

    def by_energy(self) -> list[int]:
        """Return all channels, those first that move the heat map most for a score of 1."""
        energy = np.abs(self.activations).mean((1, 2), dtype=np.float64)
        return [int(i) for i in np.argsort(-energy, kind='stable')]

    def score(self, index: int, value: float) -> None:
        """Note f with a channel's mask, from a pass."""
        self.known[index] = value
        self.passes += 1

    def heat(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return L = ReLU(sum of C A) at the layer's own size (equation 4), not scaled.

        :param weights: C, of the channels that can be scored.
        """
        total = np.tensordot(weights.astype(np.float32), self.activations, 1)
        return np.maximum(total, 0.0).astype(np.float32)
