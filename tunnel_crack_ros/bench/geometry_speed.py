# SPDX-License-Identifier: Apache-2.0
"""How long measuring takes: by mask pixels, and beside the segmenter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import math
import time
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision import measure_cracks, RgbFrame, Segmentation
from tunnel_crack_ros.vision.segmenter import clean_mask

Segment = Callable[[RgbFrame], Segmentation]
_THRESHOLD = 0.3
_SMALL, _LARGE = (512, 384), (4096, 3000)
# width and height of the frame, px, and how many times wider than in the first its cracks are
_FRAMES = ((_SMALL, 1.0), ((1024, 768), 1.0), ((2048, 1500), 1.0), (_LARGE, 1.0), (_LARGE, 3.0))
_SECONDS = 0.5      # for each frame
_FEWEST = 3         # rounds, however long they take


@dataclass(frozen=True)
class Timing:
    """Times of one frame with three cracks."""

    size: tuple[int, int]
    """Width and height, px."""
    mask_pixels: int
    median_ms: float
    least_ms: float


@dataclass(frozen=True)
class GeometrySpeed:
    """Times over several sizes."""

    timings: list[Timing]
    segmenter_ms: dict[tuple[int, int], float]
    """The segmenter's median time by size; empty when there was none."""

    columns: ClassVar[tuple[str, ...]] = (
        'frame', 'mask pixels', 'ms (median)', 'ms (least)', 'us per 1000 mask pixels')

    def fit(self) -> tuple[float, float]:
        """Fit a straight line to the times over the mask pixels.

        :return: its slope, ms for 1000 pixels, and the share of variance it explains (R squared).
        """
        pixels = np.array([timing.mask_pixels for timing in self.timings], np.float64)
        times = np.array([timing.median_ms for timing in self.timings])
        slope, start = np.polyfit(pixels, times, 1)
        rest = times - (start + slope * pixels)
        return float(slope) * 1e3, 1.0 - float(rest @ rest / ((times - times.mean()) ** 2).sum())

    def share(self, size: tuple[int, int]) -> float:
        """Return the median over the segmenter's for a frame of the same size; NaN: unknown."""
        own = next(timing.median_ms for timing in self.timings if timing.size == size)
        return own / self.segmenter_ms[size] if size in self.segmenter_ms else math.nan

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values; what is not known is left out."""
        slope, linearity = self.fit()
        found: dict[str, Any] = {}
        for size in (_SMALL, _LARGE):
            own = next(timing for timing in self.timings if timing.size == size)
            name = f'ms_{size[0]}x{size[1]}'
            found |= {name: own.median_ms, f'{name}_min': own.least_ms}
            if size in self.segmenter_ms:
                found |= {f'segmenter_{name}': self.segmenter_ms[size],
                          f'share_of_segmenter_{size[0]}x{size[1]}': self.share(size)}
        return {**found, 'ms_per_1000_mask_pixels': slope, 'linearity': linearity,
                'ms_over_mask_pixels': [
                    {'size': list(timing.size), 'mask_pixels': timing.mask_pixels,
                     'ms': timing.median_ms} for timing in self.timings]}

    def rows(self) -> list[list[str]]:
        """Return the table, a line for each frame."""
        return [[f'{timing.size[0]} x {timing.size[1]}', str(timing.mask_pixels),
                 f'{timing.median_ms:.1f}', f'{timing.least_ms:.1f}',
                 f'{timing.median_ms / timing.mask_pixels * 1e6:.0f}'] for timing in self.timings]

    def sentence(self) -> str:
        """Say the rest in one line."""
        slope, linearity = self.fit()
        shares = ', '.join(
            f"{self.share(size):.0%} of the segmenter's {milliseconds:.0f} ms at "
            f'{size[0]} x {size[1]}' for size, milliseconds in self.segmenter_ms.items())
        return f'{slope * 1e3:.0f} us for 1000 mask pixels more (R^2 {linearity:.3f})' \
            + (f'; {shares}' if shares else '')


def measure_speed(segment: Segment | None = None) -> GeometrySpeed:
    """Time frames with three cracks of several sizes, and the segmenter on the same.

    :param segment: frame -> segmentation of its size; None: only the measuring is timed.
    """
    timings = []
    for size, wider in _FRAMES:
        confidence = three_cracks(size, wider)
        found = Segmentation(confidence, clean_mask(confidence, _THRESHOLD, 30), _THRESHOLD)
        taken = _milliseconds(partial(measure_cracks, found))
        timings.append(Timing(size, int(np.count_nonzero(found.mask)), float(np.median(taken)),
                              min(taken)))
    segmenter: dict[tuple[int, int], float] = {}
    if segment is not None:
        for size in (_SMALL, _LARGE):
            grey = (200.0 - 150.0 * three_cracks(size)).astype(np.uint8)
            frame = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
            segmenter[size] = float(np.median(_milliseconds(partial(segment, frame))))
    return GeometrySpeed(timings, segmenter)


def three_cracks(size: tuple[int, int], wider: float = 1.0) -> npt.NDArray[np.float32]:
    """Render three waves along a frame, 2, 5 and 9 px wide, as a confidence map.

    :param size: width and height, px.
    :param wider: factor on the widths.
    """
    width, height = size
    confidence = np.zeros((height, width), np.float32)
    column = np.arange(width // 10, width - width // 10)
    for place, across in ((0.2, 2.0 * wider), (0.5, 5.0 * wider), (0.8, 9.0 * wider)):
        swing, wave = 0.05 * height, 2 * math.pi / (0.6 * width)
        row = place * height + swing * np.sin(wave * column)
        slope = swing * wave * np.cos(wave * column)
        reach = math.ceil(across)
        for offset in range(-reach, reach + 1):
            y = np.round(row).astype(int) + offset
            distance = np.abs(y - row) / np.hypot(1.0, slope)
            confidence[y, column] = np.clip(across / 2 + 0.5 - distance, 0.0, 1.0)
    return confidence


def _milliseconds(work: Callable[[], object]) -> list[float]:
    """Time a piece of work again and again, after once for nothing."""
    work()
    taken: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(taken) < _FEWEST or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e3)
    return taken
