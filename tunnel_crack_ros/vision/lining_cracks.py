# SPDX-License-Identifier: Apache-2.0
"""The cracks of the lining: what many frames show of one crack, recognised and counted once.

Frames are taken in the order of their chainage. Each is first laid onto what those before it
showed, by a shift within the joint uncertainty of their places and a slight turn, for all its
cracks together (iterated closest points, from several starts; Besl and McKay, PAMI 1992; point to
line, Chen and Medioni 1992). Where its lines then run along lines that are known, they are the
same crack, and only what is new is added to its length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.crack import Crack
from tunnel_crack_ros.vision.line_alignment import (
    align,
    Flags,
    Indices,
    Lines,
    neighbours,
    Points,
)
from tunnel_crack_ros.vision.place import clock_hours
from tunnel_crack_ros.vision.placed_frame import Observation, PlacedFrame, Samples, STEP_M

_SHIFT_SIGMAS, _LEAST_SHIFT_M, _MOST_SHIFT_M = 2.5, 0.02, 0.10
_ASIDE_SHARE, _LEAST_ASIDE_M, _MOST_ASIDE_M = 0.1, 0.006, 0.015
_RUN_M = 0.02           # two lines of one crack run along each other at least so far
_BEHIND_M = 1.0         # what ends so far before a frame is not met any more
_FARTHEST_M = 1e7       # a place beyond this is none


@dataclass(frozen=True)
class LiningCrack:
    """A crack of the lining, from all frames that show a part of it."""

    id: int
    """From 1, in the order of chainage."""
    seen: tuple[tuple[int, int], ...]
    """Frame and place in its list of cracks, of each observation."""
    best: tuple[int, int]
    """The observation that shows the greatest length."""
    widest: tuple[int, int]
    """The observation with the greatest width that has a value in mm; else the best."""
    length_mm: float
    """Of all that is seen of it, counted once, branches included, mm."""
    length_sigma_mm: float
    """As if all frames were wrong in the same way, mm."""
    chainage_from_m: float
    chainage_to_m: float
    clock_from_h: float
    """h, 0 <= clock_from_h < 12: the crack lies clockwise from here, as seen looking ahead."""
    clock_to_h: float
    """h; 12 beside a clock_from_h of 0: all around."""


@dataclass(frozen=True)
class LiningCracks:
    """What the frames of a drive show, crack by crack of the lining."""

    cracks: list[LiningCrack] = field(default_factory=list)
    unplaced: dict[str, int] = field(default_factory=dict)
    """What is not known of some cracks' places, and of how many: those are not among `cracks`."""

    def of_observations(self) -> dict[tuple[int, int], int]:
        """Return the id of the lining's crack for each frame and place in its list."""
        return {seen: crack.id for crack in self.cracks for seen in crack.seen}


def find_lining_cracks(frames: Sequence[Sequence[Crack]], cameras: Sequence[str],
                       radius_m: float, progress: Callable[[int, int], None] | None = None,
                       ) -> LiningCracks:
    """Recognise the observations that are one crack on the lining.

    The result does not depend on the order of the frames. Time and memory grow with the length of
    all lines, not with its square: a frame meets only what lies around it, once.

    :param frames: the cracks of each frame, placed in the tunnel.
    :param cameras: of each frame; one camera's frames are off in much the same way.
    :param radius_m: of the tunnel, m; 0: not known.
    :param progress: called with (done, of) after every frame with cracks.
    """
    unplaced: dict[str, int] = defaultdict(int)
    seen = []
    for number, (cracks, camera) in enumerate(zip(frames, cameras, strict=True)):
        observed = []
        for place, crack in enumerate(cracks):
            missing = _missing(crack, radius_m)
            if missing:
                unplaced[missing] += 1
            else:
                observed.append(Observation((number, place), crack))
        if observed:
            seen.append(PlacedFrame(camera, observed, radius_m))
    seen.sort(key=lambda frame: frame.order)
    lining = _Lining(2.0 * math.pi * radius_m)
    for done, frame in enumerate(seen, 1):
        lining.add(frame)
        if progress is not None:
            progress(done, len(seen))
    return LiningCracks(lining.cracks(radius_m), dict(unplaced))


