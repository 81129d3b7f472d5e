# SPDX-License-Identifier: Apache-2.0
"""The courses of all lines of a frame, one behind the other in the same arrays.

A frame has few lines of a few hundred vertices: NumPy's calls would cost more than their work if
every line had its own. Places are complex numbers, x + iy: their differences, lengths and turns
take one operation each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.strokes import Stroke

Complex = npt.NDArray[np.complex128]
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
_T = TypeVar('_T', bound=np.generic)
_FIRST_SIGMA = 2.0      # takes the staircase out of a skeleton
_BEYOND_PX = 6.0        # so far past the skeleton's guess an end is looked for
DIRECTION_PX = 8        # and half a width: so long is what an end is led on from


@dataclass(frozen=True)
class Courses:
    """K lines with N vertices in all, 1 px apart, from before free starts to behind free ends."""

    points: Complex
    """N, px."""
    clear: Flags
    """N, false in gaps and around junctions."""
    depths: Values
    """N, half the width, about, px."""
    edges: Indices
    """K + 1: line k has the vertices edges[k] to edges[k + 1] - 1."""
    inner: Indices
    """2 x K, index of the first and the last vertex that surely lie on the crack."""
    free: Flags
    """2 x K, whether start and end are ends of the crack, not junctions; false where closed."""
    closed: Flags
    """K."""

    @cached_property
    def sizes(self) -> Indices:
        """Return the numbers of vertices, K."""
        return np.diff(self.edges)

    def spread(self, values: npt.NDArray[_T]) -> npt.NDArray[_T]:
        """Repeat a value of each line for all its vertices."""
        return np.repeat(values, self.sizes)

    @cached_property
    def inside(self) -> Flags:
        """Return which vertices surely lie on the crack, N."""
        found = np.zeros(len(self.points), bool)
        found[ranges(self.inner[0], self.inner[1] + 1)] = True
        return found

    def core(self, line: int) -> slice:
        """Return where the vertices of a line are that surely lie on the crack."""
        return slice(int(self.inner[0, line]), int(self.inner[1, line]) + 1)

    def margins(self) -> Indices:
        """Return the numbers of vertices before and behind those, 2 x K."""
        return np.stack([self.inner[0] - self.edges[:-1], self.edges[1:] - 1 - self.inner[1]])

    @cached_property
    def normals(self) -> Complex:
        """Return the directions across the lines, N, of length 1."""
        points, starts, ends = self.points, self.edges[:-1], self.edges[1:] - 1
        ways = np.empty_like(points)
        ways[1:-1] = points[2:] - points[:-2]
        ways[starts] = points[starts + 1] - np.where(self.closed, points[ends - 1], points[starts])
        ways[ends] = np.where(self.closed, points[starts + 1], points[ends]) - points[ends - 1]
        return 1j * ways / np.maximum(np.abs(ways), 1e-9)

    def lengths_along(self) -> Values:
        """Return how far along its line each vertex lies, px; lines are 1 px apart."""
        return _lengths_along(self.points, self.edges)

    def moved(self, points: Complex) -> Courses:
        """Return the same lines, those of their vertices that lie on the crack elsewhere.

        :param points: of the vertices from inner[0] to inner[1] of each line, line after line.
        """
        core = ranges(self.inner[0], self.inner[1] + 1)
        edges = np.concatenate([[0], np.cumsum(self.inner[1] - self.inner[0] + 1)])
        return resampled(points, self.clear[core], self.depths[core], edges, self.margins(),
                         self.free, self.closed)


def draft(strokes: list[Stroke]) -> Courses:
    """Smooth strokes, take off what is no centre line at their ends, and lengthen them there.

    :param strokes: of at least 3 points each.
    """
    edges = np.concatenate([[0], np.cumsum([len(stroke.points) for stroke in strokes])])
    clear = np.concatenate([stroke.clear for stroke in strokes])
    depths = np.concatenate([stroke.depths for stroke in strokes])
    closed = np.array([stroke.closed for stroke in strokes], bool)
    points = smoothed(np.concatenate([as_complex(stroke.points) for stroke in strokes]), edges,
                      closed)
    if closed.any():  # a ring comes back to its first vertex
        at, again = edges[1:][closed], edges[:-1][closed]
        points, clear, depths = (np.insert(values, at, values[again])
                                 for values in (points, clear, depths))
        edges = edges + np.concatenate([[0], np.cumsum(closed)])
    free = np.array([stroke.free for stroke in strokes], bool).T & ~closed
    sizes = np.diff(edges)
    mean_depths = np.add.reduceat(depths, edges[:-1]) / sizes
    # a skeleton runs into a corner of a square end: its last pixels are no centre line
    end_depths = np.stack([depths[edges[:-1]], depths[edges[1:] - 1]])
    trims = np.where(free, np.rint(np.minimum(1.2 * end_depths + 1.0, sizes / 5)), 0)
    trims = trims.astype(np.int64)
    rest = ranges(edges[:-1] + trims[0], edges[1:] - trims[1])
    extra = np.where(free, np.ceil(trims + mean_depths + _BEYOND_PX), 0).astype(np.int64)
    return resampled(points[rest], clear[rest], depths[rest],
                     np.concatenate([[0], np.cumsum(sizes - trims.sum(axis=0))]), extra, free,
                     closed)


def resampled(points: Complex, clear: Flags, depths: Values, edges: Indices, extra: Indices,
              free: Flags, closed: Flags) -> Courses:
    """Resample lines to vertices 1 px apart and lengthen them straight on.

    :param extra: 2 x K, vertices to add before and behind.
    """
    s = _lengths_along(points, edges)
    begins = s[edges[:-1]]
    lengths = s[edges[1:] - 1] - begins
    counts = np.maximum(np.rint(lengths).astype(np.int64) + 1, 3)
    sizes = counts + extra[0] + extra[1]
    new_edges = np.concatenate([[0], np.cumsum(sizes)])
    # the number of each vertex, 0 for the first on the crack; on is the same of the nearest there
    number = np.arange(new_edges[-1]) - np.repeat(new_edges[:-1] + extra[0], sizes)
    on = np.minimum(np.maximum(number, 0), np.repeat(counts - 1, sizes))
    at = np.repeat(begins, sizes) + on * np.repeat(lengths / (counts - 1), sizes)
    found = np.interp(at, s, points)
    near = np.minimum(np.searchsorted(s, at), np.repeat(edges[1:] - 1, sizes))
    before = np.maximum(near - 1, np.repeat(edges[:-1], sizes))
    first = new_edges[:-1] + extra[0]
    last = first + counts - 1
    if extra.any():
        mean_depths = np.add.reduceat(depths, edges[:-1]) / np.diff(edges)
        reach = np.minimum(counts - 1, DIRECTION_PX + mean_depths.astype(np.int64))
        out = np.stack([found[first] - found[first + reach], found[last] - found[last - reach]])
        out /= np.maximum(np.abs(out), 1e-9)
        over = number - on
        found += np.repeat(out[0], sizes) * np.maximum(-over, 0)
        found += np.repeat(out[1], sizes) * np.maximum(over, 0)
    return Courses(found, clear[near] & clear[before], depths[near], new_edges,
                   np.stack([first, last]), free, closed)


def replaced(courses: Courses, cores: dict[int, tuple[Complex, Flags, Values]]) -> Courses:
    """Put other vertices on the crack into some lines; what lies before and behind stays.

    :param cores: number of the line to points, clear and depths.
    """
    if not cores:
        return courses
    parts = []
    sizes = []
    margins = courses.margins()
    for line in range(len(courses.closed)):
        begin, end, core = courses.edges[line], courses.edges[line + 1], courses.core(line)
        own = (courses.points, courses.clear, courses.depths)
        middle = cores.get(line) or tuple(values[core] for values in own)
        parts.append([np.concatenate([values[begin:core.start], new, values[core.stop:end]])
                      for values, new in zip(own, middle)])
        sizes.append(len(parts[-1][0]))
    points, clear, depths = (np.concatenate(values) for values in zip(*parts))
    edges = np.concatenate([[0], np.cumsum(sizes)])
    return replace(courses, points=points, clear=clear, depths=depths, edges=edges,
                   inner=np.stack([edges[:-1] + margins[0], edges[1:] - 1 - margins[1]]))


def smoothed(points: Complex, edges: Indices, closed: Flags) -> Complex:
    """Smooth lines with a Gaussian; ends stay."""
    margin = int(3 * _FIRST_SIGMA)
    kernel = np.exp(-0.5 * (np.arange(-margin, margin + 1) / _FIRST_SIGMA) ** 2)
    sizes = np.diff(edges) + 2 * margin
    begins, lasts = np.repeat(edges[:-1], sizes), np.repeat(edges[1:] - 1, sizes)
    index = np.arange(len(points) + 2 * margin * len(closed)) + begins - np.repeat(
        np.cumsum(sizes) - sizes, sizes) - margin
    on = np.minimum(np.maximum(index, begins), lasts)
    # beyond an end comes the point reflection of what is before it
    mirrored = np.minimum(np.maximum(2 * on - index, begins), lasts)
    padded = 2 * points[on] - points[mirrored]
    padded = np.where(on == index, points[on], padded)
    if closed.any():  # beyond the end of a ring comes its start
        ring = np.repeat(closed, sizes)
        padded[ring] = points[(index - begins)[ring] % (lasts - begins + 1)[ring]
                              + begins[ring]]
    found = np.convolve(padded, kernel / kernel.sum(), 'valid')
    return found[np.arange(len(points)) + np.repeat(
        2 * margin * np.arange(len(closed)), np.diff(edges))]


def ranges(begins: Indices, ends: Indices) -> Indices:
    """Return the numbers from each begin to before its end, one stretch after another."""
    sizes = ends - begins
    return np.arange(sizes.sum()) + np.repeat(begins - np.cumsum(sizes) + sizes, sizes)


def as_complex(points: Values) -> Complex:
    """Return places, N x 2, as x + iy."""
    return np.ascontiguousarray(points, np.float64).view(np.complex128)[:, 0]


def as_points(places: Complex) -> Values:
    """Return places as N x 2, x and y."""
    return np.ascontiguousarray(places).view(np.float64).reshape(-1, 2)


def _lengths_along(points: Complex, edges: Indices) -> Values:
    steps = np.empty(len(points))
    steps[0] = 0.0
    np.abs(np.diff(points), out=steps[1:])
    steps[edges[1:-1]] = 1.0
    return np.cumsum(steps)
