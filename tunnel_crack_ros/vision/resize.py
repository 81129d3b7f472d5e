# SPDX-License-Identifier: Apache-2.0
"""Pictures at the size that a network takes, whatever their own; the aspect is not kept."""

from __future__ import annotations

from typing import Any

import cv2
import numpy.typing as npt


def resized(picture: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Average what shrinks, and interpolate what grows.

    Averaging keeps a hairline's darkness where plain sampling would step over it. OpenCV averages
    only where no side grows, so a side that shrinks while the other grows goes first.

    :param picture: H x W, or H x W x channels.
    :param size: width and height, px.
    """
    height, width = picture.shape[:2]
    inner = min(width, size[0]), min(height, size[1])
    found = picture
    if inner != (width, height):
        found = cv2.resize(found, inner, interpolation=cv2.INTER_AREA)
    if inner != size:
        found = cv2.resize(found, size, interpolation=cv2.INTER_LINEAR)
    return found.astype(picture.dtype, copy=False)