def _missing(crack: Crack, radius_m: float) -> str:
    """Say what is not known of a crack's place; '' when all is."""
    line, place = crack.place.line_m, crack.place
    if line is not None and len(line) and np.isfinite(line).all() and radius_m > 0.0 \
            and np.abs(line).max() < _FARTHEST_M and math.isfinite(crack.length_mm):
        return ''
    missing = [what for what, known in (
        ('scale', crack.scale.known and math.isfinite(crack.length_mm)),
        ('chainage', math.isfinite(place.chainage_m) or not crack.scale.known),
        ('clock position', math.isfinite(place.clock_h) or not crack.scale.known)) if not known]
    return ' and no '.join(missing) or 'place of its line'


@dataclass(frozen=True)
class _Known:
    """What one frame added to the lining."""

    lines: Lines
    crack: Indices
    """Of each sample."""
    tips: Flags
    """Samples at the ends of lines."""
    shifts: Points
    """By which each sample was moved, N x 2, m."""
    camera: str
    sigmas: Points
    pixel_m: float
    until: float
    """Greatest chainage, m."""


@dataclass(frozen=True)
class _Around:
    """What is known of the lining around a frame."""

    lines: Lines
    """As other frames showed it, moved as they were."""
    crack: Indices
    """Of each sample."""
    tips: Flags
    shifts: Points
    own_camera: Flags
    """Samples of the frame's own camera."""
    bounds: Points
    """How far the frame may be off, 2, m."""
    aside: float
    """How far lines that are the same may lie beside each other, m."""
    close: float
    """How near they come where the frame is placed right, m."""

    @classmethod
    def of(cls, near: Sequence[_Known], frame: PlacedFrame, turn_m: float) -> _Around | None:
        """Collect it; None where nothing is known.

        :param turn_m: once around the tunnel, m.
        """
        low, high = frame.low, frame.high
        margin = _MOST_SHIFT_M + _MOST_ASIDE_M + 2.0 * frame.pixel_m
        found = []
        for known in near:
            lines, shifts = known.lines, known.shifts
            turns = np.round(((low[1] + high[1]) / 2.0 - lines.points[:, 1]) / turn_m)
            points = lines.points + np.column_stack([np.zeros(len(turns)), turns * turn_m])
            told = points - shifts      # where the frames themselves had it
            inside = np.flatnonzero(((told >= low - margin) & (told <= high + margin)).all(axis=1))
            if inside.size:
                found.append((known, inside, points[inside]))
        if not found:
            return None
        sigmas = np.hypot(frame.sigmas, np.max([known.sigmas for known, _, _ in found], axis=0))
        close = max(_LEAST_ASIDE_M, *(2.0 * known.pixel_m for known, _, _ in found),
                    2.0 * frame.pixel_m)
        return cls(
            Lines(np.concatenate([points for _, _, points in found]),
                  np.concatenate([known.lines.ways[which] for known, which, _ in found]),
                  np.concatenate([known.lines.weights[which] for known, which, _ in found])),
            np.concatenate([known.crack[which] for known, which, _ in found]),
            np.concatenate([known.tips[which] for known, which, _ in found]),
            np.concatenate([known.shifts[which] for known, which, _ in found]),
            np.concatenate([np.full(len(which), known.camera == frame.camera)
                            for known, which, _ in found]),
            np.clip(_SHIFT_SIGMAS * sigmas, _LEAST_SHIFT_M, _MOST_SHIFT_M),
            max(close, min(_ASIDE_SHARE * float(sigmas.max()), _MOST_ASIDE_M)), close)

    def centre(self) -> Points:
        """Return the shift to expect, 2, m: that of the camera's own frames around, or of all."""
        own = self.own_camera if self.own_camera.any() else slice(None)
        return self.shifts[own].mean(axis=0)


