# SPDX-License-Identifier: Apache-2.0
"""Lines of a crack from pixels to the lining: lengths, widths and area in millimetres.

Every third vertex of a line is carried to the lining along its ray; so are the two edges of the
crack beside it and two points half a pixel before and behind it. The width is the distance of the
edges across the crack's direction on the lining, which under a tilt is not that in the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.lining import Lining, View
from tunnel_crack_ros.vision.scale import Scale

if TYPE_CHECKING:
    from tunnel_crack_ros.vision.geometry.lines import Line

Points = npt.NDArray[np.float64]
_VERTEX_PX = 3      # between the vertices looked at, which are those handed out


@dataclass(frozen=True)
class Millimetres:
    """A crack's measures on the lining; NaN when no scale is known."""

    length: float = math.nan
    """mm."""
    length_sigma: float = math.nan
    width_mean: float = math.nan
    """mm."""
    width_sigma: float = math.nan
    widths: list[Points] = field(default_factory=list)
    """Of every line, N, mm; empty without a scale."""
    area_factor: float = math.nan
    """mm^2 of lining for a pixel of the crack."""
    scale: Scale = field(default_factory=Scale)
    """Along the crack: mm of length for a pixel of it."""
    places_m: list[Points] | None = None
    """Of the `vertices_of` every line with a course, the main one first: K x 3, m, optical frame;
    None without a calibration."""
    plans_m: list[Points] | None = None
    """Of the same, K x 2, m: along the tunnel and around it (see Lining.plan)."""
    plan_sigma_m: tuple[float, float] = (math.nan, math.nan)


def vertices_of(count: int) -> npt.NDArray[np.int64]:
    """Return which of a line's points, 1 px apart, are handed out: every third and the last."""
    return np.unique(np.append(np.arange(0, count - 1, _VERTEX_PX), count - 1))


def in_millimetres(lines: Sequence[Line], scale: Scale | Lining) -> Millimetres:
    """Carry a crack's lines, the main one first, to the lining."""
    if isinstance(scale, Scale):
        return _evenly(lines, scale)
    return _on_lining(lines, scale.near(lines[0].points))


def _evenly(lines: Sequence[Line], scale: Scale) -> Millimetres:
    """Multiply by one scale for all of the frame."""
    if not scale.known:
        return Millimetres()
    mm = scale.mm_per_px
    length, length_sigma, width, width_sigma = _sizes(lines, [mm] * len(lines), [mm] * len(lines))
    off = scale.sigma / mm if math.isfinite(scale.sigma) else 0.0
    return Millimetres(
        length, math.hypot(length_sigma, off * length), width,
        math.hypot(width_sigma, off * width), [line.widths * mm for line in lines], mm ** 2, scale)


def _on_lining(lines: Sequence[Line], lining: Lining) -> Millimetres:
    samples = _Samples.of([line for line in lines if _has_course(line)], lining)
    best, shifted = samples.seen(lining.best), [samples.seen(view) for view in lining.shifted]
    # edges of the crack may lie beyond the lining where its middle does not
    if not all(np.isfinite(seen.places).all() and math.isfinite(seen.area_factor)
               for seen in (best, *shifted)):
        return Millimetres()    # part of it lies beyond the lining, or may do so
    length, length_sigma, width, width_sigma = _sizes(lines, *best.of_all(lines))
    sizes = np.array([_sizes(lines, *seen.of_all(lines))[::2] for seen in shifted]
                     or np.empty((0, 2)))
    off = np.sqrt(np.sum((sizes - (length, width)) ** 2, axis=0))
    main = slice(0, samples.begins[1])
    places = [best.places[begin:end] for begin, end in zip(samples.begins, samples.begins[1:])]
    moved = np.array([lining.plan(seen.places[main].mean(axis=0)[None], view)[0]
                      for seen, view in zip(shifted, lining.shifted)] or np.empty((0, 2)))
    middle = lining.plan(best.places[main].mean(axis=0)[None])[0]
    away = np.sqrt(np.sum((moved - middle) ** 2, axis=0))
    pixels = sum(line.length for line in lines)
    return Millimetres(
        length, math.hypot(length_sigma, off[0]), width, math.hypot(width_sigma, off[1]),
        samples.widths_mm(lines, best), best.area_factor,
        Scale(length / pixels, float(off[0]) / pixels, lining.source),
        places if lining.camera.calibrated else None, [lining.plan(own) for own in places],
        (float(away[0]), float(away[1])))


def _sizes(lines: Sequence[Line], along: Sequence[float],
           across: Sequence[float]) -> tuple[float, float, float, float]:
    """Return length and mean width with their own sigmas, mm, from mm per px of every line."""
    lengths = np.array([line.length for line in lines]) * along
    length = float(lengths.sum())
    shares = lengths / length
    width = float(shares @ (np.array([line.width_mean for line in lines]) * across))
    return (length,
            math.sqrt(sum((line.length_sigma * mm) ** 2 for line, mm in zip(lines, along))), width,
            math.sqrt(sum((share * line.width_mean_sigma * mm) ** 2
                          for share, line, mm in zip(shares, lines, across))))


