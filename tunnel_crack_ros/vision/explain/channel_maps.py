# SPDX-License-Identifier: Apache-2.0
"""What the masks of a layer's channels look like, small enough to be compared."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

_SIDE = 16      # of the small maps that are compared, px


def small_maps(activations: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return every channel's mask at 16 x 16, as one row of 256 numbers.

    :param activations: float32, C x h x w, no channel constant.
    :return: float64, C x 256, each row from 0 to 1 before it was made small.
    """
    rows = np.empty((len(activations), _SIDE * _SIDE))
    for row, channel in zip(rows, activations):
        low, high = float(channel.min()), float(channel.max())
        shrinks = min(channel.shape) >= _SIDE
        small = cv2.resize(channel, (_SIDE, _SIDE),
                           interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        row[:] = (small.ravel() - low) / (high - low)
    return rows
