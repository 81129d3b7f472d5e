# SPDX-License-Identifier: Apache-2.0
"""Confidence across a line: how wide the crack is there, and where its middle is.

The area under a profile is the crack's width: blurring, by lens or network, moves confidence
across the line but neither makes nor loses any. So a crack of one pixel is measured as well as
one of twenty (Steger, "An unbiased detector of curvilinear structures", IEEE PAMI 20 (1998),
shows what blur does to widths taken between edges).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

Points = npt.NDArray[np.float64]
_MARGIN_PX = 2        # so far past a crack's edge its blurred confidence is added up
_TAIL_PX = 3          # so far beyond that, what is left is background
_BLUR_PX = 1.5        # half the breadth of an edge
_PLATEAU_PX = 6.0     # wider cracks reach their full confidence in the middle
_MAX_HALF_PX = 256.0
_CV_LIMIT = 32_000    # rows and columns that OpenCV's remap takes
_CLASSES = (9.0, 13.0, 20.0, 32.0, 50.0, 80.0, 140.0, _MAX_HALF_PX)


@dataclass(frozen=True)
class Profiles:
    """What the profiles across a line say, a value for each of its points."""

    inner_areas: Points
    """Area under the profile's middle, px: confidence there is at its plateau."""
    edge_areas: Points
    """Area under its edges, background taken off, px."""
    offsets: Points
    """Of the profile's centre of gravity, along the normal, px."""
    plateaus: Points
    """Mean confidence of the middle; 1 where the crack is too narrow to tell."""
    levels: Points
    """Confidence of the background, which noise cut off at 0 lifts."""

    def widths(self, plateaus: Points) -> Points:
        """Return the width across each point, px.

        :param plateaus: smoothed along the line: one point's own is noisy.
        """
        plateaus = np.clip(plateaus, 0.4, 1.0)
        return self.inner_areas / plateaus + \
            self.edge_areas / np.minimum(plateaus + self.levels, 1.0)

    def part(self, begin: int, end: int) -> Profiles:
        """Return those of some of the points."""
        return Profiles(self.inner_areas[begin:end], self.edge_areas[begin:end],
                        self.offsets[begin:end], self.plateaus[begin:end],
                        self.levels[begin:end])


def sample_profiles(confidence: npt.NDArray[np.float32], points: Points, normals: Points,
                    depths: Points, threshold: float) -> Profiles:
    """Sample across a line.

    :param confidence: H x W, 0..1.
    :param points: N x 2, x and y, px.
    :param normals: N x 2, of length 1.
    :param depths: N, about half the width, px.
    :param threshold: confidence that made a pixel crack.
    """
    wanted = np.minimum(depths + _MARGIN_PX + _TAIL_PX, _MAX_HALF_PX)
    classes = np.searchsorted(_CLASSES, wanted)
    out = np.zeros((5, len(points)))
    for number in np.unique(classes):
        of = np.flatnonzero(classes == number)
        half = _CLASSES[min(number, len(_CLASSES) - 1)]
        for part in np.array_split(of, -(-of.size // _CV_LIMIT)):
            out[:, part] = _measure(confidence, points[part], normals[part], half, threshold)
    return Profiles(*out)


def _measure(confidence: npt.NDArray[np.float32], points: Points, normals: Points, half: float,
             threshold: float) -> Points:
    count = int(half)  # samples are 1 px apart
    t = np.arange(-count, count + 1, dtype=np.float32)
    x = points[:, :1].astype(np.float32) + normals[:, :1].astype(np.float32) * t
    y = points[:, 1:].astype(np.float32) + normals[:, 1:].astype(np.float32) * t
    values = _sample(confidence, x, y)
    low = np.float32(min(max(0.5 * threshold, 0.1), 0.25))
    high = np.float32(max(threshold, 0.3))
    index = np.arange(count + 1)
    window = np.zeros(values.shape, bool)
    background = np.zeros(len(points))
    behind = np.zeros(len(points))
    for side in (values[:, count:], values[:, count::-1]):
        below = side < low
        below[:, -1] = True
        edge = below.argmax(axis=1)
        # confidence that rises again belongs to another line: share the ground between
        again = (side >= high) & (index > edge[:, None])
        rise = np.where(again.any(axis=1), again.argmax(axis=1), 2 * count)
        end = np.minimum(edge + _MARGIN_PX, (edge + rise) // 2)
        inside = index <= end[:, None]
        outside = (index > end[:, None]) & (index <= np.minimum(end + _TAIL_PX, rise - _MARGIN_PX)[:, None])
        background += (side * outside).sum(axis=1)
        behind += outside.sum(axis=1)
        if side.strides[1] > 0:
            window[:, count:] |= inside
        else:
            window[:, count::-1] |= inside
    level = min(float(background.sum()) / max(float(behind.sum()), 1.0), 0.1)
    kept = np.where(window, values, np.float32(0.0))
    lifted = np.where(window, values - np.float32(level), np.float32(0.0))
    areas = np.maximum(lifted.sum(axis=1, dtype=np.float64), 0.0)
    offsets = lifted @ t / np.where(areas > 0.25, areas, np.inf)
    # background lies under what is outside the edges' blur; a plateau over what is inside
    away = np.abs(t - offsets[:, None])
    outer = away > areas[:, None] / 2 + _BLUR_PX
    inner = away < areas[:, None] / 2 - _BLUR_PX
    inner_areas = np.where(inner, kept, 0.0).sum(axis=1, dtype=np.float64)
    empty = np.float32(level) * (1.0 - np.minimum(areas, 1.0))[:, None].astype(np.float32)
    edges = np.where(outer, lifted, np.where(inner | ~window, np.float32(0.0), kept - empty))
    edge_areas = edges.sum(axis=1, dtype=np.float64)
    middle = away <= np.maximum(areas / 2 - _PLATEAU_PX / 2, 1.0)[:, None]
    plateaus = np.where(middle, values, 0.0).sum(axis=1) / np.maximum(middle.sum(axis=1), 1)
    # noise cut off at 0 lifts the background; cut off at 1 it lowers the plateau as much
    plateaus = np.where(areas > _PLATEAU_PX, plateaus, 1.0 - level)
    return np.stack([inner_areas, edge_areas, offsets, plateaus,
                     np.full(len(points), level)])


def _sample(confidence: npt.NDArray[np.float32], x: npt.NDArray[np.float32],
            y: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if max(confidence.shape) < _CV_LIMIT:
        found = cv2.remap(confidence, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(found, np.float32)
    return np.asarray(map_coordinates(confidence, (y, x), order=1, mode='constant',
                                      prefilter=False), np.float32)
