# SPDX-License-Identifier: Apache-2.0
"""Stage 2: which pixels of a flagged frame are crack?"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.model import Model, ModelError

_MULTIPLE = 32  # sides the network takes: its deepest layer is 32 times smaller
_WIDE_PX = 5    # of the half-size picture; the network misses the inside of wider cracks
_SMALLEST = 64  # px; a frame with a shorter side is not halved
MAX_PIXELS = 1 << 20
"""Larger frames are reduced to this many pixels, unless said otherwise."""
_LEAST_ENLARGED = 1.2   # enlarged by less, a frame shows the network nothing new


@dataclass(frozen=True)
class Segmentation:
    """Stage 2's picture of one frame, at the frame's own size."""

    confidence: npt.NDArray[np.float32]
    """H x W, crack probability of every pixel, 0..1."""
    mask: npt.NDArray[np.uint8]
    """H x W, 255 where crack, else 0."""
    threshold: float
    """Confidence from which on a pixel was crack, 0..1."""


class CrackSegmenter:
    """Find the crack pixels of a frame (stage 2; Feng et al., section 2.3)."""

    def __init__(self, model: Model, threshold: float | None = None, max_pixels: int = MAX_PIXELS,
                 min_area_px: int = 30, enlarge: bool = True) -> None:
        """Make a segmenter.

        :param model: a loaded segmenter.
        :param threshold: confidence from which on a pixel is crack, 0..1; None: the card's.
        :param max_pixels: larger frames are reduced to this many pixels before the network sees
            them: bounds time and memory, costs the finest cracks.
        :param min_area_px: smaller connected pieces of the mask are dropped, px at the frame's
            own size.
        :param enlarge: see frames enlarged too, where the card says so, as far as `max_pixels`
            allows: more hairlines, for more than twice the time.
        :raises ModelError: the model is no segmenter.
        """
        if model.card.task != 'segmenter':
            raise ModelError(f'{model.card.name} is a {model.card.task}, expected a segmenter')
        self.model = model
        self.threshold = model.card.threshold if threshold is None else threshold
        self._max_pixels = max_pixels
        self._min_area_px = min_area_px
        self._enlarge = model.card.enlarge if enlarge else 1.0

    def segment(self, frame: RgbFrame) -> Segmentation:
        """Segment one frame.

        :param frame: uint8, H x W x 3, RGB, any size.
        :raises ModelError: the engine failed; the frame is untouched and may be tried again.
        """
        confidence = self.confidence(frame)
        return Segmentation(confidence, self._mask(confidence), self.threshold)

    def _mask(self, confidence: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        return clean_mask(confidence, self.threshold, self._min_area_px, self.model.card.peak)

    def confidence(self, frame: RgbFrame) -> npt.NDArray[np.float32]:
        """Return the crack probability of every pixel, float32 H x W, 0..1.

        :param frame: uint8, H x W x 3, RGB, any size.
        :raises ModelError: the engine failed.
        """
        confidence = self._seen_at_all_sizes(reduced(frame, self._max_pixels))
        return np.ascontiguousarray(at_size_of(frame, confidence), dtype=np.float32)

    def _seen_at_all_sizes(self, frame: RgbFrame) -> npt.NDArray[np.float32]:
        height, width = frame.shape[:2]
        confidence = self._run(frame)
        if self.model.card.half_scale and min(height, width) >= _SMALLEST:
            half = cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            wide = wide_parts(self._run(half.astype(np.uint8, copy=False)))
            confidence = np.maximum(confidence, _resized(wide, (width, height)))
        factor = min(self._enlarge, math.sqrt(self._max_pixels / (height * width)))
        if factor >= _LEAST_ENLARGED:
            larger = cv2.resize(frame, (round(width * factor), round(height * factor)),
                                interpolation=cv2.INTER_CUBIC)
            fine = cv2.resize(self._run(larger.astype(np.uint8, copy=False)), (width, height),
                              interpolation=cv2.INTER_AREA)
            confidence = np.maximum(confidence, fine)
        return confidence

    def _run(self, frame: RgbFrame) -> npt.NDArray[np.float32]:
        height, width = frame.shape[:2]
        # a mirrored border has no edge of its own that could pass for a crack
        padded = cv2.copyMakeBorder(frame, 0, -height % _MULTIPLE, 0, -width % _MULTIPLE,
                                    cv2.BORDER_REFLECT)
        confidence = self.model.run(padded[np.newaxis].astype(np.uint8, copy=False))[0]
        return np.asarray(confidence[:height, :width], dtype=np.float32)


def reduced(frame: RgbFrame, max_pixels: int = MAX_PIXELS) -> RgbFrame:
    """Reduce a frame, uint8, H x W x 3, to so many pixels; a smaller one stays as it is."""
    height, width = frame.shape[:2]
    factor = math.sqrt(max_pixels / (height * width))
    if factor >= 1.0:
        return frame
    inner = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(frame, inner, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def at_size_of(frame: RgbFrame, confidence: npt.NDArray[np.float32],
               ) -> npt.NDArray[np.float32]:
    """Enlarge the confidence of a frame that was `reduced` to the size that it had before."""
    height, width = frame.shape[:2]
    return confidence if confidence.shape == (height, width) else _resized(
        confidence, (width, height))


def _resized(confidence: npt.NDArray[np.float32],
             size: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(confidence, size, interpolation=cv2.INTER_LINEAR), np.float32)


def wide_parts(confidence: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Keep of a confidence map what is at least 5 px wide (a grey opening with a disc).

    Of the map of a half-size picture that leaves the cracks of 10 px and more, whose inside the
    network misses at full size, and takes away the hairlines, which it only makes thicker.

    :param confidence: float32, H x W, 0..1.
    :return: the same shape, nowhere larger.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_WIDE_PX, _WIDE_PX))
    return np.asarray(cv2.morphologyEx(confidence, cv2.MORPH_OPEN, disc), np.float32)


def clean_mask(confidence: npt.NDArray[np.float32], threshold: float, min_area_px: int,
               peak: float = 0.0) -> npt.NDArray[np.uint8]:
    """Cut a confidence map into a mask and drop pieces that are hardly a crack.

    A low threshold follows a crack into its faint ends; the peak, higher, decides whether the
    piece is one at all (two thresholds, as in Canny's hysteresis).

    :param confidence: H x W, 0..1.
    :param threshold: 0..1; a pixel at or above it is crack.
    :param min_area_px: smallest 8-connected piece that stays, px.
    :param peak: 0..1; a piece stays when its highest confidence is at least this.
    :return: uint8, H x W, 255 where crack, else 0.
    """
    raw = (confidence >= threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(raw, connectivity=8)
    if count <= 1:
        return raw * np.uint8(255)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area_px
    if peak > threshold:
        keep &= piece_peaks(confidence, raw, np.asarray(labels, np.int32), count) >= peak
    keep[0] = False
    values = np.where(keep, 255, 0).astype(np.uint8)
    return values[labels]


def piece_peaks(confidence: npt.NDArray[np.float32], raw: npt.NDArray[np.uint8],
                labels: npt.NDArray[np.integer[Any]], count: int) -> npt.NDArray[np.float32]:
    """Return the highest confidence of each connected piece, float32, `count` of them.

    :param confidence: H x W, 0..1.
    :param raw: H x W, not 0 where a piece is.
    :param labels: H x W, number of each pixel's piece, 0 the background.
    """
    inside = np.flatnonzero(raw)
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, labels.ravel()[inside], confidence.ravel()[inside])
    return peaks
