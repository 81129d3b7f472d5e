# SPDX-License-Identifier: Apache-2.0
"""A frame as the network sees it, and the way back from there to the frame."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.resize import resized

_MULTIPLE = 32  # sides a segmenter takes


@dataclass(frozen=True)
class Picture:
    """A frame at the size that the network sees."""

    pixels: npt.NDArray[np.float32]
    """H x W x 3, RGB, 0..255."""
    inner_size: tuple[int, int]
    """Height and width of the part that is the frame; the rest is its mirrored border, px."""
    frame_size: tuple[int, int]
    """Height and width of the frame itself, px."""

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width, px."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def inner(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of the part of a map that is the frame.

        :param values: H x W, as large as the picture.
        """
        height, width = self.inner_size
        return values[:height, :width]

    def to_frame(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Bring a map of any size that covers the picture to the frame's size.

        :param values: float32, h x w.
        :return: float32, as large as the frame.
        """
        height, width = self.inner_size
        inner = enlarged(values, self.size)[:height, :width]
        return np.ascontiguousarray(enlarged(inner, self.frame_size))

    def from_frame(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Bring a map of the frame's size to the picture's; the mirrored border gets 0.

        :param values: float32, as large as the frame.
        :return: float32, H x W.
        """
        result = np.zeros(self.size, np.float32)
        height, width = self.inner_size
        if self.inner_size != self.frame_size:
            result[:height, :width] = cv2.resize(values, (width, height),
                                                 interpolation=cv2.INTER_AREA)
        else:
            result[:height, :width] = values
        return result


def fit(frame: RgbFrame, card: ModelCard, max_pixels: int) -> Picture:
    """Fit a frame to a model as `CrackClassifier` and `CrackSegmenter` do.

    :param frame: uint8, H x W x 3, RGB, any size.
    :param card: of the model.
    :param max_pixels: larger frames are reduced to this many for a segmenter.
    """
    height, width = frame.shape[:2]
    if card.task == 'classifier':
        side = card.input_size
        return Picture(resized(frame, side).astype(np.float32), side[::-1], (height, width))
    factor = min(1.0, math.sqrt(max_pixels / (height * width)))
    inner = max(1, round(height * factor)), max(1, round(width * factor))
    if factor < 1.0:
        frame = cv2.resize(frame, inner[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
    padded = cv2.copyMakeBorder(frame, 0, -inner[0] % _MULTIPLE, 0, -inner[1] % _MULTIPLE,
                                cv2.BORDER_REFLECT)
    return Picture(padded.astype(np.float32), inner, (height, width))


def enlarged(values: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return a map at another size, interpolated bilinearly: Up of the paper's equation 2.

    :param values: float32, h x w.
    :param size: height and width, px.
    """
    if values.shape == size:
        return values
    return cv2.resize(values, size[::-1],
                      interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
