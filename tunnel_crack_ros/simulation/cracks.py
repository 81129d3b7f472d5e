# SPDX-License-Identifier: Apache-2.0
"""Cracks of known course and width on the lining, and their exact share of every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from tunnel_crack_ros.simulation.noise import wander
from tunnel_crack_ros.simulation.view import Bounds, Plane, View

STEP_MM = 0.5           # distance of two vertices along a crack
THINNEST_MM = 0.15      # a crack ends where it would be thinner
LONGEST_MM = 1800.0     # length of the longest line of a crack


@dataclass(frozen=True)
class CrackLine:
    """One unbranched line of a crack.

    :param points: N x 2 float64 lining points (x, s), mm, ``STEP_MM`` apart.
    :param width: N float64, opening at each point, mm.
    :param darkness: N float64, 0..1: share of light that the open crack swallows there; low
        where it is shallow or filled with dust.
    """

    points: NDArray[np.float64]
    width: NDArray[np.float64]
    darkness: NDArray[np.float64]

    @cached_property
    def bounds(self) -> Bounds:
        """Smallest upright rectangle around the line, mm."""
        (x_min, s_min), (x_max, s_max) = self.points.min(axis=0), self.points.max(axis=0)
        return Bounds(float(x_min), float(x_max), float(s_min), float(s_max))


@dataclass(frozen=True)
class LiningCrack:
    """A crack of the tunnel, whole, wherever the camera looks.

    :param id: number of the crack, the same in every frame.
    :param kind: longitudinal, circumferential, oblique or branched.
    :param lines: its longest line first, then the branches.
    :param dirt: 0..1, how much dirt darkens the concrete along it.
    :param efflorescence: 0..1, how much lime has come out of it.
    """

    id: int
    kind: str
    lines: tuple[CrackLine, ...]
    dirt: float
    efflorescence: float

    @cached_property
    def bounds(self) -> Bounds:
        """Smallest upright rectangle around all lines, mm."""
        boxes = np.array([line.bounds for line in self.lines])
        return Bounds(
            float(boxes[:, 0].min()), float(boxes[:, 1].max()),
            float(boxes[:, 2].min()), float(boxes[:, 3].max()))


def draw_crack(
    rng: np.random.Generator, crack_id: int, x: float, s: float, max_width: float,
    ring_width: float | None = None,
) -> LiningCrack:
    """Draw a random crack that begins near a place on the lining.

    The course is a walk whose direction is disturbed on three scales (aggregate, hand, metre)
    and now and then kinks; the opening follows the ellipse of fracture mechanics, disturbed,
    and tapers towards the free ends.

    :param rng: source of every choice.
    :param crack_id: number to give it.
    :param x: chainage of its middle, mm.
    :param s: arc of its middle, mm.
    :param max_width: no part is wider, mm.
    :param ring_width: when given, the crack may stop at ring joints, which are multiples of
        this apart, mm.
    """
    kind = str(rng.choice(
        ['longitudinal', 'circumferential', 'oblique', 'branched'], p=[0.36, 0.24, 0.22, 0.18]))
    heading = {
        'longitudinal': rng.normal(0.0, 0.16),
        'circumferential': rng.normal(np.pi / 2, 0.16),
        'oblique': rng.choice([-1, 1]) * rng.uniform(0.4, 1.17),
        'branched': rng.uniform(0, np.pi),
    }[kind]
    length = float(np.clip(rng.lognormal(np.log(620), 0.55), 160, LONGEST_MM))
    widest = float(np.clip(rng.lognormal(np.log(1.15), 0.65), 0.3, max_width))
    # Fine cracks are shallow and fill with dust; wide ones swallow nearly all light.
    depth = float(np.clip(
        rng.normal(0.72 + 0.12 * np.log(widest), 0.16), min(0.25 + 0.16 * widest, 0.85), 0.97))
    wildness = float(rng.uniform(0.55, 1.15))

    trunk = _draw_line(rng, x, s, heading, length, widest, depth, wildness, taper=(1.0, 1.0))
    if ring_width is not None and rng.random() < 0.6:
        trunk = _stop_at_joint(trunk, x, ring_width)
    lines = [trunk]
    forks = int(rng.integers(2, 6)) if kind == 'branched' else int(rng.random() < 0.25)
    for _ in range(forks):
        parent = lines[int(rng.integers(len(lines)))]
        if len(parent.points) < 120:
            continue
        at = int(rng.integers(40, len(parent.points) - 40))
        ahead = parent.points[at + 30] - parent.points[at - 30]
        turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.3)
        start, opening = parent.points[at], float(parent.width[at])
        lines.append(_draw_line(
            rng, float(start[0]), float(start[1]), float(np.arctan2(ahead[1], ahead[0])) + turn,
            length * rng.uniform(0.15, 0.5), max(0.25, opening * rng.uniform(0.4, 0.9)),
            depth, wildness, taper=(0.0, 1.0)))
    return LiningCrack(
        crack_id, kind, tuple(lines),
        dirt=float(rng.uniform(0.1, 1.0)) if rng.random() < 0.55 else 0.0,
        efflorescence=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.2 else 0.0)


def _draw_line(
    rng: np.random.Generator, x: float, s: float, heading: float, length: float, widest: float,
    depth: float, wildness: float, taper: tuple[float, float],
) -> CrackLine:
    """Draw one line; with a taper of (0, 1) it begins at (x, s), else that is its middle."""
    count = max(30, int(length / STEP_MM))
    kinks = np.zeros(count)
    at = 0
    while at < count:                        # straight runs between aggregate grains
        run = 1 + int((0.5 + rng.exponential(4.0)) / STEP_MM)
        kinks[at:at + run] = rng.normal(0, 0.5)
        at += run
    direction = heading + wildness * (
        kinks
        + 0.25 * wander(rng, count, STEP_MM, 3.0)
        + 0.36 * wander(rng, count, STEP_MM, 16.0)
        + 0.30 * wander(rng, count, STEP_MM, 70.0)
        + 0.22 * wander(rng, count, STEP_MM, 300.0))
    steps = STEP_MM * np.column_stack([np.cos(direction), np.sin(direction)])
    points = np.cumsum(steps, axis=0)
    points += np.array([x, s]) - points[0 if taper[0] == 0 else count // 2]

    place = np.linspace(-taper[0], taper[1], count)
    opening = np.clip(1 - place**2, 0, 1) ** 0.75
    opening *= np.exp(
        0.34 * wander(rng, count, STEP_MM, 45.0) + 0.22 * wander(rng, count, STEP_MM, 8.0)
        + 0.25 * wander(rng, count, STEP_MM, 2.0) - 0.08)
    width = np.clip(widest * opening, 0, widest)
    shallow = np.exp(0.35 * (1.1 - depth) * wander(rng, count, STEP_MM, 35.0))
    darkness = np.clip(depth * shallow, 0.1, 0.97)
    open_part = np.flatnonzero(width >= THINNEST_MM)
    part = slice(open_part[0], open_part[-1] + 1)
    return CrackLine(points[part], np.maximum(width[part], THINNEST_MM), darkness[part])


def _stop_at_joint(line: CrackLine, x: float, ring_width: float) -> CrackLine:
    """Cut a line where it leaves the ring that holds its middle: the joint relieves it."""
    ring = np.floor(line.points[:, 0] / ring_width) == np.floor(x / ring_width)
    middle = int(np.argmin(np.abs(line.points[:, 0] - x)))
    if not ring[middle]:
        return line
    outside = np.flatnonzero(~ring)
    before, after = outside[outside < middle], outside[outside > middle]
    part = slice(before[-1] + 1 if len(before) else 0, after[0] if len(after) else len(ring))
    if part.stop - part.start < 80:
        return line
    return CrackLine(line.points[part], line.width[part], line.darkness[part])


@dataclass(frozen=True)
class CrackCover:
    """How much of every pixel of a frame cracks cover.

    :param share: height x width float32, 0..1, covered share of the pixel's area.
    :param swallowed: height x width float32, 0..1, share of the pixel's light lost in the crack.
    :param core: height x width bool, pixels through which a centre line runs.
    """

    share: Plane
    swallowed: Plane
    core: NDArray[np.bool_]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Pixels at least half covered, and those on the centre line: at least 1 px wide."""
        return (self.share >= 0.5) | self.core


