# SPDX-License-Identifier: Apache-2.0
"""A tunnel: its style, its layout, and the bare concrete of its lining."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from tunnel_crack_ros.simulation.cracks import draw_crack, LiningCrack, LONGEST_MM
from tunnel_crack_ros.simulation.noise import lattice_noise
from tunnel_crack_ros.simulation.seeds import rng_for, seed_for
from tunnel_crack_ros.simulation.settings import SimulationSettings
from tunnel_crack_ros.simulation.view import Bounds, Plane, View

CRACK_CELL_MM = 1200.0


@dataclass(frozen=True)
class Lining:
    """One tunnel's lining: layout in mm and the look of its concrete, all drawn from the seed.

    :param seed: the tunnel.
    :param crack_density: cracks begun on a square metre.
    :param max_crack_width: mm.
    """

    seed: int
    crack_density: float
    max_crack_width: float
    radius: float           # of the bore, mm
    ring_width: float       # distance of the ring joints, mm
    segments: int           # in a ring
    joint_gap: float        # mm
    joint_sealed: float     # 0..1, share of the joints filled with mortar
    albedo: float           # mean reflectance, linear, 0..1
    tint: tuple[float, float, float]    # of R, G, B around 1
    mottle: float           # strength of cloudy tone changes
    grain: float            # strength of sand-grain texture
    relief: float           # strength of the shading of small bumps
    streaks: float          # strength of marks of the formwork
    boards: float           # width of formwork boards, mm; 0: steel mould
    pores: float            # bug holes per square metre
    flakes: float           # how much of the cement skin has come off, 0..1.3
    dirt: float             # 0..1, dust and soot

    @classmethod
    def draw(cls, seed: int, crack_density: float, max_crack_width: float) -> Lining:
        """Draw a tunnel."""
        rng = rng_for(seed, 'lining')
        warm = rng.normal(0.0, 0.035)
        green = rng.normal(0.0, 0.012)
        return cls(
            seed, crack_density, max_crack_width,
            radius=float(rng.uniform(2700, 5600)),
            ring_width=float(rng.choice([1000, 1200, 1500, 1800, 2000])),
            segments=int(rng.integers(5, 9)),
            joint_gap=float(rng.uniform(2.5, 9.0)),
            joint_sealed=float(rng.choice([0.0, 0.15, 0.7])),
            albedo=float(rng.uniform(0.20, 0.48)),
            tint=(1.0 + warm, 1.0 + green, 1.0 - warm - 0.3 * abs(warm)),
            mottle=float(rng.uniform(0.5, 1.5)),
            grain=float(rng.uniform(0.4, 1.5)),
            relief=float(rng.uniform(0.2, 1.2)),
            streaks=float(rng.uniform(0.0, 1.3)),
            boards=float(rng.choice([0.0, 0.0, rng.uniform(90, 220)])),
            pores=float(rng.choice([15, 60, 200, 450]) * rng.uniform(0.6, 1.4)),
            flakes=float(rng.choice([0.0, rng.uniform(0.3, 1.3)])),
            dirt=float(rng.uniform(0.0, 1.0)))

    @property
    def segment_arc(self) -> float:
        """Distance of the longitudinal joints along the ring, mm."""
        return 2 * np.pi * self.radius / self.segments

    def joint_offset(self, ring: int) -> float:
        """Arc by which a ring's longitudinal joints are turned from the crown, mm."""
        return self.segment_arc * (0.25 + 0.5 * (ring % 2))

    def cracks_near(self, bounds: Bounds) -> list[LiningCrack]:
        """Return every crack that may touch a rectangle of the lining."""
        # Half a line reaches from a crack's middle, and branches of half a line from there.
        reach = bounds.grown(LONGEST_MM)
        columns = range(int(reach.x_min // CRACK_CELL_MM), int(reach.x_max // CRACK_CELL_MM) + 1)
        rows = range(int(reach.s_min // CRACK_CELL_MM), int(reach.s_max // CRACK_CELL_MM) + 1)
        return [
            crack for column in columns for row in rows
            for crack in _cracks_of_cell(self, column, row)
            if crack.bounds.overlaps(bounds)]


def tunnel_radius_m(settings: SimulationSettings) -> float:
    """Return the radius of the bore that a drive goes through, m."""
    return Lining.draw(settings.seed, settings.crack_density,
                       settings.max_crack_width).radius / 1000.0


@lru_cache(maxsize=512)
def _cracks_of_cell(lining: Lining, column: int, row: int) -> tuple[LiningCrack, ...]:
    rng = rng_for(lining.seed, 'cracks', column, row)
    count = int(rng.poisson(lining.crack_density * (CRACK_CELL_MM / 1000) ** 2))
    # Room for 100 cracks in a cell of a grid of +-30000 x +-1000 cells: ids stay unique.
    first = ((column + 30_000) * 2_000 + row + 1_000) * 100
    return tuple(
        draw_crack(
            rng, first + i, (column + rng.random()) * CRACK_CELL_MM,
            (row + rng.random()) * CRACK_CELL_MM, lining.max_crack_width, lining.ring_width)
        for i in range(min(count, 100)))


def concrete(lining: Lining, view: View) -> Plane:
    """Render the bare concrete: cloudiness, grain, formwork marks, bug holes.

    :return: 3 x height x width float32, reflectance of R, G, B, linear, 0..1.
    """
    def noise(what: str, cell_mm: float, stretch: float = 1.0) -> Plane:
        return lattice_noise(view, seed_for(lining.seed, what), cell_mm, stretch)

    cloud, hand, thumb = noise('cloud', 700), noise('hand', 170), noise('thumb', 46)
    tone = lining.mottle * (0.07 * cloud + 0.06 * hand + 0.04 * thumb)
    # Two sizes of streaks that run around the ring, as rain and moulds leave them; in places.
    tone += lining.streaks * _ramp(cloud + hand, -0.8, 0.9) * (
        0.05 * noise('streak', 17, 31) + 0.035 * noise('fine streak', 4.3, 47))
    # Laitance: patches where the cement skin is lighter; where it is gone, darker. Ragged edges.
    small = noise('skin', 13)
    speck = noise('speck', 4.6)
    sand = noise('sand', max(1.6, 1.1 * view.mm_per_px))
    skin = hand + 0.55 * thumb + 0.35 * small + 0.25 * speck + 0.22 * sand
    tone += lining.mottle * 0.11 * _ramp(skin, 0.75, 0.95)
    tone -= lining.dirt * 0.16 * _ramp(-skin + 0.4 * cloud, 0.75, 1.1)
    # Flakes: the skin has come off in pieces of a centimetre or two.
    loose = 0.8 * thumb + small + 0.45 * speck + 0.2 * sand + 0.25 * cloud + lining.flakes
    flakes = _ramp(loose, 2.35, 2.5)
    tone -= flakes * (0.17 + 0.08 * hand + 0.06 * noise('below the skin', 3.3))
    height = noise('bump', 7.3) + 0.7 * speck - 0.8 * flakes
    tone += lining.grain * (0.04 * speck + 0.085 * sand)
    # Soot and dust caught by single grains, and bright grains of quartz: specks.
    coarse = sand + 0.6 * speck + 0.3 * thumb
    tone -= lining.dirt * 0.45 * _ramp(coarse, 1.75, 2.1)
    tone += lining.grain * 0.2 * _ramp(-coarse, 1.9, 2.2)
    light = np.empty_like(height)
    light[1:] = height[1:] - height[:-1]
    light[0] = light[1]
    tone += lining.relief * 0.11 * light / max(view.mm_per_px, 0.5)
    if lining.boards:
        tone += _boards(lining, view)
    tone += _segment_tone(lining, view)
    np.exp(tone, out=tone)
    tone *= lining.albedo * _pore_shade(lining, view)

    drift = 0.012 * noise('colour', 420) + 0.02 * cloud * lining.mottle
    return np.stack([
        tone * (lining.tint[0] + drift), tone * np.float32(lining.tint[1]),
        tone * (lining.tint[2] - 1.4 * drift)])


def _ramp(values: Plane, low: float, high: float) -> Plane:
    """Rise from 0 at ``low`` to 1 at ``high``."""
    return np.clip((values - low) / (high - low), 0, 1)


def _boards(lining: Lining, view: View) -> Plane:
    """Tone of formwork boards that run around the ring: each its own, fine ridges between."""
    x = view.x_grid + np.float32(view.x % (lining.boards * 997))
    board = np.floor(x / lining.boards)
    edge = np.abs(x - (board + 0.5) * lining.boards) - lining.boards / 2 + 1.2
    tones = rng_for(lining.seed, 'boards').normal(0, 0.05, 997)
    tone = tones[board.astype(int) % 997].astype(np.float32)
    tone -= 0.18 * np.clip(edge / view.mm_per_px + 0.5, 0, 1) * np.clip(
        0.6 + 0.5 * lattice_noise(view, seed_for(lining.seed, 'ridge'), 60), 0, 1)
    return tone


def _segment_tone(lining: Lining, view: View) -> Plane:
    """Tone of each cast segment: every one has its own batch of cement."""
    ring = np.floor((view.x_grid + np.float64(view.x)) / lining.ring_width).astype(int)
    first, last = int(ring.min()), int(ring.max())
    tone = np.zeros(ring.shape, np.float32)
    for number in range(first, last + 1):
        shifted = view.s_grid + np.float64(view.s - lining.joint_offset(number))
        segment = np.floor(shifted / lining.segment_arc).astype(int)
        for part in range(int(segment.min()), int(segment.max()) + 1):
            here = rng_for(lining.seed, 'segment', number, part).normal(0, 0.07)
            tone[(ring == number) & (segment == part)] = here
    return tone


def _pore_shade(lining: Lining, view: View) -> Plane:
    """Return what bug holes leave of the light: dark pits with a lit lower lip."""
    cell = 150.0
    shade = np.ones((view.height, view.width), np.float32)
    reach = view.bounds.grown(12.0)
    sub = 4  # fractional bits: drawn to 1/16 px
    lip = np.array(view.inverse[:, :2] @ (0.0, 1.0)) * view.down
    for column in range(int(reach.x_min // cell), int(reach.x_max // cell) + 1):
        for row in range(int(reach.s_min // cell), int(reach.s_max // cell) + 1):
            rng = rng_for(lining.seed, 'pores', column, row)
            # Pores gather: some places have many, most few.
            count = rng.poisson(lining.pores * (cell / 1000) ** 2 * rng.exponential(1.0))
            places = (rng.random((count, 2)) + (column, row)) * cell
            radii = np.clip(0.45 * (1 - rng.random(count)) ** -0.55, 0.4, 6.5)
            turns, flats = rng.uniform(0, 180, count), rng.uniform(0.55, 1.0, count)
            darks = rng.uniform(0.12, 0.6, count)
            for (across, down), radius, turn, flat, dark in zip(
                    view.to_px(places), radii / view.mm_per_px, turns, flats, darks):
                if not (-9 < across < view.width + 9 and -9 < down < view.height + 9):
                    continue
                if radius < 0.75:   # smaller than a pixel: darken it by its share
                    i, j = int(round(down)), int(round(across))
                    if 0 <= i < view.height and 0 <= j < view.width:
                        shade[i, j] *= 1 - (1 - dark) * min(1.0, 3.1 * radius**2 * flat)
                    continue
                axes = (int(radius * 16), int(radius * flat * 16))
                for offset, value in ((lip, 1.12), ((0, 0), dark)):
                    centre = (int((across + offset[0] * 0.7) * 16),
                              int((down + offset[1] * 0.7) * 16))
                    cv2.ellipse(
                        shade, centre, axes, turn, 0, 360, float(value), -1, cv2.LINE_8, sub)
    return cv2.GaussianBlur(shade, (0, 0), 0.5)
