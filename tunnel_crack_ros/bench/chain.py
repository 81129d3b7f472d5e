# SPDX-License-Identifier: Apache-2.0
"""What the whole chain, segmenter and measurement, makes of cracks whose size is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.simulation import SimulatedCrack, SimulatedFrame
from tunnel_crack_ros.vision import RgbFrame
from tunnel_crack_ros.vision.geometry.crack import Crack
from tunnel_crack_ros.vision.geometry.measure import measure_cracks
from tunnel_crack_ros.vision.scale import Scale, ScaleSource
from tunnel_crack_ros.vision.segmenter import Segmentation

Segment = Callable[[RgbFrame], Segmentation]

_NEAR_PX = 5            # a line this close to another one is on the same crack
_FOUND = 0.5            # share of its visible line that must be marked
_VISIBLE = 0.1          # contrast below which nobody sees a crack (see SimulatedCrack)
_SHORTEST_MM = 50.0     # of a crack in view that is asked for


@dataclass
class ChainReport:
    """Cracks of simulated frames: asked for, found, measured, and made up."""

    frames: int = 0
    imaged_m: float = 0.0
    """Tunnel length in the frames, overlaps counted as often as they were seen, m."""
    asked: int = 0
    found: int = 0
    false_cracks: int = 0
    length_errors_mm: list[float] = field(default_factory=list)
    """Measured less true length of every crack found, mm."""
    length_shares: list[float] = field(default_factory=list)
    """The same as a share of the true length."""
    width_errors_mm: list[float] = field(default_factory=list)
    """Measured less true mean width of every crack found and resolved, mm."""
    below_floor: int = 0
    """Cracks found whose width was given as `below X mm`."""
    below_floor_right: int = 0
    """Those of them that are narrower than X."""

    @property
    def false_per_100_m(self) -> float:
        """Return the false cracks per 100 m of imaged tunnel."""
        return 100.0 * self.false_cracks / self.imaged_m if self.imaged_m else float('nan')

    def add(self, frame: SimulatedFrame, cracks: list[Crack], mask: npt.NDArray[np.uint8]) -> None:
        """Compare one frame's cracks with the truth.

        :param cracks: as measured, with the frame's true scale.
        :param mask: uint8, H x W, 255 where marked.
        """
        self.frames += 1
        self.imaged_m += frame.view.width * frame.view.mm_per_px / 1000.0
        near_mask = cv2.dilate(mask, np.ones((2 * _NEAR_PX + 1,) * 2, np.uint8)) > 0
        near_truth = [_near(truth, mask.shape) for truth in frame.cracks]
        anywhere = np.zeros(mask.shape, bool)
        for near in near_truth:
            anywhere |= near
        own: list[list[Crack]] = [[] for _ in frame.cracks]
        for crack in cracks:
            vertices = np.concatenate(crack.lines)
            shares = [_share(vertices, near) for near in near_truth]
            if _share(vertices, anywhere) < _FOUND:
                self.false_cracks += 1
            else:
                own[int(np.argmax(shares))].append(crack)
        for truth, measured in zip(frame.cracks, own):
            if truth.contrast < _VISIBLE or truth.length_mm < _SHORTEST_MM:
                continue
            self.asked += 1
            line = np.concatenate([visible.points_px for visible in truth.lines])
            if measured and _share(line, near_mask) >= _FOUND:
                self.found += 1
                self._measure(truth, measured)

    def _measure(self, truth: SimulatedCrack, measured: list[Crack]) -> None:
        length = sum(crack.length_mm for crack in measured)
        self.length_errors_mm.append(length - truth.length_mm)
        self.length_shares.append((length - truth.length_mm) / truth.length_mm)
        longest = max(measured, key=lambda crack: crack.length_px)
        if not longest.resolved:
            self.below_floor += 1
            self.below_floor_right += truth.width_mean_mm < longest.width_floor_mm
            return
        resolved = [crack for crack in measured if crack.resolved]
        weights = np.array([crack.length_mm for crack in resolved])
        width = float(np.average([crack.width_mean_mm for crack in resolved], weights=weights))
        self.width_errors_mm.append(width - truth.width_mean_mm)

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values; errors as medians of their sizes, NaN without any."""
        return {
            'frames': self.frames, 'imaged_m': self.imaged_m, 'cracks': self.asked,
            'found': self.found / self.asked if self.asked else float('nan'),
            'false_cracks': self.false_cracks, 'false_per_100_m': self.false_per_100_m,
            'length_error_mm_median': median_size(self.length_errors_mm),
            'length_error_median': median_size(self.length_shares),
            'length_bias_median': median(self.length_shares),
            'width_error_mm_median': median_size(self.width_errors_mm),
            'width_bias_mm_median': median(self.width_errors_mm),
            'widths': len(self.width_errors_mm), 'below_floor': self.below_floor,
            'below_floor_right': self.below_floor_right}


def measure_chain(segment: Segment, frames: Iterable[SimulatedFrame],
                  progress: Callable[[int], None] | None = None) -> ChainReport:
    """Segment and measure simulated frames; unusable ones are left out.

    Asked for are cracks that can be seen (contrast 0.1 and more) and are at least 50 mm long in
    view. Found is one whose line is marked for at least half its length, within 5 px. A measured
    crack is false when less than half of its line lies within 5 px of any crack, seen or not.

    :param segment: frame -> segmentation of its size.
    :param progress: told the frames done.
    """
    report = ChainReport()
    for done, frame in enumerate(frames, 1):
        if frame.usable:
            segmentation = segment(frame.rgb)
            scale = Scale(frame.view.mm_per_px, 0.0, ScaleSource.PARAMETER)
            report.add(frame, measure_cracks(segmentation, scale), segmentation.mask)
        if progress:
            progress(done)
    return report


def median(values: list[float]) -> float:
    """Return the median; NaN of nothing."""
    return float(np.median(values)) if values else float('nan')


def median_size(values: list[float]) -> float:
    """Return the median of the values without their signs; NaN of nothing."""
    return median([abs(value) for value in values])


def _near(truth: SimulatedCrack, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Mark what is within reach of a crack's visible lines, bool H x W."""
    canvas = np.zeros(shape, np.uint8)
    for line in truth.lines:
        cv2.polylines(canvas, [np.round(line.points_px).astype(np.int32)], False, 255,
                      2 * _NEAR_PX + 1)
    return canvas > 0


def _share(points: npt.NDArray[Any], area: npt.NDArray[np.bool_]) -> float:
    """Return the share of points, N x 2 (x, y), px, that lie in an area, bool H x W."""
    columns = np.clip(np.round(points[:, 0]).astype(int), 0, area.shape[1] - 1)
    rows = np.clip(np.round(points[:, 1]).astype(int), 0, area.shape[0] - 1)
    return float(area[rows, columns].mean())
