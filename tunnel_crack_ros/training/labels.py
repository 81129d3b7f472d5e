# SPDX-License-Identifier: Apache-2.0
"""Training labels: crack, no crack, none but like one, and cannot say."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.training.augment import Mask, Picture

Label = npt.NDArray[np.uint8]       # H x W

NO_CRACK, CRACK, LOOKALIKE, IGNORE = 0, 1, 2, 255

# Their lines are drawn two to five times too thick.
THICK_SOURCES = frozenset({'k11_rissbilder', 'k11_volker', 'k11_eugen', 'tile100'})
# Other surfaces, there for variety: a threshold for concrete is not chosen by them.
OTHER_SURFACES = frozenset({'masonry224', 'asphalt_cfd118', 'asphalt_sut60',
                            'asphalt_crack500_150'})

_CELL = 32      # px; a cell of a classifier's last feature map
_CELL_PX = 6.0  # px of crack, at the network's input, that make a cell cracked
_SHARE_OF_DARKEST = 0.5     # of the darkness of the line's core nearby: half depth is the edge
_LEAST_DARKNESS = 0.04      # of the concrete's brightness
_REACH = 9                  # px; window in which the core's darkness is looked for
_BESIDE = 2                 # px around the core that stay undecided


def thin_label(image: Picture, mask: Mask) -> Label:
    """Thin a label drawn too thick down to the dark line under it.

    Crack are the mask's pixels at least half as dark as the darkest nearby, darkness being
    measured against the concrete outside the mask. Within 2 px of them the mask stays undecided,
    farther away it is no crack; where the mask holds no dark line at all, all of it is undecided.

    :param image: uint8, H x W x 3, RGB.
    :param mask: bool, H x W.
    :return: uint8, H x W: CRACK, NO_CRACK or IGNORE.
    """
    label = mask.astype(np.uint8)
    if not mask.any():
        return label
    darkness = np.where(mask, relative_darkness(image, mask), 0.0).astype(np.float32)
    smooth = cv2.GaussianBlur(darkness, (0, 0), 0.8)
    nearby = cv2.dilate(smooth, np.ones((_REACH, _REACH), np.uint8))
    core = mask & (smooth >= _SHARE_OF_DARKEST * nearby) & (nearby >= _LEAST_DARKNESS)
    beside = cv2.dilate(core.astype(np.uint8), np.ones((2 * _BESIDE + 1,) * 2, np.uint8)) > 0
    has_core = cv2.dilate(core.astype(np.uint8), np.ones((2 * _REACH + 1,) * 2, np.uint8)) > 0
    label[mask & ~core & (beside | ~has_core)] = IGNORE
    label[mask & ~core & ~beside & has_core] = NO_CRACK
    return label


def relative_darkness(image: Picture, mask: Mask) -> npt.NDArray[np.float32]:
    """How much darker each pixel is than the concrete around it.

    The concrete's brightness is the Gaussian mean of the pixels outside the mask.

    :param image: uint8, H x W x 3, RGB.
    :param mask: bool, H x W.
    :return: float32, H x W; 0 as bright as the concrete, 1 black, negative brighter.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    outside = (cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0).astype(
        np.float32)
    weight = cv2.GaussianBlur(outside, (0, 0), 9.0) + 1e-4
    concrete = cv2.GaussianBlur(grey * outside, (0, 0), 9.0) / weight
    concrete = np.where(weight > 0.02, concrete, float(grey.mean()))
    darkness = 1.0 - grey / np.maximum(concrete, 1.0)
    return np.clip(darkness, -1.0, 1.0).astype(np.float32)


def paste_crack(image: Picture, crack_image: Picture, crack_mask: Mask,
                strength: float) -> Picture:
    """Darken a clean picture by the crack of another one of the same size.

    Only the crack's relative darkness is carried over, so light and texture stay the clean
    picture's own.

    :param image: uint8, H x W x 3, RGB, without crack.
    :param crack_image: uint8, H x W x 3, RGB.
    :param crack_mask: bool, H x W, crack of `crack_image`.
    :param strength: of the darkness carried over; 1 leaves it as it was.
    """
    near = cv2.dilate(crack_mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    share = cv2.GaussianBlur(near, (0, 0), 0.8)
    darkness = np.clip(relative_darkness(crack_image, crack_mask) * strength, -0.05, 0.95)
    factor = 1.0 - share * darkness
    return np.clip(image.astype(np.float32) * factor[..., None], 0, 255).astype(np.uint8)


def cell_labels(label: Label, size: tuple[int, int]) -> Label:
    """Label each 32 x 32 px cell of the network's input.

    :param label: of the picture at its own size.
    :param size: width and height of the network's input, px.
    :return: uint8, H/32 x W/32: CRACK, NO_CRACK, or IGNORE where only a trace of a crack, or an
        undecided pixel, lies in the cell.
    """
    width, height = size
    planes = []
    for value in (CRACK, IGNORE):
        share = cv2.resize((label == value).astype(np.float32), size,
                           interpolation=cv2.INTER_AREA)
        blocks = share[:height // _CELL * _CELL, :width // _CELL * _CELL]
        planes.append(blocks.reshape(height // _CELL, _CELL, width // _CELL, _CELL).sum((1, 3)))
    crack, unclear = planes
    return np.where(crack > _CELL_PX, CRACK, np.where(crack + unclear > 0.5, IGNORE,
                                                      NO_CRACK)).astype(np.uint8)
