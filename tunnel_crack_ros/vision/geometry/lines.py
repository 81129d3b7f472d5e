# SPDX-License-Identifier: Apache-2.0
"""Strokes to lines: a centre line to a fraction of a pixel, with a width at every pixel of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.borders import ways_out, WaysOut, within_frame
from tunnel_crack_ros.vision.geometry.corners import corrected
from tunnel_crack_ros.vision.geometry.courses import (
    as_complex,
    as_points,
    Courses,
    DIRECTION_PX,
    draft,
    Flags,
    Indices,
    ranges,
    smoothed,
    Values,
)
from tunnel_crack_ros.vision.geometry.ends import find_ends
from tunnel_crack_ros.vision.geometry.junctions import attached
from tunnel_crack_ros.vision.geometry.profiles import Profiles, sample_profiles
from tunnel_crack_ros.vision.geometry.strokes import Rest, Stroke

_EVERY = 3              # the middle is looked for at each so many-th vertex
_PLATEAU_PX = 15        # a middle's confidence is averaged over so many vertices
_NOISE_PX = 9           # scatter of widths is that about their mean over so many

# How sure a measure is. The form follows from how it is made (a mean over neighbours that share
# pixels, two ends); the numbers make 68 % of the benchmark's errors fall within one sigma.
_WIDTH_NOISE = 2.3      # of the scatter of single widths over the root of their number
_WIDTH_FLOOR = 0.004    # px: sampling
_END_NOISE = 2.0        # px, times that scatter over the width: an end is areas over the width
_END_FLOOR = 0.075      # px, each end
# a branch is led straight on over about a width, and bends there
_ASIDE_PX = 0.3          # a line that is led on may lie so far off where it leaves the frame
_NODE_FLOOR, _NODE_BEND = 0.25, 0.015  # px; px^-1, times the width squared: each beginning
# blur and smoothing pull a line to the inside of its bends, which shortens it by as much
_BEND = 1.0             # px^2, times the integral of the squared curvature
_BEND_PX = 6            # between the three vertices that a curvature is taken from
_LENGTH_NOISE = 1e-4    # of the length: noise of the line


@dataclass(frozen=True)
class Line:
    """One line of a crack, measured."""

    points: Values
    """N x 2, x and y, px, about 1 px apart."""
    widths: Values
    """N, px; where nothing could be measured (gaps, junctions), between their neighbours."""
    clear: Flags
    """N, whether the width was measured there."""
    length: float
    """px."""
    length_sigma: float
    """px."""
    width_mean: float
    width_mean_sigma: float
    closed: bool = False


def measure_lines(strokes: list[Stroke], confidence: npt.NDArray[np.float32],
                  threshold: float) -> list[Line]:
    """Measure strokes: twice the profiles across each, the second along the corrected line.

    :param strokes: of at least 3 points each.
    :param confidence: H x W, 0..1.
    :param threshold: confidence that made a pixel crack.
    """
    if not strokes:
        return []
    courses, staying = within_frame(draft(strokes), confidence.shape)
    # the middles of a few, each for those around it
    sizes = -(-courses.sizes // _EVERY)
    some = np.repeat(courses.edges[:-1], sizes) + _EVERY * ranges(np.zeros_like(sizes), sizes)
    numbers = np.arange(len(strokes))
    found = sample_profiles(confidence, courses.points[some], courses.normals[some],
                            courses.depths[some], threshold, np.repeat(numbers, sizes))
    each = ranges(np.zeros_like(sizes), courses.sizes) // _EVERY
    offsets = found.offsets[each + courses.spread(np.cumsum(sizes) - sizes)]
    courses = attached(corrected(courses, offsets), [stroke.crack for stroke in strokes])
    return _finished(courses, sample_profiles(confidence, courses.points, courses.normals,
                                              courses.depths, threshold, courses.spread(numbers),
                                              ~courses.inside),
                     ways_out(courses, confidence.shape), staying)


def _finished(courses: Courses, profiles: Profiles, out: WaysOut,
              staying: Values) -> list[Line]:
    """Find the ends, the lengths and the widths.

    :param out: of the frame, where lines leave it.
    :param staying: K, px of ends that are cut off by the frame's edge but stay as they are.
    """
    s, inside = courses.lengths_along(), courses.inside
    sure = courses.clear & inside
    known, known_edges = _by_line(courses, sure, inside)
    # the middle's confidence, smoothed along the line: one vertex's own is noisy
    plateaus = _between(np.arange(len(s)), known, _box(
        profiles.plateaus[known], known_edges, _PLATEAU_PX), known_edges, courses.sizes)
    widths = profiles.widths(plateaus)
    ends = find_ends(courses, s, widths, known, known_edges, out.lengths)

    # vertices up to the ends, with widths from the fit where the end's own blur reaches
    begin, end = ends.places
    within = np.flatnonzero((s > courses.spread(begin)) & (s < courses.spread(end)))
    counts = np.diff(np.searchsorted(within, courses.edges)) + 2
    edges = np.concatenate([[0], np.cumsum(counts)])
    where = np.empty(edges[-1])
    where[ranges(edges[:-1] + 1, edges[1:] - 1)] = s[within]
    where[edges[:-1]], where[edges[1:] - 1] = begin, end
    on = np.clip(where, np.repeat(s[courses.edges[:-1]], counts),
                 np.repeat(s[courses.edges[1:] - 1], counts))
    points = as_points(np.interp(on, s, courses.points))
    good = np.zeros(len(s), bool)
    good[within] = sure[within]
    clear = np.interp(on, s, good) > 0.99
    use, use_edges = _by_line(courses, good, _flags(known, len(s)))
    width = _between(where, s[use], widths[use], use_edges, counts)
    line = np.repeat(np.arange(len(counts)), counts)
    for side, beyond in ((0, where < s[courses.inner[0]][line]),
                         (1, where > s[courses.inner[1]][line])):
        beyond = np.flatnonzero(beyond & courses.free[side][line])
        width[beyond] = ends.widths(side, line[beyond], where[beyond])
        clear[beyond] = True
    width = np.maximum(width, 0.05)
    means = _means(where, width, edges)
    lengths = np.maximum(end - begin, 0.5)
    sigmas = _sigmas(courses, lengths, means, widths[use], use_edges, out, staying)
    bounds, closed = edges.tolist(), courses.closed.tolist()
    return [Line(points[a:b], width[a:b], clear[a:b], float(lengths[k]), float(sigmas[0][k]),
                 float(means[k]), float(sigmas[1][k]), closed[k])
            for k, (a, b) in enumerate(zip(bounds, bounds[1:]))]


def _by_line(courses: Courses, flags: Flags, otherwise: Flags) -> tuple[Indices, Indices]:
    """Return the indices of flagged vertices and where each line's begin, K + 1.

    :param otherwise: taken for lines that have none flagged.
    """
    none = ~np.logical_or.reduceat(flags, courses.edges[:-1])
    if none.any():
        flags = flags | (otherwise & courses.spread(none))
    found = np.flatnonzero(flags)
    return found, np.searchsorted(found, courses.edges)


def _flags(indices: Indices, size: int) -> Flags:
    flags = np.zeros(size, bool)
    flags[indices] = True
    return flags


def _between(at: Values | Indices, knots: Values | Indices, values: Values, edges: Indices,
             counts: Indices) -> Values:
    """Interpolate within each line; before its first and behind its last knot those stand.

    :param at: places, line after line.
    :param edges: K + 1, where each line's knots begin.
    :param counts: K, places of each line.
    """
    inner = np.minimum(np.maximum(at, np.repeat(knots[edges[:-1]], counts)),
                       np.repeat(knots[edges[1:] - 1], counts))
    return np.interp(inner, knots, values)


def _box(values: Values, edges: Indices, size: int) -> Values:
    """Return the running means within each line; shorter at its ends."""
    sizes = np.diff(edges)
    half = np.repeat(np.minimum(size, sizes) // 2, sizes)
    sums = np.zeros(values.size + 1)
    np.cumsum(values, out=sums[1:])
    at = np.arange(values.size)
    low = np.maximum(at - half, np.repeat(edges[:-1], sizes))
    high = np.minimum(at + half + 1, np.repeat(edges[1:], sizes))
    return (sums[high] - sums[low]) / (high - low)


def _means(where: Values, width: Values, edges: Indices) -> Values:
    """Return the mean width of each line, every px of it weighing the same."""
    spans = np.empty_like(where)  # of line that each vertex stands for
    spans[1:-1] = where[2:] - where[:-2]
    starts, ends = edges[:-1], edges[1:] - 1
    spans[starts] = where[starts + 1] - where[starts]
    spans[ends] = where[ends] - where[ends - 1]
    spans += 1e-6  # all vertices of a crumb may share one place
    return np.add.reduceat(width * spans, starts) / np.add.reduceat(spans, starts)


def _sigmas(courses: Courses, lengths: Values, means: Values, widths: Values,
            edges: Indices, out: WaysOut, staying: Values) -> tuple[Values, Values]:
    """Return the standard deviations of lengths and mean widths, px.

    :param widths: that were measured, line after line.
    :param edges: K + 1, where each line's begin.
    :param out: how lines are led straight on to the frame's edge.
    :param staying: K, px of ends that the frame's edge cuts off and that may be too long.
    """
    sizes = np.diff(edges)
    noise = widths - _box(widths, edges, _NOISE_PX)
    noise -= np.repeat(np.add.reduceat(noise, edges[:-1]) / sizes, sizes)
    scatter = np.sqrt(np.add.reduceat(noise ** 2, edges[:-1]) / sizes)
    scatter = np.where(sizes > _NOISE_PX, scatter, 0.3)
    width_sigmas = np.hypot(_WIDTH_NOISE * scatter / np.sqrt(sizes), _WIDTH_FLOOR)
    free = np.count_nonzero(courses.free, axis=0)
    nodes = np.where(courses.closed, 0, 2 - free)
    bends = _bends(courses)
    # what bends as the rest of the line does leaves the straight way, and so the frame elsewhere
    led = out.led
    variances = (_LENGTH_NOISE * lengths) ** 2 + (_BEND * bends) ** 2 \
        + ((led * (led + DIRECTION_PX + means / 2)) ** 2).sum(axis=0) / 4 * bends / lengths \
        + free * (_END_FLOOR ** 2 + (_END_NOISE * scatter / np.maximum(means, 1.0)) ** 2) \
        + (staying / 2) ** 2 + ((_ASIDE_PX * (out.slants - 1.0)) ** 2).sum(axis=0) \
        + nodes * (_NODE_FLOOR ** 2 + (_NODE_BEND * means ** 2) ** 2)
    return np.sqrt(variances), width_sigmas


def _bends(courses: Courses) -> Values:
    """Return the integral of the squared curvature along each line, 1/px."""
    points, step = courses.points, _BEND_PX
    first, last = (courses.spread(ends) for ends in courses.inner)
    at = np.arange(len(points))
    known = np.flatnonzero((at >= first + step) & (at <= last - step))
    curvatures = np.abs(points[known - step] - 2.0 * points[known] + points[known + step]) \
        / step ** 2
    line = np.repeat(np.arange(len(courses.closed)), courses.sizes)[known]
    sums = np.bincount(line, curvatures ** 2, len(courses.closed))
    counts = np.bincount(line, minlength=len(courses.closed))
    # what holds in the middle is taken to hold up to the ends
    return sums / np.maximum(counts, 1) * (courses.inner[1] - courses.inner[0])


def plain_lines(strokes: list[Stroke]) -> list[Line]:
    """Measure strokes by their pixels alone: crumbs, and what is too much for more."""
    if not strokes:
        return []
    edges = np.concatenate([[0], np.cumsum([len(stroke.points) for stroke in strokes])])
    closed = [stroke.closed for stroke in strokes]
    places = smoothed(np.concatenate([as_complex(stroke.points) for stroke in strokes]), edges,
                      np.array(closed, bool))
    lines = []
    for stroke, begin, end in zip(strokes, edges.tolist(), edges[1:].tolist()):
        own = places[begin:end]
        if stroke.closed:
            own = np.append(own, own[:1])
        width = max(2.0 * float(np.median(stroke.depths)) - 0.5, 1.0)
        # from pixel edge to pixel edge, where it ends freely
        length = max(float(np.abs(np.diff(own)).sum())
                     + 0.5 * sum(stroke.free) * (not stroke.closed), 0.5)
        lines.append(Line(as_points(own), np.full(len(own), width), np.zeros(len(own), bool),
                          length, 1.0 + 0.02 * length, width, 0.5, stroke.closed))
    return lines


def rest_line(rest: Rest) -> Line:
    """Sum up chains whose pixels alone are counted; the line has widths, but no course."""
    widths = np.maximum(2.0 * rest.depths - 0.5, 1.0)
    return Line(np.zeros((len(widths), 2)), widths, np.zeros(len(widths), bool), rest.length,
                1.0 + 0.02 * rest.length, float(widths.mean()), 0.5)
