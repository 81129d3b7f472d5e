# SPDX-License-Identifier: Apache-2.0
"""Lines that leave the frame: measured as far as it shows them whole, then led on to its edge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.courses import Courses, Values

_BLUR_PX = 1.5          # so far past a crack's edge its confidence goes
_OUTERMOST_PX = 1.0     # a skeleton so close to the edge runs along it
_LEAST = 8              # vertices that a direction can be taken from
_MOST = 0.6             # of a line is led on: one along the frame's edge stays as it is


def within_frame(courses: Courses, shape: tuple[int, ...]) -> tuple[Courses, Values]:
    """Take off the ends of lines where the frame's edge cuts off a part of their profiles.

    There the crack seems narrower than it is, and its skeleton runs into the sharper corner. An
    end that is too much of its line stays, but its widths are not believed.

    :param shape: of the frame, height and width, px.
    :return: the courses, and how long the ends are that stay, of each line, K, px.
    """
    inner, clear = courses.inner.copy(), courses.clear.copy()
    staying = np.zeros(len(courses.closed))
    for side, line in _leaving(courses, shape):
        core = courses.core(line)
        over = _over(courses, shape, np.arange(core.start, core.stop))
        normals = courses.normals[core]
        across = np.abs(np.stack([normals.real, normals.imag] * 2))     # to each edge
        depths = np.maximum(courses.depths[core], courses.depths[core].mean()) + _BLUR_PX
        whole = np.flatnonzero((over < -across * depths).all(axis=0))
        if not whole.size:
            continue
        end = core.start + int(whole[-side])
        cut = slice(end + 1, core.stop) if side else slice(core.start, end)
        if cut.stop - cut.start <= _MOST * (len(depths) - _LEAST):
            inner[side, line] = end
        else:
            clear[cut] = False
            staying[line] += cut.stop - cut.start
    return replace(courses, inner=inner, clear=clear), staying


@dataclass(frozen=True)
class WaysOut:
    """How K lines leave the frame: 2 x K values, for their starts and their ends."""

    lengths: Values
    """From the last sure vertex to the frame's edge, px; infinite where a line does not leave."""
    slants: Values
    """Px along the line for each px towards the edge, 1 or more; 1 where a line does not leave."""

    @property
    def led(self) -> Values:
        """Return how far lines are led straight on, 2 x K, px; 0 where they do not leave."""
        return np.where(np.isfinite(self.lengths), self.lengths, 0.0)


def ways_out(courses: Courses, shape: tuple[int, ...]) -> WaysOut:
    """Return how far it is from the last sure vertex of lines to the frame's edge.

    :param shape: of the frame, height and width, px.
    """
    lengths, slants = np.full(courses.inner.shape, np.inf), np.ones(courses.inner.shape)
    for side, line in _leaving(courses, shape):
        outward = 2 * side - 1
        way = np.arange(courses.inner[side, line], courses.edges[line + side] - side + outward,
                        outward)
        over = _over(courses, shape, way).max(axis=0)
        first = int((over > 0.0).argmax())
        if first > 0:
            step = over[first] - over[first - 1]
            lengths[side, line] = first - over[first] / step
            slants[side, line] = max(1.0, 1.0 / step)
    return WaysOut(lengths, slants)


def _leaving(courses: Courses, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield side and number of lines whose lengthened end lies beyond the frame.

    Or that end in its outermost pixels: along those runs the skeleton of what leaves at a slant.
    """
    for side, tips in ((0, courses.edges[:-1]), (1, courses.edges[1:] - 1)):
        beyond = np.maximum(
            _over(courses, shape, tips), _over(courses, shape, courses.inner[side]) + _OUTERMOST_PX
        ).max(axis=0) > 0.0
        for line in np.flatnonzero(courses.free[side] & beyond).tolist():
            yield side, line


def _over(courses: Courses, shape: tuple[int, ...], at: npt.NDArray[np.int64]) -> Values:
    """Return how far vertices lie beyond each edge: left, top, right, bottom, 4 x N, px."""
    points = courses.points[at]
    x, y = points.real, points.imag
    return np.stack([-0.5 - x, -0.5 - y, x - (shape[1] - 0.5), y - (shape[0] - 0.5)])
