# SPDX-License-Identifier: Apache-2.0
"""Strokes to lines: a centre line to a fraction of a pixel, with a width at every pixel of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.profiles import Profiles, sample_profiles
from tunnel_crack_ros.vision.geometry.strokes import Stroke

Points = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_FIRST_SIGMA = 2.0      # takes the staircase out of a skeleton
_TANGENT_PX = 12        # a direction is taken over so many vertices
_NO_CORNER = math.cos(math.radians(20.0))
_FIT_PX = 20            # vertices before an end that its width is fitted to
_END_BLUR_PX = 2.0      # the ends' own blur: widths there are taken from the fit
_MAX_FAMILY = 40        # a crack of more lines is a map: its branches stay as they are
_BEYOND_PX = 6.0        # so far past the skeleton's guess an end is looked for

# How sure a measure is. The form follows from how it is made (a mean over neighbours that share
# pixels, two ends); the numbers make 68 % of the benchmark's errors fall within one sigma.
_WIDTH_NOISE = 2.65     # of the scatter of single widths over the root of their number
_WIDTH_FLOOR = 0.0025   # px: sampling
_END_NOISE = 1.4        # of that scatter, each end
_END_FLOOR = 0.075      # px, each end
_NODE_FLOOR, _NODE_WIDTH = 0.5, 0.15  # px and share of the width, each branch's beginning
_LENGTH_NOISE = 1e-4    # of the length: noise and smoothing of the line


@dataclass(frozen=True)
class Line:
    """One line of a crack, measured."""

    points: Points
    """N x 2, x and y, px, about 1 px apart."""
    widths: Points
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
    drafts = [_draft(stroke) for stroke in strokes]
    found = _profiles(drafts, confidence, threshold, every=3)
    drafts = [_corrected(draft, profiles) for draft, profiles in zip(drafts, found)]
    drafts = _attached(drafts, strokes)
    found = _profiles(drafts, confidence, threshold)
    return [_finish(draft, profiles) for draft, profiles in zip(drafts, found)]


@dataclass(frozen=True)
class _Draft:
    points: Points
    """About 1 px apart, from before a free start to behind a free end."""
    clear: Flags
    depths: Points
    inner: tuple[int, int]
    """First and last vertex that surely lie on the crack."""
    free: tuple[bool, bool]
    closed: bool


def _draft(stroke: Stroke) -> _Draft:
    points = _smoothed(stroke.points, _FIRST_SIGMA, stroke.closed)
    clear, depths = stroke.clear, stroke.depths
    if stroke.closed:
        points = np.concatenate([points, points[:1]])
        clear, depths = np.append(clear, clear[0]), np.append(depths, depths[0])
    depth = float(depths.mean())
    # a skeleton runs into a corner of a square end: its last pixels are no centre line
    trims = [round(min(1.2 * float(depths[at]) + 1.0, len(points) / 5)) if free else 0
             for free, at in zip(stroke.free, (0, -1))]
    if stroke.closed:
        trims = [0, 0]
    rest = slice(trims[0], len(points) - trims[1])
    points, clear, depths = points[rest], clear[rest], depths[rest]
    before, behind = (0.0 if stroke.closed or not free else trim + depth + _BEYOND_PX
                      for free, trim in zip(stroke.free, trims))
    return _extended(points, clear, depths, before, behind, stroke.free, stroke.closed)


def _extended(points: Points, clear: Flags, depths: Points, before: float, behind: float,
              free: tuple[bool, bool], closed: bool) -> _Draft:
    """Resample a line to vertices 1 px apart and lengthen it straight on."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    s = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0.0, s[-1], max(3, round(s[-1]) + 1))
    x, y = np.interp(at, s, points[:, 0]), np.interp(at, s, points[:, 1])
    line = np.column_stack([x, y])
    near = np.clip(np.searchsorted(s, at), 0, len(clear) - 1)
    clear, depths = clear[near] & clear[np.maximum(near - 1, 0)], depths[near]
    parts = [line]
    reach = min(len(line) - 1, 8 + int(depths.mean()))
    inner = [0, len(line) - 1]
    if before > 0:
        way = line[0] - line[reach]
        steps = np.arange(math.ceil(before), 0, -1)
        parts.insert(0, line[0] + way / max(float(np.hypot(*way)), 1e-9) * steps[:, None])
        inner = [index + steps.size for index in inner]
        clear, depths = (np.concatenate([np.repeat(v[:1], steps.size), v])
                         for v in (clear, depths))
    if behind > 0:
        way = line[-1] - line[-1 - reach]
        steps = np.arange(1, math.ceil(behind) + 1)
        parts.append(line[-1] + way / max(float(np.hypot(*way)), 1e-9) * steps[:, None])
        clear, depths = (np.concatenate([v, np.repeat(v[-1:], steps.size)])
                         for v in (clear, depths))
    return _Draft(np.concatenate(parts), clear, depths, (inner[0], inner[1]), free, closed)


