# SPDX-License-Identifier: Apache-2.0
"""Strokes to lines: a centre line to a fraction of a pixel, with a width at every pixel of it."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.profiles import Profiles, sample_profiles
from tunnel_crack_ros.vision.geometry.strokes import Stroke

Points = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_FIRST_SIGMA = 2.0      # takes the staircase out of a skeleton
_FIT_PX = 12            # vertices before an end that its width is fitted to
_END_BLUR_PX = 2.0      # the ends' own blur: widths there are taken from the fit
_BEYOND_PX = 6.0        # so far past the skeleton's guess an end is looked for


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
    for step in (1.0, 0.5):
        found = _profiles(drafts, confidence, threshold, step)
        drafts = [_corrected(draft, profiles) for draft, profiles in zip(drafts, found)]
    found = found if not drafts else _profiles(drafts, confidence, threshold, 0.5)
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
    depth = float(np.median(depths))
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
    reach = min(len(line) - 1, 8 + int(np.median(depths)))
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
              step: float) -> list[Profiles]:
    """Sample all lines at once."""
    if not drafts:
        return []
    found = sample_profiles(
        confidence, np.concatenate([draft.points for draft in drafts]),
        np.concatenate([_normals(draft.points, draft.closed) for draft in drafts]),
        np.concatenate([draft.depths for draft in drafts]), threshold, step)
    cuts = np.cumsum([len(draft.points) for draft in drafts])
    begins = np.concatenate([[0], cuts[:-1]])
    return [Profiles(found.areas[a:b], found.offsets[a:b], found.plateaus[a:b],
                     found.peaks[a:b]) for a, b in zip(begins, cuts)]


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
    at = np.arange(len(moved), dtype=np.float64)
    known = np.flatnonzero(sure)
    core = slice(first, last + 1)
    points = moved[core].copy()
    if not sure[core].all():
        for axis in (0, 1):
            points[:, axis] = np.interp(at[core], known, moved[known, axis])
        # where a branch begins nothing is measured: there the junction itself stands
        for end, free, side in ((0, draft.free[0], known[0]), (-1, draft.free[1], known[-1])):
            if not free and not draft.closed:
                stretch = slice(0, side - first + 1) if end == 0 else slice(side - first, None)
                count = len(points[stretch])
                share = np.linspace(0.0, 1.0, count)[:, None]
                a = draft.points[first] if end == 0 else moved[side]
                b = moved[side] if end == 0 else draft.points[last]
                points[stretch] = a + (b - a) * share
    size = float(np.median(draft.depths))
    points = _fitted(points, 7 + int(min(size, 8.0)), draft.closed)
    return _extended(points, draft.clear[core], draft.depths[core], float(first),
                     float(len(draft.points) - 1 - last), draft.free, draft.closed)


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
    widths = profiles.areas / np.clip(plateau, 0.4, 1.0)
    begin, end = s[first], s[last]
    fits = []
    for side, free in ((0, draft.free[0]), (1, draft.free[1])):
        if not free or draft.closed:
            fits.append(None)
            continue
        close = known[:_FIT_PX] if side == 0 else known[-_FIT_PX:]
        edge = first if side == 0 else last
        slope, level = _fit(s[close] - s[edge], widths[close])
        outward = slice(edge, None, -1) if side == 0 else slice(edge, None)
        away = np.abs(s[outward] - s[edge])
        model = np.maximum(level + (-slope if side == 0 else slope) * away,
                           0.3 * max(level, 1e-3))
        share = np.clip(widths[outward] / model, 0.0, 1.5)
        reach = float(np.trapezoid(share, away)) if hasattr(np, 'trapezoid') else float(
            np.trapz(share, away))
        if side == 0:
            begin = s[edge] - reach
        else:
            end = s[edge] + reach
        fits.append((slope, level, s[edge]))
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
    for side, fit in enumerate(fits):
        if fit is not None:
            slope, level, edge = fit
            beyond = where < s[first] if side == 0 else where > s[last]
            width[beyond] = np.maximum(level + slope * (where[beyond] - edge), 0.3 * level)
    width = np.maximum(width, 0.05)
    length = max(float(end - begin), 0.5)
    spans = np.gradient(where)
    mean = float((width * spans).sum() / spans.sum())
    noise = widths[use] - _box(widths[use], 9)
    scatter = float(noise.std()) if use.size > 9 else 0.3
    width_sigma = math.hypot(scatter * math.sqrt(3.0 / max(use.size, 1)), 0.03)
    ends = sum(draft.free) if not draft.closed else 0
    length_sigma = math.sqrt(ends * 0.3 ** 2 + (0.001 * length) ** 2 + (2 - sum(draft.free)) * 1.0)
    return Line(line, width, clear, length, length_sigma, mean, width_sigma, draft.closed)


def _fit(x: Points, y: Points) -> tuple[float, float]:
    """Fit a straight line; return its slope and its value at 0."""
    if x.size < 6:
        return 0.0, float(y.mean())
    middle = x.mean()
    spread = float(((x - middle) ** 2).sum())
    slope = float(((x - middle) * (y - y.mean())).sum()) / max(spread, 1e-9)
    return slope, float(y.mean() - slope * middle)


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
