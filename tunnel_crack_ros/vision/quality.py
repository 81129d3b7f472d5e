# SPDX-License-Identifier: Apache-2.0
"""Can this frame be judged at all? Too dark, too bright, too blurred: UNKNOWN."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.settings import parameter

# Quality is judged on a picture reduced to this many pixels on its longer side. Limits then fit
# any camera, and sensor noise, which no lens blurs and which would pass for sharpness, is averaged
# away: at 512 px a noisy blurred frame measures as sharp as a sharp one, at 128 px it does not.
_LONG_SIDE = 128
_AGAIN_PX = 5  # length of the second blur on that picture


@dataclass(frozen=True)
class QualityGate:
    """Limits within which a frame can be judged; the classifier node's parameters, too."""

    min_brightness: float = parameter(
        20.0, 'Mean grey value below which a frame is UNKNOWN (too dark), 0..255', low=0.0,
        high=255.0, live=True)
    max_brightness: float = parameter(
        235.0, 'Mean grey value above which a frame is UNKNOWN (too bright), 0..255', low=0.0,
        high=255.0, live=True)
    max_saturated: float = parameter(
        0.6, 'Share of pixels at 250 or above from which on a frame is UNKNOWN (too bright)',
        low=0.0, high=1.0, live=True)
    max_blur: float = parameter(
        0.5, 'Blur effect above which a frame is UNKNOWN (too blurred), 0 sharp .. 1', low=0.0,
        high=1.0, live=True)

    def reason_to_refuse(self, frame: RgbFrame) -> str:
        """Say why a frame cannot be judged.

        :param frame: uint8, H x W x 3, RGB.
        :return: the reason with value and limit, e.g. `too dark (mean 7 < 20)`; '' when it can.
        """
        grey = _reduced_grey(frame)
        mean = float(grey.mean())
        if mean < self.min_brightness:
            return f'too dark (mean {mean:.0f} < {self.min_brightness:.0f})'
        if mean > self.max_brightness:
            return f'too bright (mean {mean:.0f} > {self.max_brightness:.0f})'
        saturated = float(np.count_nonzero(grey >= 250)) / grey.size
        if saturated > self.max_saturated:
            return f'too bright ({saturated:.0%} saturated > {self.max_saturated:.0%})'
        blur = blur_effect(grey)
        if blur > self.max_blur:
            return f'too blurred (blur effect {blur:.2f} > {self.max_blur:.2f})'
        return ''


def blur_effect(grey: npt.NDArray[np.uint8]) -> float:
    """Measure blur: how little a picture loses when it is blurred once more.

    Crete, Dolmiere, Ladret, Nicolas, "The blur effect: perception and estimation with a new
    no-reference perceptual blur metric", SPIE 6492 (2007), equations 1-6. The greater value of
    the two directions, so that motion blur along one of them counts.

    :param grey: uint8, H x W.
    :return: 0 (sharp) .. 1 (cannot get blurrier); 1 for a picture without any structure.
    """
    return max(_blur_along(grey.astype(np.float32), axis) for axis in (0, 1))


def _blur_along(picture: npt.NDArray[np.float32], axis: int) -> float:
    if picture.shape[axis] < 2:
        return 1.0
    size = (1, _AGAIN_PX) if axis == 0 else (_AGAIN_PX, 1)
    again = cv2.blur(picture, size)
    variation = np.abs(np.diff(picture, axis=axis))
    lost = np.maximum(variation - np.abs(np.diff(again, axis=axis)), 0.0)
    total = float(variation.sum())
    return 1.0 if total <= 0.0 else 1.0 - float(lost.sum()) / total


def _reduced_grey(frame: RgbFrame) -> npt.NDArray[np.uint8]:
    height, width = frame.shape[:2]
    factor = _LONG_SIDE / max(height, width)
    if factor < 1.0:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
