# SPDX-License-Identifier: Apache-2.0
"""Rendered cracks whose length, widths and direction are known from their formulas.

Nothing here is shared with the measurement: a curve is a formula, a subpixel is crack when it
lies within half the width of the nearest point of the curve, and a pixel's coverage is the mean
of its 8 x 8 subpixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import math

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Points = npt.NDArray[np.float64]
_SUBPIXELS = 8  # of a pixel's side
SHAPES = ('straight', 'curved', 'winding', 'tapering', 'branching', 'crossing', 'closed')


@dataclass(frozen=True)
class Curve:
    """A curve as a formula, and its width."""

    at: Callable[[Points], Points]
    """Parameter 0..1 (N) to x, y (N x 2), px; also defined a little outside."""
    width: Callable[[Points], Points]
    """Parameter (N) to width across the curve (N), px."""
    closed: bool = False

    def derivatives(self, t: Points) -> tuple[Points, Points]:
        """Return first and second derivative by the parameter, N x 2 each."""
        h = 1e-4
        before, here, after = self.at(t - h), self.at(t), self.at(t + h)
        return (after - before) / (2 * h), (after - 2 * here + before) / h ** 2

    def quadrature(self, intervals: int = 400) -> tuple[Points, Points]:
        """Return Gauss-Legendre nodes (parameters) and arc lengths that they stand for, px."""
        nodes, weights = np.polynomial.legendre.leggauss(4)
        edges = np.linspace(0.0, 1.0, intervals + 1)
        half = np.diff(edges)[:, None] / 2
        t = (edges[:-1, None] + half + half * nodes).ravel()
        speed = np.hypot(*self.derivatives(t)[0].T)
        return t, speed * (half * weights).ravel()

    def inside(self, points: Points, near: Points) -> npt.NDArray[np.bool_]:
        """Return which points lie on the crack.

        :param points: N x 2, px.
        :param near: parameter of a point of the curve close to each, N.
        """
        t = near.copy()
        for _ in range(4):  # Newton on the squared distance; the start is at most 1 px off
            first, second = self.derivatives(t)
            offset = self.at(t) - points
            slope = (offset * first).sum(axis=1)
            bend = np.maximum((first ** 2 + offset * second).sum(axis=1),
                              0.1 * (first ** 2).sum(axis=1))
            t -= np.clip(slope / bend, -0.02, 0.02)
        distance = np.hypot(*(self.at(t) - points).T)
        within = np.ones(t.size, bool) if self.closed else (t >= 0.0) & (t <= 1.0)
        return within & (distance <= self.width(t) / 2)


@dataclass(frozen=True)
class TrueCrack:
    """A rendered crack and what is to be measured of it."""

    shape: str
    coverage: npt.NDArray[np.float32]
    """H x W, share of each pixel that is crack, 0..1."""
    length_px: float
    width_mean_px: float
    width_max_px: float
    orientation: float
    """As in Crack: rad, positive rising; NaN where the shape has none."""


def make_crack(shape: str, rng: np.random.Generator,
               size: tuple[int, int] = (512, 384)) -> TrueCrack:
    """Make a crack at a random place, angle, length and width (1 to 20 px).

    :param shape: one of SHAPES.
    :param size: width and height of the frame, px.
    """
    return render(shape, _curves(shape, rng, size), size)


def render(shape: str, curves: Sequence[Curve], size: tuple[int, int]) -> TrueCrack:
    """Render curves as one crack and integrate its true measures."""
    width, height = size
    fine = np.zeros((height * _SUBPIXELS, width * _SUBPIXELS), np.uint8)
    length = area = widest = 0.0
    for curve in curves:
        _fill(fine, curve, size)
        t, lengths = curve.quadrature()
        widths = curve.width(t)
        length += float(lengths.sum())
        area += float((widths * lengths).sum())
        widest = max(widest, float(curve.width(np.linspace(0.0, 1.0, 2001)).max()))
    coverage = cv2.resize(fine.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    orientation = math.nan
    if len(curves) == 1 and not curves[0].closed:
        orientation = _principal_direction(curves[0])
    return TrueCrack(shape, coverage.astype(np.float32), length, area / length, widest,
                     orientation)


def as_segmented(coverage: npt.NDArray[np.float32], rng: np.random.Generator, blur_px: float,
                 noise: float) -> npt.NDArray[np.float32]:
    """Turn coverage into what a segmenter gives: soft edges and noise, 0..1.

    :param blur_px: standard deviation of the blur, px.
    :param noise: standard deviation of each pixel's error, 0..1.
    """
    soft = cv2.GaussianBlur(coverage, (0, 0), blur_px) if blur_px > 0.0 else coverage
    noisy = soft + rng.normal(0.0, noise, soft.shape) if noise > 0.0 else soft
    return np.clip(noisy, 0.0, 1.0).astype(np.float32)


def _fill(fine: npt.NDArray[np.uint8], curve: Curve, size: tuple[int, int]) -> None:
    """Set the subpixels of a curve."""
    width, height = size
    t = np.linspace(0.0, 1.0, 4001)
    tree = cKDTree(curve.at(t))
    reach = float(curve.width(t).max()) / 2 + 1.5
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
    distance, nearest = tree.query(pixels, distance_upper_bound=reach)
    close = np.flatnonzero(np.isfinite(distance))
    steps = (np.arange(_SUBPIXELS) + 0.5) / _SUBPIXELS - 0.5
    for chunk in np.array_split(close, max(1, close.size // 4000)):
        place = pixels[chunk]
        for row, dy in enumerate(steps):
            for column, dx in enumerate(steps):
                hit = chunk[curve.inside(place + (dx, dy), t[nearest[chunk]])]
                fine[(hit // width) * _SUBPIXELS + row,
                     (hit % width) * _SUBPIXELS + column] = 1


def _principal_direction(curve: Curve) -> float:
    t, lengths = curve.quadrature()
    points = curve.at(t)
    offsets = points - np.average(points, axis=0, weights=lengths)
    _, vectors = np.linalg.eigh((offsets * lengths[:, None]).T @ offsets)
    x, y = vectors[:, -1]
    return (math.atan2(-y, x) + math.pi / 2) % math.pi - math.pi / 2


def _curves(shape: str, rng: np.random.Generator, size: tuple[int, int]) -> list[Curve]:
    width = float(np.exp(rng.uniform(0.0, math.log(20.0))))
    angle = rng.uniform(0.0, math.pi)
    centre = np.array(size) / 2 + rng.uniform(-0.05, 0.05, 2) * min(size)
    span = min(size)
    length = rng.uniform(0.45, 0.75) * span
    even = _even(width)
    if shape == 'straight':
        return [_line(centre, angle, length, even)]
    if shape == 'curved':
        return [_arc(centre, angle, length, rng.uniform(0.5, 2.5), even)]
    if shape == 'winding':
        waves = rng.uniform(1.0, 2.5)
        # keeps every bend's radius above one and a half widths
        bend = 1.0 / (waves * 2 * math.pi / length) ** 2 / max(1.5 * width, 8.0)
        swing = min(rng.uniform(0.03, 0.1) * length, bend)
        return [_wave(centre, angle, length, waves, swing, rng.uniform(0, 6.28), even)]
    if shape == 'tapering':
        return [_line(centre, angle, length, _taper(max(width, 3.0), rng.uniform(1.0, 2.0)))]
    if shape == 'branching':
        width = min(width, 12.0)
        trunk = _arc(centre, angle, length, rng.uniform(0.2, 1.0), _even(width))
        start = rng.uniform(0.3, 0.7)
        way = trunk.derivatives(np.array([start]))[0][0]
        turn = math.atan2(way[1], way[0]) + rng.choice([-1, 1]) * rng.uniform(0.7, 1.57)
        begin = trunk.at(np.array([start]))[0]
        reach = rng.uniform(0.3, 0.5) * length
        middle = begin + reach / 2 * np.array([math.cos(turn), math.sin(turn)])
        return [trunk, _line(middle, turn, reach, _even(max(1.0, width * rng.uniform(0.6, 1))))]
    if shape == 'crossing':
        width = min(width, 12.0)
        other = angle + rng.uniform(0.7, 1.57)
        return [_line(centre, angle, length, _even(width)),
                _arc(centre, other, length * rng.uniform(0.6, 1.0), rng.uniform(0.1, 0.8),
                     _even(max(1.0, width * rng.uniform(0.6, 1.0))))]
    if shape == 'closed':
        radii = rng.uniform(0.15, 0.35, 2) * span
        radii = np.maximum(radii, 3 * width)
        return [_ellipse(centre, angle, radii, even)]
    raise ValueError(f"no shape '{shape}'; expected one of {', '.join(SHAPES)}")


def _even(width: float) -> Callable[[Points], Points]:
    return lambda t: np.full(t.shape, width)


def _taper(begin: float, end: float) -> Callable[[Points], Points]:
    return lambda t: begin + (end - begin) * np.clip(t, 0.0, 1.0)


def _line(centre: Points, angle: float, length: float,
          width: Callable[[Points], Points]) -> Curve:
    way = np.array([math.cos(angle), math.sin(angle)])
    return Curve(lambda t: centre + (t - 0.5)[:, None] * length * way, width)


def _arc(centre: Points, angle: float, length: float, bend: float,
         width: Callable[[Points], Points]) -> Curve:
    """Make a piece of a circle that turns by `bend` rad over its length."""
    radius = length / bend
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])

    def at(t: Points) -> Points:
        phi = (t - 0.5) * bend
        return centre + radius * np.column_stack([np.sin(phi), 1 - np.cos(phi)]) @ turn.T
    return Curve(at, width)


def _wave(centre: Points, angle: float, length: float, waves: float, swing: float, phase: float,
          width: Callable[[Points], Points]) -> Curve:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])

    def at(t: Points) -> Points:
        return centre + np.column_stack([
            (t - 0.5) * length, swing * np.sin(2 * math.pi * waves * t + phase)]) @ turn.T
    return Curve(at, width)


def _ellipse(centre: Points, angle: float, radii: Points,
             width: Callable[[Points], Points]) -> Curve:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])

    def at(t: Points) -> Points:
        phi = 2 * math.pi * t
        return centre + np.column_stack([radii[0] * np.cos(phi),
                                         radii[1] * np.sin(phi)]) @ turn.T
    return Curve(at, width, closed=True)
