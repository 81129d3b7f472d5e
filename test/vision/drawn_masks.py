# SPDX-License-Identifier: Apache-2.0
"""Masks and confidence maps of known course, and what must hold of all that is measured on one."""

import math

import cv2
import numpy as np

from tunnel_crack_ros.vision import Crack, measure_cracks, Segmentation

NEVER_NAN = ('confidence', 'length_px', 'width_mean_px', 'width_p95_px', 'width_max_px',
             'area_px')


def measured(mask: np.ndarray, **more) -> list[Crack]:
    mask = mask.astype(np.uint8) * np.uint8(255)
    return measure_cracks(Segmentation((mask / 255).astype(np.float32), mask, 0.5), **more)


def measured_softly(confidence: np.ndarray, threshold: float = 0.3, **more) -> list[Crack]:
    mask = (confidence >= threshold).astype(np.uint8) * np.uint8(255)
    return measure_cracks(Segmentation(confidence, mask, threshold), **more)


def line(angle: float, length: float, width: float, size: int = 301) -> np.ndarray:
    """Return a mask with a straight bar through the middle.

    :param angle: rad, positive rising to the right.
    """
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    along = x * math.cos(angle) - y * math.sin(angle)
    across = x * math.sin(angle) + y * math.cos(angle)
    return (abs(along) <= length / 2) & (abs(across) <= width / 2)


def bar(length: float, width: float, blur: float = 0.6, size: int = 240) -> np.ndarray:
    """Return the confidence of a level bar through the middle, 0..1, exact to 1/16 px."""
    fine = (np.arange(size * 16) + 0.5) / 16 - size / 2
    along = (abs(fine) <= length / 2).reshape(size, 16).mean(axis=1)
    across = (abs(fine) <= width / 2).reshape(size, 16).mean(axis=1)
    return cv2.GaussianBlur(np.outer(across, along).astype(np.float32), (0, 0), blur)


def check_numbers(cracks: list[Crack], shape: tuple[int, int]) -> None:
    for crack in cracks:
        for name in NEVER_NAN:
            assert math.isfinite(getattr(crack, name)), name
        assert 0.0 <= crack.confidence <= 1.0
        assert crack.length_px > 0 and crack.width_mean_px > 0
        assert len(crack.centre_line) == len(crack.widths_px) >= 1
        assert np.isfinite(crack.centre_line).all() and (crack.widths_px > 0).all()
        left, top, width, height = crack.bounding_box
        assert left + width <= shape[1] and top + height <= shape[0]
        assert math.isnan(crack.tortuosity) or crack.tortuosity >= 1.0
        assert math.isnan(crack.orientation) or abs(crack.orientation) <= math.pi / 2
