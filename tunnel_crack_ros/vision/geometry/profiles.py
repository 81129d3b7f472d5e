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

Points = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Indices = npt.NDArray[np.int64]
_MARGIN_PX = 2        # so far past a crack's edge its blurred confidence is added up
_TAIL_PX = 3          # so far beyond that, what is left is background
_TAILS = 60           # pixels of it that a line needs for a background of its own
_BLUR_PX = 1.5        # half the breadth of an edge
_PLATEAU_PX = 6.0     # wider cracks reach their full confidence in the middle
_MAX_HALF_PX = 256.0
_CV_LIMIT = 32_000    # rows and columns that OpenCV's remap takes
_FEW = 40_000
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


def sample_profiles(confidence: npt.NDArray[np.float32], points: Complex, normals: Complex,
                    depths: Points, threshold: float, lines: Indices,
                    beyond: npt.NDArray[np.bool_] | None = None) -> Profiles:
    """Sample across lines.

    :param confidence: H x W, 0..1.
    :param points: N, x + iy, px.
    :param normals: N, of length 1.
    :param depths: N, about half the width, px.
    :param threshold: confidence that made a pixel crack.
    :param lines: N, the number of each point's line: background is what lies beside a line, and
        beside another one in the frame there may be haze.
    :param beyond: N, points that may lie past an end: confidence is added up there as far as the
        crack would reach, however faint it is. None: there are none.
    """
    least = np.zeros(len(points), np.int64)
    if beyond is not None:
        least[beyond] = np.minimum(depths[beyond] + _MARGIN_PX, _MAX_HALF_PX).astype(np.int64)
    wanted = np.minimum(depths + _MARGIN_PX + _TAIL_PX, _MAX_HALF_PX)
    classes = np.searchsorted(_CLASSES, wanted)
    if wanted.size * float(wanted.max(initial=0.0)) < _FEW:  # one call for all costs less
        return Profiles(*_measure(confidence, points, normals, least, _half(int(classes.max(
            initial=0))), threshold, lines))
    out = np.zeros((5, len(points)))
    for number in np.flatnonzero(np.bincount(classes)):
        of = np.flatnonzero(classes == number)
        half = _half(int(number))
        for part in np.array_split(of, -(-of.size // _CV_LIMIT)):
            out[:, part] = _measure(confidence, points[part], normals[part], least[part], half,
                                    threshold, lines[part])
    return Profiles(*out)


def _half(number: int) -> float:
    return _CLASSES[min(number, len(_CLASSES) - 1)]


def _measure(confidence: npt.NDArray[np.float32], points: Complex, normals: Complex,
             least: Indices, half: float, threshold: float, lines: Indices) -> Points:
    count = int(half)  # samples are 1 px apart
    t = np.arange(-count, count + 1, dtype=np.float32)
    # a profile is a column: what is done to all profiles runs along rows
    x, y = (start.astype(np.float32) + way.astype(np.float32) * t[:, None]
            for start, way in ((points.real, normals.real), (points.imag, normals.imag)))
    values = _sample(confidence, x, y)
    low = min(max(0.5 * threshold, 0.1), 0.25)
    high = max(threshold, 0.3)
    ends, rises = _reach(np.stack([values[count::-1], values[count:]]), low, high, least)
    begin, end = -ends[0], ends[1]
    span = end - begin + 1
    # sums over any stretch of a profile are differences of running sums
    sums = _Sums(values, count)
    first = np.stack([begin, np.maximum(begin - _TAIL_PX, _MARGIN_PX - rises[0] + 1), end + 1])
    last = np.stack([end, begin - 1, np.minimum(end + _TAIL_PX, rises[1] - _MARGIN_PX - 1)])
    whole, *tails = sums.between(first, last)
    behind = np.maximum(last[1:] - first[1:] + 1, 0)
    level = np.minimum(_levels(tails[0] + tails[1], behind[0] + behind[1], lines), low)
    areas = np.maximum(whole - level * span, 0.0)
    moments = _Sums(values * t[:, None], count).between(begin, end) \
        - level / 2 * span * (begin + end)
    offsets = np.where(areas > 0.25, moments / np.maximum(areas, 0.25), 0.0)
    # background lies under what is outside the edges' blur; a plateau over what is inside
    half_area = areas / 2
    outer = np.maximum(end - np.maximum(
        np.floor(offsets + (half_area + _BLUR_PX)), begin - 1), 0) + np.maximum(
            np.minimum(np.ceil(offsets - (half_area + _BLUR_PX)), end + 1) - begin, 0)
    halves = np.stack([half_area - _BLUR_PX, np.maximum(half_area - _PLATEAU_PX / 2, 1.0)])
    first = np.ceil(offsets - halves).astype(np.int64)
    last = np.floor(offsets + halves).astype(np.int64)
    np.maximum(first[0], begin, out=first[0])
    np.minimum(last[0], end, out=last[0])
    inner_areas, plateau_areas = sums.between(first, last)
    inner, plateau = np.maximum(last - first + 1, 0)
    edge = np.maximum(span - inner - outer, 0)
    edge_areas = whole - inner_areas - level * (
        outer + edge * (1.0 - np.minimum(areas, 1.0)))
    # noise cut off at 0 lifts the background; cut off at 1 it lowers the plateau as much
    plateaus = np.where(areas > _PLATEAU_PX, plateau_areas / np.maximum(plateau, 1), 1.0 - level)
    return np.stack([inner_areas, edge_areas, offsets, plateaus, level])


def _levels(sums: Points, counts: Indices, lines: Indices) -> Points:
    """Return the background's confidence at each profile: of its line, or of all where it has few.

    :param sums: N, confidence in the tails of each profile.
    :param counts: N, pixels of those.
    """
    of_line, pixels = np.bincount(lines, sums), np.bincount(lines, counts)
    mean = of_line.sum() / max(pixels.sum(), 1.0)
    own = np.where(pixels >= _TAILS, of_line / np.maximum(pixels, 1.0), mean)
    return np.asarray(own[lines], np.float64)


def _reach(sides: npt.NDArray[np.float32], low: float, high: float,
           least: Indices) -> tuple[Indices, Indices]:
    """Return how far outward each profile belongs to its line, and where another line rises.

    :param sides: 2 x samples x N, both from the line outward.
    :param least: N, px: so far they belong to it in any case.
    """
    last = sides.shape[1] - 1
    below = sides < np.float32(low)
    below[:, -1] = True
    edge = below.argmax(axis=1)
    again = sides >= np.float32(high)
    again &= np.arange(last + 1)[:, None] > edge[:, None]
    first = again.argmax(axis=1)  # 0: nowhere, as it lies behind the edge
    rise = np.where(first > 0, first, 2 * last + 2)
    # confidence that rises again belongs to another line: share the ground between
    reach = np.maximum(edge + _MARGIN_PX, least)
    return np.minimum(np.minimum(reach, (edge + rise) // 2), last), rise


class _Sums:
    """Sums over stretches of profiles."""

    def __init__(self, values: npt.NDArray[np.float32], count: int) -> None:
        self._size, columns = values.shape
        running = np.zeros((self._size + 1, columns), np.float32)
        for row, value in enumerate(values):  # several times faster than np.cumsum
            np.add(running[row], value, out=running[row + 1])
        self._flat = running.ravel()
        self._count, self._columns = count, np.arange(columns)

    def between(self, first: Indices, last: Indices) -> Points:
        """Return the sum from first to last offset, both included; 0 where last < first.

        :param first: N, or any number of stretches x N.
        """
        begin = np.minimum(np.maximum(first + self._count, 0), self._size)
        end = np.minimum(np.maximum(last + (self._count + 1), begin), self._size)
        return (self._flat[end * self._columns.size + self._columns]
                - self._flat[begin * self._columns.size + self._columns]).astype(np.float64)


def _sample(confidence: npt.NDArray[np.float32], x: npt.NDArray[np.float32],
            y: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if max(confidence.shape) < _CV_LIMIT:
        found = cv2.remap(confidence, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(found, np.float32)
    return _interpolate(confidence, x, y)


def _interpolate(image: npt.NDArray[np.float32], x: npt.NDArray[np.float32],
                 y: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Interpolate between four pixels, 0 outside, as remap does; for images of any size."""
    height, width = image.shape
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    found = np.zeros(x.shape, np.float32)
    for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        at_x, at_y = left + column, top + row
        inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
        share = (1 - np.abs(x - at_x)) * (1 - np.abs(y - at_y))
        found[inside] += (share[inside] * image[at_y[inside], at_x[inside]]).astype(np.float32)
    return found
