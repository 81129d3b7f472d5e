# SPDX-License-Identifier: Apache-2.0
"""Lines that leave the frame: measured as far as it shows them whole, then led on to its edge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.courses import Courses, Values

_BLUR_PX = 1.5          # so far past a crack's edge its confidence goes
_LEAST = 8              # vertices that a direction can be taken from
_MOST = 1 / 3           # of a line is led on: one along the frame's edge stays as it is


def within_frame(courses: Courses, shape: tuple[int, ...]) -> Courses:
    """Take off the ends of lines where the frame's edge cuts off a part of their profiles.

    There the crack seems narrower than it is, and its skeleton runs into the sharper corner.

    :param shape: of the frame, height and width, px.
    """
    inner = courses.inner.copy()
    for side, line in _leaving(courses, shape):
        core = courses.core(line)
        over = _over(courses, shape, np.arange(core.start, core.stop))
        border = int(_over(courses, shape, courses.edges[line + side, None] - side).argmax())
        normals = courses.normals[core]
        across = np.abs(normals.imag if border % 2 else normals.real)
        depths = np.maximum(courses.depths[core], courses.depths[core].mean()) + _BLUR_PX
        whole = np.flatnonzero(over[border] < -across * depths)
        if whole.size:
            end = int(whole[-side])
            if abs(end - side * (len(depths) - 1)) <= _MOST * (len(depths) - _LEAST):
                inner[side, line] = core.start + end
    return replace(courses, inner=inner)


def ways_out(courses: Courses, shape: tuple[int, ...]) -> Values:
    """Return how far it is from the last sure vertex of lines to the frame's edge.

    :param shape: of the frame, height and width, px.
    :return: 2 x K, px; infinite where a line does not come to it.
    """
    found = np.full(courses.inner.shape, np.inf)
    for side, line in _leaving(courses, shape):
        outward = 2 * side - 1
        way = np.arange(courses.inner[side, line], courses.edges[line + side] - side + outward,
                        outward)
        over = _over(courses, shape, way).max(axis=0)
        first = int((over > 0.0).argmax())
        if first > 0:
            found[side, line] = first - over[first] / (over[first] - over[first - 1])
    return found


def _leaving(courses: Courses, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield side and number of lines whose lengthened end lies beyond the frame."""
    for side, tips in ((0, courses.edges[:-1]), (1, courses.edges[1:] - 1)):
        beyond = _over(courses, shape, tips).max(axis=0) > 0.0
        for line in np.flatnonzero(courses.free[side] & beyond).tolist():
            yield side, line


def _over(courses: Courses, shape: tuple[int, ...], at: npt.NDArray[np.int64]) -> Values:
    """Return how far vertices lie beyond each edge: left, top, right, bottom, 4 x N, px."""
    points = courses.points[at]
    x, y = points.real, points.imag
    return np.stack([-0.5 - x, -0.5 - y, x - (shape[1] - 0.5), y - (shape[0] - 0.5)])
