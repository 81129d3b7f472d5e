# SPDX-License-Identifier: Apache-2.0
"""A guess of every channel's score from a few passes that all layers share.

Where a mask is smooth, a pixel's surroundings are shown as strongly as the pixel itself. So its
confidence is about that in the picture which fades to the baseline everywhere alike. A few such
passes, and every mask's score is read off.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.layer import Layer
from tunnel_crack_ros.vision.explain.passes import Passes

LEVELS = (0.25, 0.5, 0.75)
"""How much of the picture is shown, besides nothing (0) and all (1)."""
_MOST = 4000    # pixels of the region that are looked at


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

    def guesses(self, layer: Layer) -> npt.NDArray[np.float64]:
        """Return a guess of f for every channel of a layer, C x 1."""
        levels = np.array(sorted(self._known))
        table = np.stack([self._known[level] for level in levels])
        pixels = np.arange(len(self._rows))
        result = np.empty((len(layer), 1))
        for index in range(len(layer)):
            shown = layer.mask(index, self._size)[self._rows, self._columns]
            below = np.clip(np.searchsorted(levels, shown, side='right') - 1, 0, len(levels) - 2)
            part = (shown - levels[below]) / (levels[below + 1] - levels[below])
            confidence = table[below, pixels] * (1.0 - part) + table[below + 1, pixels] * part
            result[index] = self._weights @ confidence
        return result

    def _at(self, confidence: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return confidence[self._rows, self._columns].astype(np.float64)