@dataclass(frozen=True)
class _Seen:
    """Lines as they lie in one view of the lining."""

    places: Points
    along: list[float]
    """Of every line, mm of length for a pixel."""
    across: list[float]
    """Of every line, mm of mean width for a pixel."""
    factors: list[Points]
    """Of every line's vertices, mm of width for a pixel."""
    area_factor: float

    def of_all(self, lines: Sequence[Line]) -> tuple[list[float], list[float]]:
        """Return `along` and `across` of lines without a course, too: as of the main line."""
        along, across = iter(self.along), iter(self.across)
        known = [_has_course(line) for line in lines]
        return ([next(along) if own else self.along[0] for own in known],
                [next(across) if own else self.across[0] for own in known])


@dataclass(frozen=True)
class _Samples:
    """Rays to what is looked at: vertices, both edges, and a little before and behind."""

    vertices: list[npt.NDArray[np.int64]]
    """Of every line, see vertices_of."""

    rays: Points
    """5 N x 3."""
    widths: Points
    """N, px."""
    weights: Points
    """N, px of line that each vertex stands for."""
    begins: list[int]
    """Index of the first vertex of every line, and N."""
    steps: Points
    """N - 1, px between neighbours; 0 from line to line."""

    @classmethod
    def of(cls, lines: Sequence[Line], lining: Lining) -> _Samples:
        vertices = [vertices_of(len(line.points)) for line in lines]
        begins = [0, *np.cumsum([len(own) for own in vertices]).tolist()]

        def picked(values: Sequence[Points]) -> Points:
            return np.concatenate([value[own] for value, own in zip(values, vertices)])
        points = picked([line.points for line in lines])
        widths = picked([line.widths for line in lines])
        ways = picked([_directions(line.points) for line in lines])
        normals = np.column_stack([-ways[:, 1], ways[:, 0]])
        steps = np.hypot(*np.diff(points, axis=0).T)
        steps[np.array(begins[1:-1], int) - 1] = 0.0
        weights = np.full(len(points), 1e-6)
        weights[1:] += steps / 2
        weights[:-1] += steps / 2
        beside = normals * widths[:, None] / 2
        rays = lining.camera.rays(np.concatenate([
            points, points + beside, points - beside, points + ways / 2, points - ways / 2]))
        return cls(vertices, rays, widths, weights, begins, steps)

    def widths_mm(self, lines: Sequence[Line], seen: _Seen) -> list[Points]:
        """Return the widths at all points of all lines, mm."""
        own = iter(zip(self.vertices, seen.factors))
        return [line.widths * (np.interp(np.arange(len(line.points)), *next(own))
                               if _has_course(line) else seen.across[0]) for line in lines]

    def seen(self, view: View) -> _Seen:
        """Look at the samples in one view."""
        places, left, right, behind, before = view.meet(self.rays).reshape(5, -1, 3)
        way, edge = behind - before, left - right
        size = np.linalg.norm(way, axis=1)
        area = np.linalg.norm(np.cross(edge, way), axis=1)
        widths = 1e3 * area / size
        # of the line in space, as a share of what half a pixel before and behind says
        steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
        along, across, factors = [], [], []
        for begin, end in zip(self.begins, self.begins[1:]):
            own, between = slice(begin, end), slice(begin, end - 1)
            pixels = float(self.steps[between].sum())
            along.append(1e3 * float(steps[between].sum()) / pixels if pixels > 1e-6
                         else 1e3 * float(size[own].mean()))
            weights = self.weights[own]
            metric = weights * size[own]
            across.append(float(metric @ widths[own] / metric.sum())
                          / float(weights @ self.widths[own] / weights.sum()))
            factors.append(widths[own] / self.widths[own])
        return _Seen(places, along, across, factors,
                     1e6 * float(self.weights @ area / (self.weights @ self.widths)))


def _has_course(line: Line) -> bool:
    """Return whether a line's points are places: a crowd of branches is counted, not followed."""
    return len(line.points) == 1 or bool(np.ptp(line.points, axis=0).any())


def _directions(points: Points) -> Points:
    """Return unit vectors along a line at its vertices, N x 2."""
    if len(points) < 2:
        return np.tile([1.0, 0.0], (len(points), 1))
    padded = np.concatenate([points[:1], points, points[-1:]])
    ways = padded[2:] - padded[:-2]
    sizes = np.hypot(ways[:, 0], ways[:, 1])
    moving = np.flatnonzero(sizes > 1e-9)
    if not moving.size:
        return np.tile([1.0, 0.0], (len(points), 1))
    if moving.size < len(points):
        # the first two points of a branch may be one: its way is that of the nearest that moves
        at = np.arange(len(points))
        next_one = np.searchsorted(moving, at)
        before = moving[np.maximum(next_one - 1, 0)]
        after = moving[np.minimum(next_one, moving.size - 1)]
        nearest = np.where(at - before <= after - at, before, after)
        ways, sizes = ways[nearest], sizes[nearest]
    return ways / sizes[:, None]
