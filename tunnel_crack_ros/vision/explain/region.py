# SPDX-License-Identifier: Apache-2.0
"""What of a segmenter's answer is to be explained: the region whose mean confidence is f."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.crack import Crack

Region: TypeAlias = 'npt.NDArray[np.bool_] | tuple[int, int, int, int] | None'
"""A mask of the frame's size; a box (left, top, width, height), px; None: what was predicted."""


def region_of_box(box: tuple[int, int, int, int],
                  frame_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels of a box.

    :param box: left, top, width, height, px; what sticks out of the frame is cut off.
    :param frame_size: height and width, px.
    :raises ValueError: nothing of it lies in the frame.
    """
    left, top, width, height = box
    region = np.zeros(frame_size, bool)
    region[max(0, top):max(0, top + height), max(0, left):max(0, left + width)] = True
    if not region.any():
        raise ValueError(f'box {box} (left, top, width, height) lies outside the frame of '
                         f'{frame_size[1]} x {frame_size[0]} px')
    return region


def region_of_crack(crack: Crack, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return the pixels of one crack: the pieces of the mask that its lines run through.

    :param crack: as measured on this mask.
    :param mask: uint8, H x W, 0 or 255.
    """
    line = np.zeros(mask.shape, np.uint8)
    cv2.polylines(line, [np.round(points).astype(np.int32).reshape(-1, 1, 2)
                         for points in crack.lines], False, 1)
    _, pieces = cv2.connectedComponents((mask > 0).astype(np.uint8), connectivity=8)
    own = np.unique(pieces[line > 0])
    return np.asarray(np.isin(pieces, own[own > 0]))
