# SPDX-License-Identifier: Apache-2.0
"""Lines smoothed where they are clear, and joined across gaps and junctions."""

from __future__ import annotations

from functools import cache
import math

import numpy as np

from tunnel_crack_ros.vision.geometry.courses import Complex, Courses, Flags, Values

_TANGENT_PX = 12        # a direction is taken over so many vertices
_NO_CORNER = math.cos(math.radians(20.0))
_DEGREE = 4             # a parabola of the same noise makes waves flatter
_FIT_PX, _MOST_DEPTH_PX = 10, 3.0  # half the length of the fit: so much and half a width


def corrected(courses: Courses, offsets: Values) -> Courses:
    """Move lines to the middle of their profiles and smooth them.

    :param offsets: N, from each vertex to the middle, along the normal, px.
    """
    sure = courses.clear & courses.inside
    limits = np.maximum(courses.depths, 2.0)
    moved = courses.points + courses.normals * np.clip(offsets, -limits, limits)
    sizes = _FIT_PX + np.minimum(np.add.reduceat(courses.depths, courses.edges[:-1])
                                 / courses.sizes, _MOST_DEPTH_PX).astype(np.int64)
    return courses.moved(np.concatenate([
        _smoothed(moved, courses.points, sure, courses.core(line), int(sizes[line]),
                  bool(courses.closed[line])) for line in range(len(courses.closed))]))


def direction(points: Complex) -> complex:
    """Return the unit vector along a stretch, from the difference of its halves' means."""
    half = max(1, len(points) // 2)
    way = complex(points[-half:].mean() - points[:half].mean())
    return way / max(abs(way), 1e-9)


def cross(a: complex, b: complex) -> float:
    """Return the cross product of two vectors."""
    return a.real * b.imag - a.imag * b.real


def _smoothed(moved: Complex, before: Complex, sure: Flags, core: slice, size: int,
              closed: bool) -> Complex:
    """Smooth one line's vertices where they are sure; where hardly any is, they stay."""
    known = sure[core]
    if np.count_nonzero(known) < 4:
        return before[core]
    if known.all():
        return _fitted(moved[core], size, closed)
    runs = [(a, b) for a, b in _runs(known) if b - a >= 4]
    if not runs:
        return _fitted(moved[core], size, False)
    new = moved[core]
    return _joined([_fitted(new[a:b], size, False) for a, b in runs], [a for a, _ in runs],
                   before[core])


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Return begin and end of every stretch of true."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(changes[::2].tolist(), changes[1::2].tolist()))


def _fitted(points: Complex, half: int, closed: bool) -> Complex:
    """Smooth with a local polynomial (Savitzky and Golay 1964): bends keep their size."""
    ring = points[:-1] if closed else points
    margin = min(len(ring) - 1, half)
    if margin < 3:
        return points
    if closed:
        padded = np.concatenate([ring[-margin:], ring, ring[:margin]])
    else:  # beyond an end comes the point reflection of what is before it
        padded = np.concatenate([2 * ring[0] - ring[margin:0:-1], ring,
                                 2 * ring[-1] - ring[-2:-2 - margin:-1]])
    found = np.convolve(padded, _weights(margin), 'valid')
    return np.concatenate([found, found[:1]]) if closed else found


@cache
def _weights(half: int) -> Values:
    """Return the weights whose sum is a least squares polynomial's value in the middle."""
    t = np.arange(-half, half + 1) / half
    return np.asarray(np.linalg.pinv(np.vander(t, _DEGREE + 1))[-1])


def _joined(runs: list[Complex], begins: list[int], before: Complex) -> Complex:
    """Join measured stretches: straight on, or round the corner that their directions make.

    :param runs: of at least 4 points each.
    :param begins: index of each one's first point in the line.
    :param before: the line as it was; its ends stay where no stretch reaches them.
    :return: as many points.
    """
    points = np.empty_like(before)
    last, at = before[0], 0
    for number, (run, begin) in enumerate(zip(runs, begins)):
        gap = begin - at
        if gap > 0:
            corner = _corner(runs[number - 1], run) if number else None
            way = [last, run[0]] if corner is None else [last, corner, run[0]]
            points[at:begin] = _along(way, gap + (number > 0))[number > 0:]
        points[begin:begin + len(run)] = run
        last, at = run[-1], begin + len(run)
    if at < len(before):
        points[at:] = _along([before[-1], last], len(before) - at)[::-1]
    return points


def _along(way: list[complex], count: int) -> Complex:
    """Return points along a way from its first place on, evenly, without its last."""
    corners = np.array(way)
    s = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(corners)))])
    return np.interp(np.arange(count) / count * s[-1], s, corners)


def _corner(run: Complex, following: Complex) -> complex | None:
    """Return where the directions of two stretches meet between them; None: straight on."""
    out, onward = direction(run[-_TANGENT_PX:]), -direction(following[:_TANGENT_PX])
    turn = cross(out, onward)
    if -(out * onward.conjugate()).real > _NO_CORNER:
        return None
    across = complex(following[0] - run[-1])
    reach = cross(across, onward) / turn if turn else math.inf
    back = cross(across, out) / turn if turn else math.inf
    limit = 2.0 * abs(across)
    return complex(run[-1]) + out * reach if 0.0 < reach < limit and 0.0 < back < limit else None