def cover(view: View, lines: Sequence[CrackLine]) -> CrackCover:
    """Measure how much of every pixel the lines cover.

    Cross sections 0.2 px apart are filled with points at most 0.2 px apart, each standing for an
    equal piece of area: thin lines get their true, partial cover, and areas are kept.
    """
    size = view.height * view.width
    share, swallowed = np.zeros(size), np.zeros(size)
    core = np.zeros((view.height, view.width), np.uint8)
    for line in lines:
        for pixels, width, darkness in _pieces_in(view, line):
            # Vertices: 1/16 px is finer than the pixel that polylines sets.
            cv2.polylines(
                core, [np.round(pixels * 16).astype(np.int32)], False, 1, 1, cv2.LINE_8, 4)
            steps = np.hypot(*np.diff(pixels, axis=0).T)
            along = np.concatenate([[0.0], np.cumsum(steps)])
            count = max(2, int(along[-1] / 0.2))
            places = (np.arange(count) + 0.5) * (along[-1] / count)
            column, row = (np.interp(places, along, pixels[:, i]) for i in (0, 1))
            width_px = np.interp(places, along, width) / view.mm_per_px
            dark = np.interp(places, along, darkness)
            normal = _normals(column, row, float(width_px.max()))
            across = int(np.clip(np.ceil(width_px.max() / 0.2), 3, 200))
            offsets = ((np.arange(across) + 0.5) / across - 0.5)[None, :] * width_px[:, None]
            columns = np.floor(column[:, None] + normal[0][:, None] * offsets + 0.5).astype(int)
            rows = np.floor(row[:, None] + normal[1][:, None] * offsets + 0.5).astype(int)
            area = np.broadcast_to(
                (width_px * (along[-1] / count) / across)[:, None], columns.shape)
            inside = ((columns >= 0) & (columns < view.width)
                      & (rows >= 0) & (rows < view.height))
            index = (rows * view.width + columns)[inside]
            share += np.bincount(index, area[inside], size)
            swallowed += np.bincount(index, (area * dark[:, None])[inside], size)
    over = np.maximum(share, 1.0)
    shape = (view.height, view.width)
    return CrackCover(
        (share / over).astype(np.float32).reshape(shape),
        (swallowed / over).astype(np.float32).reshape(shape), core.astype(bool))