class _Lining:
    """What the frames so far have shown, each piece once."""

    def __init__(self, turn_m: float) -> None:
        self._turn = turn_m
        self._near: list[_Known] = []   # what frames to come may still meet
        self._parents: list[int] = []
        self._lengths: list[float] = []
        self._sigmas: list[float] = []  # of the lengths
        self._seen: list[list[Observation]] = []

    def add(self, frame: PlacedFrame) -> None:
        """Take a frame; frames come by their least chainage."""
        self._near = [known for known in self._near if known.until >= frame.low[0] - _BEHIND_M]
        sampled = [one.sampled() for one in frame.observed]
        owner = np.repeat(np.arange(len(sampled)), [one.ends[-1] for one in sampled])
        lines = Lines(np.concatenate([one.lines.points for one in sampled]),
                      np.concatenate([one.lines.ways for one in sampled]),
                      np.concatenate([one.lines.weights for one in sampled]))
        around = _Around.of(self._near, frame, self._turn)
        tips = np.concatenate([one.tips() for one in sampled])
        shifts, same = np.zeros_like(lines.points), np.full(len(owner), -1)
        met_tips = np.zeros(len(owner), bool)
        if around is not None:
            shifts = align(lines, around.lines, around.centre(), around.bounds, around.aside,
                           around.close)
            lines = Lines(lines.points + shifts, lines.ways, lines.weights)
            met = _met(lines, owner, around)
            same[met >= 0] = around.crack[met[met >= 0]]
            met_tips[met >= 0] = around.tips[met[met >= 0]]
        new, crack = np.ones(len(owner), bool), np.zeros(len(owner), np.int64)
        for number, (one, samples) in enumerate(zip(frame.observed, sampled)):
            own = np.flatnonzero(owner == number)
            roots = np.array([self._root(known) if known >= 0 else -1
                              for known in same[own].tolist()])
            linked = self._linked(samples.lines.weights, roots, tips[own], met_tips[own])
            root = self._join(linked) if linked else self._begin()
            known = np.isin(roots, linked)
            if around is not None:
                known = _closed(known, samples, 2.0 * around.aside)
            self._grow(root, one, float(samples.lines.weights[~known].sum()))
            crack[own], new[own] = root, ~known
        if new.any():
            points, moved = lines.points[new], shifts[new]
            self._near.append(_Known(
                lines.some(new), crack[new], tips[new], moved, frame.camera, frame.sigmas,
                frame.pixel_m, float((points - moved)[:, 0].max())))

    def _linked(self, weights: Points, roots: Indices, tips: Flags, met_tips: Flags) -> list[int]:
        """Return the cracks that an observation runs along far enough to be a part of them.

        :param weights: of its samples, m.
        :param roots: of each sample the crack that it runs along, or -1.
        :param tips: samples at the ends of its lines.
        :param met_tips: samples that lie at the end of the known line; where one line ends and
            the other begins, it goes on, however short the stretch that both frames show.
        """
        linked = []
        for root in np.unique(roots[roots >= 0]).tolist():
            here = roots == root
            run = float(weights[here].sum())
            goes_on = tips[here].any() and met_tips[here].any()
            if goes_on or run >= min(_RUN_M, 0.5 * float(weights.sum()),
                                     0.5 * self._lengths[root]):
                linked.append(root)
        return linked

    def _begin(self) -> int:
        self._parents.append(len(self._parents))
        self._lengths.append(0.0)
        self._sigmas.append(0.0)
        self._seen.append([])
        return len(self._parents) - 1

    def _root(self, crack: int) -> int:
        while self._parents[crack] != crack:
            self._parents[crack] = self._parents[self._parents[crack]]
            crack = self._parents[crack]
        return crack

    def _join(self, roots: list[int]) -> int:
        """Make one crack of several."""
        first, *others = roots
        for other in others:
            self._parents[other] = first
            self._lengths[first] += self._lengths[other]
            self._sigmas[first] += self._sigmas[other]
            self._seen[first] += self._seen[other]
            self._seen[other] = []
        return first

    def _grow(self, root: int, one: Observation, new_m: float) -> None:
        """Count an observation, and the length of it that is new."""
        self._seen[root].append(one)
        self._lengths[root] += new_m
        if one.length_m > 0.0:
            self._sigmas[root] += one.crack.length_sigma_mm / 1000.0 * new_m / one.length_m

    def cracks(self, radius_m: float) -> list[LiningCrack]:
        """Return all, in the order of chainage."""
        found = [self._crack(root, radius_m) for root, seen in enumerate(self._seen) if seen]
        found.sort(key=lambda crack: (crack.chainage_from_m, crack.clock_from_h,
                                      crack.chainage_to_m, crack.length_mm))
        return [replace(crack, id=number) for number, crack in enumerate(found, 1)]

    def _crack(self, root: int, radius_m: float) -> LiningCrack:
        seen = self._seen[root]
        boxes = np.array([one.box for one in seen])
        # all on the same side of the cut
        turns = np.round((boxes[0, 1] - boxes[:, 1]) / self._turn) * self._turn
        low, high = (boxes[:, 1] + turns).min(), (boxes[:, 3] + turns).max()
        around = high - low >= self._turn
        resolved = [one for one in seen if math.isfinite(one.crack.width_max_mm)]
        best = max(seen, key=lambda one: (one.length_m, one.order))
        widest = max(resolved, key=lambda one: (one.crack.width_max_mm, one.order), default=best)
        return LiningCrack(
            0, tuple(sorted(one.key for one in seen)), best.key, widest.key,
            1000.0 * self._lengths[root], 1000.0 * self._sigmas[root],
            float(boxes[:, 0].min()), float(boxes[:, 2].max()),
            0.0 if around else clock_hours(float(low) / radius_m),
            12.0 if around else clock_hours(float(high) / radius_m))