def _profiles(drafts: list[_Draft], confidence: npt.NDArray[np.float32], threshold: float,
              every: int = 1) -> list[Profiles]:
    """Sample all lines at once.

    :param every: only each so many-th vertex; those between get its values.
    """
    if not drafts:
        return []
    found = sample_profiles(
        confidence, np.concatenate([draft.points[::every] for draft in drafts]),
        np.concatenate([_normals(draft.points, draft.closed)[::every] for draft in drafts]),
        np.concatenate([draft.depths[::every] for draft in drafts]), threshold)
    sizes = [len(draft.points) for draft in drafts]
    ends = np.cumsum([-(-size // every) for size in sizes])
    return [found.part(int(end) - (-(-size // every)), int(end), every, size)
            for end, size in zip(ends, sizes)]


def _normals(points: Points, closed: bool) -> Points:
    if closed:
        ways = np.roll(points[:-1], -1, axis=0) - np.roll(points[:-1], 1, axis=0)
        ways = np.concatenate([ways, ways[:1]])
    else:
        ways = np.empty_like(points)
        ways[1:-1] = points[2:] - points[:-2]
        ways[0], ways[-1] = points[1] - points[0], points[-1] - points[-2]
    ways /= np.maximum(np.hypot(*ways.T), 1e-9)[:, None]
    return np.column_stack([-ways[:, 1], ways[:, 0]])


def _corrected(draft: _Draft, profiles: Profiles) -> _Draft:
    """Move a line to the middle of its profiles and smooth it."""
    first, last = draft.inner
    sure = draft.clear.copy()
    sure[:first] = sure[last + 1:] = False
    normals = _normals(draft.points, draft.closed)
    limit = np.maximum(draft.depths, 2.0)
    moved = draft.points + normals * np.clip(profiles.offsets, -limit, limit)[:, None]
    if sure.sum() < 4:
        return draft
    core = slice(first, last + 1)
    size = 7 + int(min(float(draft.depths.mean()), 8.0))
    if draft.closed and sure[core].all():
        points = _fitted(moved[core], size, True)
    else:
        runs = [(a, b) for a, b in _runs(sure) if b - a >= 4] or [(first, last + 1)]
        points = _joined([_fitted(moved[a:b], size, False) for a, b in runs],
                         [a - first for a, _ in runs], draft.points[core])
    return _extended(points, draft.clear[core], draft.depths[core], float(first),
                     float(len(draft.points) - 1 - last), draft.free, draft.closed)


def _attached(drafts: list[_Draft], strokes: list[Stroke]) -> list[_Draft]:
    """Lead each branch straight on to the middle of the line that it leaves.

    A skeleton's junction is not there: it moves into the angle between branch and line.
    """
    out = []
    families: dict[int, list[_Draft]] = defaultdict(list)
    for draft, stroke in zip(drafts, strokes):
        families[stroke.crack].append(draft)
    for draft, stroke in zip(drafts, strokes):
        points, known, family = draft.points, np.flatnonzero(draft.clear), families[stroke.crack]
        trunks = [d.points[d.inner[0]:d.inner[1] + 1] for d in family if d is not draft] \
            if not all(draft.free) and not draft.closed and known.size >= 4 \
            and len(family) <= _MAX_FAMILY else []
        first, last = draft.inner
        before, behind = points[:first], points[last + 1:]
        inner = slice(first, last + 1)
        core, clear, depths = points[inner], draft.clear[inner], draft.depths[inner]
        for side in (1, 0):
            if draft.free[side] or not trunks:
                continue
            at = int(known[-1 if side else 0]) - first
            way = core[max(0, at - _TANGENT_PX):at + 1] if side \
                else core[at:at + _TANGENT_PX][::-1]
            reach = 2.0 * float(np.hypot(*(core[-1 if side else 0] - core[at]))) + 2.0
            place = _crossing(core[at], _direction(way), trunks, reach)
            if place is None:
                continue
            count = max(1, round(float(np.hypot(*(place - core[at])))))
            tail = core[at] + (place - core[at]) * (np.arange(1, count + 1) / count)[:, None]
            dim, deep = np.zeros(count, bool), np.full(count, depths[at])
            if side:
                core = np.concatenate([core[:at + 1], tail])
                clear = np.concatenate([clear[:at + 1], dim])
                depths = np.concatenate([depths[:at + 1], deep])
            else:
                core = np.concatenate([tail[::-1], core[at:]])
                clear = np.concatenate([dim, clear[at:]])
                depths = np.concatenate([deep, depths[at:]])
        out.append(_Draft(
            np.concatenate([before, core, behind]),
            np.concatenate([draft.clear[:first], clear, draft.clear[last + 1:]]),
            np.concatenate([draft.depths[:first], depths, draft.depths[last + 1:]]),
            (first, first + len(core) - 1), draft.free, draft.closed))
    return out


def _crossing(start: Points, way: Points, trunks: list[Points], reach: float) -> Points | None:
    """Return where a ray first crosses one of some lines; None: nowhere within reach."""
    nearest = reach
    for trunk in trunks:
        offset = trunk - start
        side = offset[:, 0] * way[1] - offset[:, 1] * way[0]
        along = offset @ way
        crosses = np.flatnonzero(side[:-1] * side[1:] <= 0.0)
        if crosses.size:
            span = np.abs(side[crosses]) + np.abs(side[crosses + 1])
            share = np.abs(side[crosses]) / np.maximum(span, 1e-9)
            at = along[crosses] * (1 - share) + along[crosses + 1] * share
            at = at[(at > 0.0) & (at < nearest)]
            if at.size:
                nearest = float(at.min())
    return start + way * nearest if nearest < reach else None


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Return begin and end of every stretch of true."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(changes[::2].tolist(), changes[1::2].tolist()))


def _joined(runs: list[Points], begins: list[int], draft: Points) -> Points:
    """Join measured stretches: straight on, or round the corner that their directions make.

    :param runs: of at least 4 points each.
    :param begins: index of each one's first point in the draft.
    :param draft: the line before; its ends stay where no stretch reaches them.
    :return: as many points as the draft.
    """
    points = np.empty_like(draft)
    before, at = draft[0], 0
    for number, (run, begin) in enumerate(zip(runs, begins)):
        gap = begin - at
        if gap > 0:
            corner = _corner(runs[number - 1], run) if number else None
            way = [before, run[0]] if corner is None else [before, corner, run[0]]
            points[at:begin] = _along(way, gap + (number > 0))[number > 0:]
        points[begin:begin + len(run)] = run
        before, at = run[-1], begin + len(run)
    if at < len(draft):
        points[at:] = _along([draft[-1], before], len(draft) - at)[::-1]
    return points


def _along(way: list[Points], count: int) -> Points:
    """Return points along a way from its first place on, evenly, without its last."""
    corners = np.array(way)
    s = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    at = np.arange(count) / count * s[-1]
    return np.column_stack([np.interp(at, s, corners[:, 0]), np.interp(at, s, corners[:, 1])])


def _corner(run: Points, following: Points) -> Points | None:
    """Return where the directions of two stretches meet between them; None: straight on."""
    out, onward = _direction(run[-_TANGENT_PX:]), -_direction(following[:_TANGENT_PX])
    turn = float(out[0] * onward[1] - out[1] * onward[0])
    if float(out @ -onward) > _NO_CORNER:
        return None
    across = following[0] - run[-1]
    reach = float(across[0] * onward[1] - across[1] * onward[0]) / turn if turn else math.inf
    back = float(across[0] * out[1] - across[1] * out[0]) / turn if turn else math.inf
    limit = 2.0 * float(np.hypot(*across))
    return run[-1] + out * reach if 0.0 < reach < limit and 0.0 < back < limit else None


def _direction(points: Points) -> Points:
    """Return the unit vector along a stretch, from the difference of its halves' means."""
    half = max(1, len(points) // 2)
    way = points[-half:].mean(axis=0) - points[:half].mean(axis=0)
    return way / max(float(np.hypot(*way)), 1e-9)


def _finish(draft: _Draft, profiles: Profiles) -> Line:
    """Find the ends, the length and the widths."""
    first, last = draft.inner
    points, count = draft.points, len(draft.points)
    steps = np.hypot(*np.diff(points, axis=0).T)
    s = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.arange(count)
    sure = draft.clear & (at >= first) & (at <= last)
    known = np.flatnonzero(sure)
    if known.size == 0:
        known = np.arange(first, last + 1)
    # the middle's confidence, smoothed along the line: one vertex's own is noisy
    plateau = np.interp(at, known, _box(profiles.plateaus[known], 15))
    widths = profiles.widths(plateau)
    begin, end = s[first], s[last]
    fits: list[_EndFit | None] = []
    for side, free in ((0, draft.free[0]), (1, draft.free[1])):
        if not free or draft.closed:
            fits.append(None)
            continue
        close = known[:_FIT_PX] if side == 0 else known[-_FIT_PX:]
        edge = first if side == 0 else last
        fit = _EndFit.of(s[close], widths[close])
        outward = slice(edge, None, -1) if side == 0 else slice(edge, None)
        away = np.abs(s[outward] - s[edge])
        share = np.clip(widths[outward] / fit.at(s[outward]), -0.5, 1.5)
        reach = float(((share[1:] + share[:-1]) * np.diff(away)).sum()) / 2
        if side == 0:
            begin = s[edge] - reach
        else:
            end = s[edge] + reach
        fits.append(fit)
    if end - begin < 0.5:  # noise can eat up a crumb from both ends
        middle = (begin + end) / 2
        begin, end = middle - 0.25, middle + 0.25
    inside = (s > begin) & (s < end)
    good = sure & inside
    # vertices up to the ends, with widths from the fit where the end's own blur reaches
    extra = [value for value, fit in ((begin, fits[0]), (end, fits[1])) if fit is not None]
    where = np.sort(np.concatenate([s[inside] if extra else s, extra]))
    if len(where) < 2:
        where = np.array([begin, max(end, begin + 0.5)])
    line = np.column_stack([np.interp(where, s, points[:, 0]), np.interp(where, s, points[:, 1])])
    use = known if not good.any() else np.flatnonzero(good)
    width = np.interp(where, s[use], widths[use])
    clear = np.interp(where, s, good.astype(float)) > 0.99
    for side, found in enumerate(fits):
        if found is not None:
            beyond = where < s[first] if side == 0 else where > s[last]
            width[beyond] = found.at(where[beyond])
            clear[beyond] = True
    width = np.maximum(width, 0.05)
    length = max(float(end - begin), 0.5)
    spans = np.empty_like(where)  # of line that each vertex stands for
    spans[1:-1] = where[2:] - where[:-2]
    spans[0], spans[-1] = where[1] - where[0], where[-1] - where[-2]
    spans += 1e-6  # all vertices of a crumb may share one place
    mean = float((width * spans).sum() / spans.sum())
    noise = widths[use] - _box(widths[use], 9)
    scatter = float(noise.std()) if use.size > 9 else 0.3
    width_sigma = math.hypot(_WIDTH_NOISE * scatter / math.sqrt(use.size), _WIDTH_FLOOR)
    variance = (_LENGTH_NOISE * length) ** 2
    for free in draft.free:
        if not draft.closed:
            variance += _END_FLOOR ** 2 + (_END_NOISE * scatter) ** 2 if free \
                else (_NODE_FLOOR + _NODE_WIDTH * mean) ** 2
    length_sigma = math.sqrt(variance)
    return Line(line, width, clear, length, length_sigma, mean, width_sigma, draft.closed)


@dataclass(frozen=True)
class _EndFit:
    """A straight line through the widths before an end, for those that the end's blur spoils."""

    place: float
    width: float
    slope: float
    low: float
    high: float

    @classmethod
    def of(cls, s: Points, widths: Points) -> _EndFit:
        place, width = float(s.mean()), float(widths.mean())
        spread = float(((s - place) ** 2).sum())
        slope = float(((s - place) * (widths - width)).sum()) / spread if s.size >= 6 else 0.0
        # a ragged crack's slope leads anywhere
        return cls(place, width, slope, max(0.5 * float(widths.min()), 0.1 * width, 0.05),
                   max(1.2 * float(widths.max()), 0.1))

    def at(self, s: Points) -> Points:
        return np.minimum(np.maximum(self.width + self.slope * (s - self.place), self.low),
                          self.high)


def _box(values: Points, size: int) -> Points:
    """Return the running mean; shorter at the ends."""
    size = min(size, values.size)
    if size < 2:
        return values
    half = size // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(values.size)
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, values.size)
    return (sums[high] - sums[low]) / (high - low)


def _padded(points: Points, margin: int, closed: bool) -> Points:
    """Lengthen by the far side of a ring, or by the point reflection of an end."""
    if closed:
        return np.concatenate([points[-margin:], points, points[:margin]])
    return np.concatenate([2 * points[0] - points[margin:0:-1], points,
                           2 * points[-1] - points[-2:-2 - margin:-1]])


def _smoothed(points: Points, sigma: float, closed: bool) -> Points:
    """Smooth with a Gaussian; ends stay."""
    margin = min(len(points) - 1, int(3 * sigma))
    if margin < 1:
        return points
    t = np.arange(-margin, margin + 1)
    return _convolved(points, np.exp(-0.5 * (t / sigma) ** 2), margin, closed)


def _fitted(points: Points, half: int, closed: bool) -> Points:
    """Smooth with a local parabola (Savitzky and Golay 1964): bends keep their size."""
    ring = points[:-1] if closed else points
    margin = min(len(ring) - 1, half)
    if margin < 3:
        return points
    t = np.arange(-margin, margin + 1, dtype=np.float64)
    n, second, fourth = t.size, float((t ** 2).sum()), float((t ** 4).sum())
    kernel = (fourth - second * t ** 2) / (n * fourth - second ** 2)
    found = _convolved(ring, kernel, margin, closed)
    return np.concatenate([found, found[:1]]) if closed else found


def _convolved(points: Points, kernel: Points, margin: int, closed: bool) -> Points:
    padded = _padded(points, margin, closed)
    kernel = kernel / kernel.sum()
    return np.column_stack([np.convolve(padded[:, axis], kernel, 'valid') for axis in (0, 1)])


def plain_line(stroke: Stroke) -> Line:
    """Measure a stroke by its pixels alone: what is left for crumbs and for thousands of lines."""
    points = _smoothed(stroke.points, _FIRST_SIGMA, stroke.closed)
    if stroke.closed:
        points = np.concatenate([points, points[:1]])
    widths = np.maximum(2.0 * np.median(stroke.depths) - 0.5, 1.0)
    steps = np.hypot(*np.diff(points, axis=0).T) if len(points) > 1 else np.zeros(1)
    # from pixel edge to pixel edge, where it ends freely
    length = max(float(steps.sum()) + 0.5 * sum(stroke.free) * (not stroke.closed), 0.5)
    return Line(points, np.full(len(points), widths), np.zeros(len(points), bool), length,
                1.0 + 0.02 * length, float(widths), 0.5, stroke.closed)
