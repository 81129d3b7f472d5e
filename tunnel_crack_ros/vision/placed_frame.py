# SPDX-License-Identifier: Apache-2.0
"""The cracks of one frame as lines on the unrolled lining."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.crack import Crack
from tunnel_crack_ros.vision.line_alignment import Flags, Lines, Points

STEP_M = 0.005          # lines are sampled so finely,
_MOST_SAMPLES = 4000    # but each at most so often
_WAY_M = 0.01           # a line's direction is taken over twice so much


class Observation:
    """One crack in one frame."""

    def __init__(self, key: tuple[int, int], crack: Crack) -> None:
        """Take a crack.

        :param key: frame and place in its list of cracks.
        :param crack: whose line on the lining is known.
        """
        self.key, self.crack = key, crack
        own = (crack.place.line_m, *(branch.line_m for branch in crack.branches))
        self.lines = [line for line in own if line is not None and len(line)
                      and np.isfinite(line).all()]
        """Each K x 2, m: chainage, arc."""
        low = np.min([line.min(axis=0) for line in self.lines], axis=0)
        high = np.max([line.max(axis=0) for line in self.lines], axis=0)
        self.box = (*low.tolist(), *high.tolist())
        """Least chainage and arc, greatest chainage and arc, m."""
        self.length_m = crack.length_mm / 1000.0
        # by what is seen, not by when: frames may come in any order
        self.order = (*self.box, self.length_m)

    def sampled(self) -> Samples:
        """Return samples along its lines."""
        points, ways, weights = zip(*(_sampled(line) for line in self.lines))
        along = np.concatenate(weights)
        total = float(along.sum())
        # what was measured, ends and all, is a little more than the way from vertex to vertex
        along = along * (self.length_m / total) if total > 1e-9 else \
            np.full(len(along), self.length_m / len(along))
        return Samples(Lines(np.concatenate(points), np.concatenate(ways), along),
                       np.cumsum([len(own) for own in points]).tolist())


@dataclass(frozen=True)
class Samples:
    """Samples along the lines of an observation."""

    lines: Lines
    ends: list[int]
    """Number of samples up to the end of each line."""

    def tips(self) -> Flags:
        """Return which samples are the first or the last of their line."""
        tips = np.zeros(self.ends[-1], bool)
        tips[[0, *self.ends[:-1]]] = tips[np.array(self.ends) - 1] = True
        return tips


def _sampled(line: Points) -> tuple[Points, Points, Points]:
    """Sample a polyline, K x 2, m: places, directions (0 where it has none), lengths."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    length = float(along[-1])
    if length < 1e-6:
        return line[:1], np.zeros((1, 2)), np.zeros(1)
    count = min(max(1, round(length / STEP_M)), _MOST_SAMPLES)

    def at(places: npt.NDArray[Any]) -> Points:
        return np.column_stack([np.interp(places, along, line[:, 0]),
                                np.interp(places, along, line[:, 1])])
    places = (np.arange(count) + 0.5) * (length / count)
    ways = at(np.minimum(places + _WAY_M, length)) - at(np.maximum(places - _WAY_M, 0.0))
    sizes = np.maximum(np.hypot(*ways.T), 1e-12)
    return at(places), ways / sizes[:, None], np.full(count, length / count)


class PlacedFrame:
    """The placed cracks of one frame."""

    def __init__(self, camera: str, observed: list[Observation], radius_m: float) -> None:
        """Take what a frame shows.

        :param camera: its name.
        :param observed: one crack at least.
        :param radius_m: of the tunnel, m.
        """
        self.camera, self.observed = camera, observed
        places = [one.crack.place for one in observed]
        arc = radius_m * math.pi / 6.0
        self.sigmas = np.array([
            _largest([place.chainage_sigma_m for place in places]),
            arc * _largest([place.clock_sigma_h for place in places])])
        """Of chainage and arc, m; infinite where not known."""
        self.pixel_m = max((one.crack.mm_per_px / 1000.0 for one in observed
                            if math.isfinite(one.crack.mm_per_px)), default=0.0)
        boxes = np.array([one.box for one in observed])
        self.low, self.high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        self.order = (*self.low.tolist(), *self.high.tolist(),
                      sum(one.length_m for one in observed), camera, observed[0].key)


def _largest(sigmas: list[float]) -> float:
    """Return the largest sigma; infinite where one is not known."""
    return max(sigma if math.isfinite(sigma) else math.inf for sigma in sigmas)