def _met(lines: Lines, owner: Indices, around: _Around) -> Indices:
    """Return the known sample that each of a frame lies on, -1 where it is new.

    Of the cracks of one frame only the nearest lies on it: two that run beside each
    other stay two.

    :param lines: laid onto what is known.
    :param owner: number of each sample's crack.
    """
    points, known = lines.points, around.lines
    own, other = neighbours(points, known.points, math.hypot(around.aside, STEP_M))
    off, ways = known.points[other] - points[own], known.ways[other]
    distance = np.hypot(*off.T)
    has_way = ways.any(axis=1)
    along = np.where(has_way, np.abs((off * ways).sum(axis=1)), 0.0)
    aside = np.where(has_way, np.abs(off[:, 0] * ways[:, 1] - off[:, 1] * ways[:, 0]), distance)
    fits = (aside <= around.aside) & (along <= 0.75 * STEP_M) & lines.parallel(own, known, other)
    own, other, distance = own[fits], other[fits], distance[fits]
    winner = np.full(len(known.points), -1)
    nearest = _firsts((own, distance, other))
    winner[other[nearest]] = owner[own[nearest]]
    kept = winner[other] == owner[own]
    own, other, distance = own[kept], other[kept], distance[kept]
    nearest = _firsts((other, distance, own))
    met = np.full(len(points), -1)
    met[own[nearest]] = other[nearest]
    return met


def _firsts(keys: tuple[npt.NDArray[Any], ...]) -> Indices:
    """Return where each value of the last key comes first, the others deciding, last to first."""
    order = np.lexsort(keys)
    return order[np.diff(keys[-1][order], prepend=-1) > 0]


def _closed(known: Flags, samples: Samples, gap_m: float) -> Flags:
    """Close short gaps in what of an observation's lines is known: noise, no new crack."""
    closed = known.copy()
    for begin, end in zip([0, *samples.ends], samples.ends):
        at = np.flatnonzero(known[begin:end]) + begin
        for gap in np.flatnonzero(np.diff(at) > 1).tolist():
            within = slice(at[gap] + 1, at[gap + 1])
            closed[within] |= samples.lines.weights[within].sum() <= gap_m
    return closed
