# SPDX-License-Identifier: Apache-2.0
"""Measure every crack of a mask."""

from __future__ import annotations

from dataclasses import replace
import math

import cv2
import numpy as np

from tunnel_crack_ros.vision.geometry.centre_line import CentreLine, trace_centre_line
from tunnel_crack_ros.vision.geometry.crack import Crack, CrackKind
from tunnel_crack_ros.vision.scale import Scale
from tunnel_crack_ros.vision.segmenter import Segmentation

_ALONG = math.radians(30.0)    # closer to the tunnel axis than this: longitudinal
_ACROSS = math.radians(60.0)   # farther from it than this: circumferential
_BRANCHED = 0.5                # branches longer than this share of the main line: branched


def measure_cracks(segmentation: Segmentation, scale: Scale | None = None,
                   axis_angle: float = 0.0) -> list[Crack]:
    """Measure the cracks of one frame.

    :param segmentation: mask and confidence, H x W.
    :param scale: millimetres per pixel; None: lengths in px only, mm are NaN.
    :param axis_angle: direction of the tunnel axis in the image, rad, 0 along the rows.
    :return: one crack for each 8-connected piece of the mask, longest first.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(segmentation.mask, connectivity=8)
    mm_per_px = scale.mm_per_px if scale is not None and scale.known else math.nan
    cracks = [_measure(segmentation, labels, label, stats[label], mm_per_px, axis_angle)
              for label in range(1, count)]
    cracks.sort(key=lambda crack: crack.length_px, reverse=True)
    return [replace(crack, id=number) for number, crack in enumerate(cracks)]


def _measure(segmentation: Segmentation, labels: np.ndarray, label: int, stats: np.ndarray,
             mm_per_px: float, axis_angle: float) -> Crack:
    left, top, width, height = (int(value) for value in stats[:4])
    area = int(stats[cv2.CC_STAT_AREA])
    window = (slice(top, top + height), slice(left, left + width))
    piece = labels[window] == label
    line = trace_centre_line(piece)
    length = line.length_px + line.branches_px
    orientation = _orientation(line)
    frame_height, frame_width = segmentation.mask.shape
    return Crack(
        id=0,
        confidence=float(segmentation.confidence[window][piece].mean()),
        bounding_box=(left, top, width, height),
        centre_line=line.points + np.array([left, top], np.float32),
        widths_px=line.widths_px,
        length_px=length,
        # area over length has no bias from odd and even widths, as the vertex widths do
        width_mean_px=area / length,
        width_p95_px=float(np.percentile(line.widths_px, 95)),
        width_max_px=float(line.widths_px.max()),
        area_px=float(area),
        orientation=orientation,
        tortuosity=_tortuosity(line),
        kind=_kind(line, orientation, axis_angle),
        touches_border=(left == 0 or top == 0 or left + width == frame_width
                        or top + height == frame_height),
        mm_per_px=mm_per_px)


def _orientation(line: CentreLine) -> float:
    """Direction of the greatest spread of the centre line's vertices."""
    if len(line.points) < 2 or line.closed:
        return math.nan
    offsets = (line.points - line.points.mean(axis=0)).astype(np.float64)
    values, vectors = np.linalg.eigh(offsets.T @ offsets)
    if values[-1] <= 0.0:
        return math.nan
    x, y = vectors[:, -1]
    angle = math.atan2(-y, x)  # rows count downwards
    return (angle + math.pi / 2) % math.pi - math.pi / 2


def _tortuosity(line: CentreLine) -> float:
    if line.closed or len(line.points) < 2:
        return math.nan
    distance = float(np.hypot(*(line.points[0] - line.points[-1]))) + 1.0
    return max(1.0, line.length_px / distance)


def _kind(line: CentreLine, orientation: float, axis_angle: float) -> CrackKind:
    if line.branches_px > _BRANCHED * line.length_px:
        return CrackKind.BRANCHED
    if math.isnan(orientation):
        return CrackKind.UNKNOWN
    off_axis = abs((orientation - axis_angle + math.pi / 2) % math.pi - math.pi / 2)
    if off_axis < _ALONG:
        return CrackKind.LONGITUDINAL
    return CrackKind.CIRCUMFERENTIAL if off_axis > _ACROSS else CrackKind.OBLIQUE
