# SPDX-License-Identifier: Apache-2.0
"""Branches led to the middle of the line that they leave."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tunnel_crack_ros.vision.geometry.corners import direction
from tunnel_crack_ros.vision.geometry.courses import Complex, Courses, Flags, replaced, Values

_TANGENT_PX = 12        # a direction is taken over so many vertices
_MAX_FAMILY = 40        # a crack of more lines is a map: its branches stay as they are


def attached(courses: Courses, cracks: list[int]) -> Courses:
    """Lead each branch straight on to the middle of the line that it leaves.

    A skeleton's junction is not there: it moves into the angle between branch and line.

    :param cracks: number of the crack that each line belongs to.
    """
    families: dict[int, list[int]] = defaultdict(list)
    for line, crack in enumerate(cracks):
        families[crack].append(line)
    cores = {}
    for family in families.values():
        if not 2 <= len(family) <= _MAX_FAMILY:
            continue
        for line in family:
            if not courses.free[:, line].all() and not courses.closed[line]:
                trunks = [courses.points[courses.core(other)] for other in family
                          if other != line]
                cores[line] = _led_on(courses, line, trunks)
    return replaced(courses, cores)


def _led_on(courses: Courses, line: int,
            trunks: list[Complex]) -> tuple[Complex, Flags, Values]:
    """Return the points, clearness and depths of a line that ends on other lines."""
    own = courses.core(line)
    core, clear, depths = courses.points[own], courses.clear[own], courses.depths[own]
    known = np.flatnonzero(clear)
    if known.size < 4:
        return core, clear, depths
    first, last = int(known[0]), int(known[-1])
    if not courses.free[1, line]:
        tail = _tail(core[max(0, last - _TANGENT_PX):last + 1],
                     abs(complex(core[-1] - core[last])), trunks)
        if tail is not None:
            core = np.concatenate([core[:last + 1], tail])
            clear = np.concatenate([clear[:last + 1], np.zeros(len(tail), bool)])
            depths = np.concatenate([depths[:last + 1], np.full(len(tail), depths[last])])
    if not courses.free[0, line]:
        tail = _tail(core[first:first + _TANGENT_PX][::-1],
                     abs(complex(core[0] - core[first])), trunks)
        if tail is not None:
            core = np.concatenate([tail[::-1], core[first:]])
            clear = np.concatenate([np.zeros(len(tail), bool), clear[first:]])
            depths = np.concatenate([np.full(len(tail), depths[first]), depths[first:]])
    return core, clear, depths


def _tail(way: Complex, left: float, trunks: list[Complex]) -> Complex | None:
    """Return the vertices from the end of a stretch to where it meets one of some lines.

    :param left: how far the skeleton went on, px: not more than twice as far is looked.
    """
    start, out = complex(way[-1]), direction(way)
    place = _crossing(start, out, trunks, 2.0 * left + 2.0)
    if place is None:
        return None
    count = max(1, round(abs(place - start)))
    return np.asarray(start + (place - start) * (np.arange(1, count + 1) / count), np.complex128)


def _crossing(start: complex, way: complex, trunks: list[Complex],
              reach: float) -> complex | None:
    """Return where a ray first crosses one of some lines; None: nowhere within reach."""
    nearest = reach
    for trunk in trunks:
        offset = (trunk - start) * way.conjugate()  # along the ray, and i times across
        along, side = offset.real, offset.imag
        crosses = np.flatnonzero(side[:-1] * side[1:] <= 0.0)
        if crosses.size:
            span = np.abs(side[crosses]) + np.abs(side[crosses + 1])
            share = np.abs(side[crosses]) / np.maximum(span, 1e-9)
            at = along[crosses] * (1 - share) + along[crosses + 1] * share
            at = at[(at > 0.0) & (at < nearest)]
            if at.size:
                nearest = float(at.min())
    return start + way * nearest if nearest < reach else None
