# SPDX-License-Identifier: Apache-2.0
"""A guess of every channel's score from a few passes that all layers share.

Where a mask is smooth, a pixel's surroundings are shown as strongly as the pixel itself. So its
confidence is about that in the picture which fades to the baseline everywhere alike. A few such
passes, and every mask's score is read off, between two levels by log-odds: a confidence that rises
from 0.001 to 0.9 does so late. Where a mask is not smooth, a crack that is shown stronger than its
surroundings stands out more, or less: by how much, the channels that get a pass tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.layer import Layer
from tunnel_crack_ros.vision.explain.log_odds import from_log_odds, log_odds
from tunnel_crack_ros.vision.explain.mask_values import MaskValues
from tunnel_crack_ros.vision.explain.passes import Passes

LEVELS = (0.4, 0.75)
"""How much of the picture is shown, besides nothing (0) and all (1)."""
_MOST = 4000            # pixels of the region that are looked at
_AROUND = (17, 33, 65)  # sides of the surroundings whose mean mask is looked at, px
_LOOK = 64              # channels between two looks at the time


@dataclass(frozen=True)
class Guesses:
    """What is known of a layer's channels before any has a pass."""

    scores: npt.NDArray[np.float64]
    """f with each channel's mask, about; C."""
    traits: npt.NDArray[np.float64]
    """Means of the mask over the region, its surroundings and all of the picture; C x n."""


def no_guesses(count: int, score: float) -> Guesses:
    """Return guesses that know nothing: one score for all.

    :param count: C.
    """
    return Guesses(np.full(count, score), np.zeros((count, 0)))


class Dimming:
    """A region's confidence at some levels between the baseline and the picture."""

    def __init__(self, passes: Passes, whole: npt.NDArray[np.float32],
                 nothing: npt.NDArray[np.float32]) -> None:
        """Take the two ends.

        :param passes: of a segmenter.
        :param whole: confidence in the picture, H x W.
        :param nothing: confidence in the baseline, H x W.
        """
        assert passes.weights is not None
        rows, columns = np.nonzero(passes.weights)
        step = -(-len(rows) // _MOST)
        self._rows, self._columns = rows[::step], columns[::step]
        weights = passes.weights[self._rows, self._columns].astype(np.float64)
        self._weights = weights / weights.sum()
        self._size = passes.size
        self._known = {0.0: self._at(nothing), 1.0: self._at(whole)}

    def add(self, level: float, confidence: npt.NDArray[np.float32]) -> None:
        """Take the confidence at another level."""
        self._known[level] = self._at(confidence)

    def guesses(self, layer: Layer, check: Callable[[], None] | None = None) -> Guesses:
        """Return what is known of a layer's channels.

        :param check: called again and again; ends it by raising.
        """
        masks = MaskValues(layer.activations, self._size)
        levels = sorted(self._known)
        table = log_odds(np.stack([self._known[level] for level in levels]))
        scores = np.empty(len(layer))
        for start in range(0, len(layer), _LOOK):
            if check is not None:
                check()
            part = slice(start, start + _LOOK)
            shown = masks.at(self._rows, self._columns, part)
            scores[part] = _between(np.array(levels, np.float32), table, shown) @ self._weights
        traits = [masks.means(weights) for weights in self._surroundings()]
        return Guesses(scores, np.stack(traits, axis=1))

    def _surroundings(self) -> list[npt.NDArray[np.float64]]:
        """Return weights of the picture's pixels: of the region, around it, of all alike."""
        region = np.zeros(self._size)
        region[self._rows, self._columns] = self._weights
        around = [cv2.blur(region, (side, side), borderType=cv2.BORDER_REFLECT)
                  for side in _AROUND]
        return [region, *around, np.full(self._size, 1.0 / region.size)]

    def _at(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return values[self._rows, self._columns].astype(np.float64)


def _between(levels: npt.NDArray[np.float32], table: npt.NDArray[np.float64],
             shown: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Read confidences off, between two levels by log-odds.

    :param levels: n of them, rising from 0 to 1.
    :param table: log-odds of each pixel at each level, n x pixels.
    :param shown: how much of the picture is shown at each pixel, C x pixels.
    :return: 0..1, C x pixels.
    """
    below = np.clip(np.searchsorted(levels, shown, side='right') - 1, 0, len(levels) - 2)
    share = (shown - levels[below]) / (levels[below + 1] - levels[below])
    pixels = np.arange(shown.shape[1])
    return from_log_odds(table[below, pixels] * (1.0 - share) + table[below + 1, pixels] * share)
