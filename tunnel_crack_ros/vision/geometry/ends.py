# SPDX-License-Identifier: Apache-2.0
"""How far a line goes on past its last sure vertex, and how wide it is there.

The areas under the profiles beyond it, divided by the width that the line has before its end, add
up to how far the crack still goes: as with widths, blur moves confidence and loses none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tunnel_crack_ros.vision.geometry.courses import Courses, Flags, Indices, Values

_FIT_PX = 20            # vertices before an end that its width is fitted to
_FIT_LEAST = 6          # fewer have no slope
_LEAVES = 0.3           # of the width seen at the frame's edge: half of it where a crack goes on
_RISE = 0.4             # of the width: more than the noise of single areas


@dataclass(frozen=True)
class Ends:
    """Both ends of every line."""

    places: Values
    """2 x K, how far along they lie, px."""
    fitted: Flags
    """2 x K, whether they are ends of the crack: widths there are taken from a fit."""
    middle: Values
    """2 x K, the fit's place along the line, px."""
    width: Values
    """2 x K, the fit's width there, px."""
    slope: Values
    """2 x K."""
    low: Values
    """2 x K, smallest and largest width that it gives, px."""
    high: Values

    def widths(self, side: int, line: Indices, s: Values) -> Values:
        """Return fitted widths.

        :param side: 0 start, 1 end.
        :param line: N, number of the line of each place.
        :param s: N, the places along the lines, px; or N x any number of places.
        """
        middle, width, slope, low, high = (
            values[side, line].reshape(-1, *[1] * (s.ndim - 1))
            for values in (self.middle, self.width, self.slope, self.low, self.high))
        return np.minimum(np.maximum(width + slope * (s - middle), low), high)


def find_ends(courses: Courses, s: Values, widths: Values, known: Indices,
              edges: Indices, out: Values) -> Ends:
    """Find the ends of lines.

    :param s: N, how far along its line each vertex lies, px.
    :param widths: N, px.
    :param known: indices of the vertices whose width counts, line after line.
    :param edges: K + 1, where each line's part of those begins; none is empty.
    :param out: 2 x K, px from the last sure vertices to the frame's edge; infinite: not there.
    """
    sizes = np.diff(edges)
    back = np.arange(_FIT_PX)
    close = np.stack([edges[:-1, None] + back, edges[1:, None] - 1 - back])
    near = known[np.clip(close, edges[:-1, None], edges[1:, None] - 1)]
    use = back < sizes[:, None]
    count = np.minimum(sizes, _FIT_PX)
    at, wide = s[near], widths[near]
    middle, width = (at * use).sum(axis=2) / count, (wide * use).sum(axis=2) / count
    away = (at - middle[:, :, None]) * use
    spread = (away ** 2).sum(axis=2)
    slope = np.where((count >= _FIT_LEAST) & (spread > 0.0),
                     (away * (wide - width[:, :, None])).sum(axis=2)
                     / np.maximum(spread, 1e-9), 0.0)
    # a ragged crack's slope leads anywhere; what is not used repeats a value that is
    low = np.maximum(np.maximum(0.5 * wide.min(axis=2), 0.1 * width), 0.05)
    high = np.maximum(1.2 * wide.max(axis=2), 0.1)
    edge = courses.inner
    ends = Ends(s[edge], courses.free, middle, width, slope, low, high)
    places = ends.places.copy()
    for side, outward in ((0, -1), (1, 1)):
        lines = np.flatnonzero(courses.free[side])
        if not lines.size:
            continue
        left = courses.margins()[side, lines]
        beyond = edge[side, lines, None] + outward * np.minimum(
            np.arange(left.max() + 1), left[:, None])
        share = np.clip(widths[beyond] / ends.widths(side, lines, s[beyond]), -0.5, 1.5)
        # what rises again is another line's, however wide or faint that is
        other = np.maximum.accumulate(
            share > np.minimum.accumulate(share, axis=1) + _RISE, axis=1)
        share = np.where(other, 0.0, share)
        steps = np.abs(np.diff(s[beyond], axis=1))
        reach = ((share[:, 1:] + share[:, :-1]) * steps).sum(axis=1) / 2
        # what leaves the frame ends at its edge, of which a slanting crack shows only a part
        way = out[side, lines]
        last = np.minimum(way, left).astype(np.int64)
        leaves = np.isfinite(way) & (share[np.arange(lines.size), last] > _LEAVES)
        places[side, lines] += outward * np.where(leaves, way, reach)
    # noise can eat up a crumb from both ends
    crumb = places[1] - places[0] < 0.5
    half_way = places.mean(axis=0)
    places = np.where(crumb, np.stack([half_way - 0.25, half_way + 0.25]), places)
    return Ends(places, courses.free, middle, width, slope, low, high)