def _pieces_in(
    view: View, line: CrackLine,
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Return (pixels, width, darkness) of each stretch of the line near the frame."""
    margin = float(line.width.max()) + 2 * STEP_MM + 2 * view.mm_per_px
    if not line.bounds.overlaps(view.bounds.grown(margin)):
        return []
    pixels = view.to_px(line.points)
    reach = margin / view.mm_per_px
    near = ((pixels[:, 0] > -reach) & (pixels[:, 0] < view.width + reach)
            & (pixels[:, 1] > -reach) & (pixels[:, 1] < view.height + reach))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]]).astype(np.int8)))
    return [
        (pixels[first:end], line.width[first:end], line.darkness[first:end])
        for first, end in zip(edges[::2], edges[1::2]) if end - first >= 2]


def _normals(
    column: NDArray[np.float64], row: NDArray[np.float64], width_px: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit normals of a line sampled every 0.2 px, steadied over about its width.

    Without that the cross sections of a wide, jagged line would fan out and leave holes.
    """
    reach = int(max(2, width_px / 0.2))
    index = np.arange(len(column))
    ahead, behind = np.minimum(index + reach, len(index) - 1), np.maximum(index - reach, 0)
    across, down = column[ahead] - column[behind], row[ahead] - row[behind]
    norm = np.maximum(np.hypot(across, down), 1e-9)
    return -down / norm, across / norm
