# SPDX-License-Identifier: Apache-2.0
"""Render frames of a simulated drive, each with its ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tunnel_crack_ros.simulation.camera import expose, Exposure, jpeg
from tunnel_crack_ros.simulation.canvas import Canvas
from tunnel_crack_ros.simulation.cracks import (
    cover,
    CrackCover,
    CrackLine,
    draw_crack,
    LiningCrack,
    STEP_MM,
)
from tunnel_crack_ros.simulation.fittings import paint_cables, paint_joints, paint_pockets
from tunnel_crack_ros.simulation.lining import concrete, Lining
from tunnel_crack_ros.simulation.seeds import rng_for, seed_for
from tunnel_crack_ros.simulation.settings import CameraMount, SimulationSettings
from tunnel_crack_ros.simulation.stains import paint_efflorescence, paint_marks, paint_stains
from tunnel_crack_ros.simulation.view import Plane, View


@dataclass(frozen=True)
class VisibleLine:
    """The stretch of a crack's line that a frame shows.

    :param points_px: N x 2 float64 (column, row); (0, 0) is the first pixel's centre.
    :param points_mm: N x 2 float64 lining points (chainage, arc), mm.
    :param width_mm: N float64, opening, mm.
    """

    points_px: NDArray[np.float64]
    points_mm: NDArray[np.float64]
    width_mm: NDArray[np.float64]

    @property
    def length_mm(self) -> float:
        """Length of the centre line in view, mm."""
        return float(np.hypot(*np.diff(self.points_mm, axis=0).T).sum())


@dataclass(frozen=True)
class SimulatedCrack:
    """What is true of one crack in one frame.

    :param id: number of the crack in the tunnel, the same in all frames.
    :param kind: longitudinal, circumferential, oblique or branched.
    :param lines: the stretches in view, nothing in front of them.
    :param contrast: 0..1, mean share of the light that its pixels of the mask lose to it, before
        blur, glare and noise; below about 0.1 nobody sees it.
    """

    id: int
    kind: str
    lines: tuple[VisibleLine, ...]
    contrast: float

    @property
    def length_mm(self) -> float:
        """Length in view, branches included, mm."""
        return sum(line.length_mm for line in self.lines)

    @property
    def width_mean_mm(self) -> float:
        """Mean opening over the vertices in view, mm."""
        return float(np.concatenate([line.width_mm for line in self.lines]).mean())

    @property
    def width_max_mm(self) -> float:
        """Largest opening in view, mm."""
        return float(max(line.width_mm.max() for line in self.lines))


@dataclass(frozen=True)
class SimulatedFrame:
    """One camera frame and everything that is true of it.

    :param camera: its name.
    :param index: number of the frame, from 0.
    :param stamp_ns: time of exposure, ns since 1970.
    :param rgb: height x width x 3 uint8.
    :param mask: height x width uint8, 255 on cracks: pixels at least half covered and pixels on
        the centre line, so that hairlines are 1 px wide; without what is hidden by fittings.
    :param cracks: the cracks in view.
    :param condition: good, too_dark, too_bright or blurred.
    :param view: the frame's place on the lining.
    """

    camera: str
    index: int
    stamp_ns: int
    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    cracks: tuple[SimulatedCrack, ...]
    condition: str
    view: View

    @property
    def usable(self) -> bool:
        """Tell whether an inspector could judge the frame."""
        return self.condition == 'good'


def render_frames(settings: SimulationSettings) -> Iterator[SimulatedFrame]:
    """Render a whole drive, frame by frame, all cameras of a frame before the next."""
    for index in range(settings.frames):
        for camera in settings.cameras:
            yield render_frame(settings, camera, index)


def render_frame(settings: SimulationSettings, camera: CameraMount, index: int) -> SimulatedFrame:
    """Render one frame of a drive, without those before it.

    :param settings: the drive.
    :param camera: one of ``settings.cameras``.
    :param index: number of the frame, 0..``settings.frames`` - 1.
    """
    lining = Lining.draw(settings.seed, settings.crack_density, settings.max_crack_width)
    mount = seed_for(settings.seed, f'camera {camera.name}')
    rng = rng_for(mount, 'frame', index)
    exposure = Exposure.draw(
        rng_for(mount, 'exposure'), rng, settings.unusable_rate, settings.speed)
    view = frame_view(settings, lining, camera, index)
    canvas = _painted(lining, view, settings.fittings, settings.stains)
    cracks = draw_cracks(canvas, lining.cracks_near(view.bounds))
    _cover_up(canvas, settings.fittings)
    return SimulatedFrame(
        camera.name, index, stamp_ns(settings, index),
        expose(canvas.rgb, view, exposure, rng), *_truth(canvas, cracks), exposure.condition,
        view)


def stamp_ns(settings: SimulationSettings, index: int) -> int:
    """Return when a frame is taken, ns since 1970."""
    return settings.start_time * 10**9 + round(index * 1e9 / settings.fps)


def frame_view(
    settings: SimulationSettings, lining: Lining, camera: CameraMount, index: int,
) -> View:
    """Return where a frame lies on the lining: on the planned line, and swaying a little.

    The vehicle sways on its springs: some centimetres across, some per cent of distance, some
    tenths of a degree.
    """
    seconds = index / settings.fps
    rng = rng_for(settings.seed, f'sway {camera.name}')
    sway = [
        sum(np.sin(2 * np.pi * frequency * seconds + rng.uniform(0, 6.28)) / 2
            for frequency in rng.uniform(0.1, 0.9, 2)) for _ in range(3)]
    arc = lining.radius * np.radians(camera.angle_deg) + 12.0 * sway[0]
    # Cameras right of the crown are mounted the other way round, so that down is down. One at the
    # crown stays as it is, to whichever side it sways.
    down = 1 if camera.angle_deg >= 0 else -1
    roll = np.radians(0.4 * sway[1]) + (0.0 if down > 0 else np.pi)
    return View(
        x=1000.0 * (settings.start_chainage + settings.speed * seconds), s=float(arc),
        mm_per_px=settings.mm_per_px * (1 + 0.01 * sway[2]), roll=float(roll),
        width=settings.width, height=settings.height, down=down)


def render_single(
    seed: int, size: tuple[int, int] = (512, 384), mm_per_px: float | None = None,
    cracked: bool = True, max_crack_width: float = 6.0, unusable_rate: float = 0.0,
) -> SimulatedFrame:
    """Render one random place of a random tunnel: training material without end.

    :param seed: which picture, >= 0.
    :param size: width, height, px.
    :param mm_per_px: size of a pixel on the lining, mm; None draws 0.35..1.6.
    :param cracked: True: at least one crack runs through the frame and is not hidden; False:
        none does.
    :param max_crack_width: mm.
    :param unusable_rate: share of frames that nobody could judge, 0..1.
    :return: the frame as it comes back from JPEG of a random quality.
    """
    rng = rng_for(seed, 'single')
    lining = Lining.draw(int(rng.integers(2**40)), 0.0, max_crack_width)
    scale = float(np.exp(rng.uniform(np.log(0.35), np.log(1.6))))
    if mm_per_px is not None:
        scale = mm_per_px
    roll = float(rng.choice([0, np.pi / 2, np.pi, -np.pi / 2], p=[0.55, 0.15, 0.15, 0.15])
                 + rng.normal(0, 0.06))
    x, s = rng.uniform(0, 200_000), rng.uniform(-0.4, 0.4) * np.pi * lining.radius
    view = View(x=float(x), s=float(s), mm_per_px=scale, roll=roll, width=size[0], height=size[1],
                down=1 if s >= 0 else -1)
    fittings, stains = bool(rng.random() < 0.7), bool(rng.random() < 0.75)
    exposure = Exposure.draw(rng, rng, unusable_rate, speed=float(rng.uniform(0.0, 0.6)))
    bare = _painted(lining, view, fittings, stains)
    wanted = 1 + int(rng.random() < 0.3) + int(rng.random() < 0.1) if cracked else 0
    while True:
        canvas = replace(bare, rgb=bare.rgb.copy(), hidden=bare.hidden.copy())
        cracks = draw_cracks(canvas, [
            _crack_in_sight(rng, view, bare.hidden, number, max_crack_width)
            for number in range(wanted)])
        _cover_up(canvas, fittings)
        mask, truths = _truth(canvas, cracks)
        if not cracked or np.count_nonzero(mask) >= 0.12 * min(size):
            break
        fittings = False    # they hide all of it: take them away and draw another
    return SimulatedFrame(
        'camera', seed, 0,
        jpeg(expose(canvas.rgb, view, exposure, rng), int(rng.integers(70, 98))),
        mask, truths, exposure.condition, view)


def _crack_in_sight(
    rng: np.random.Generator, view: View, hidden: Plane, number: int,
    max_width: float,
) -> LiningCrack:
    """Draw cracks until one runs for a good part through what the frame shows."""
    needed = 0.2 * min(view.width, view.height)
    best, most = None, -1
    for _ in range(12):
        place = np.array([[rng.uniform(0.1, 0.9) * view.width,
                           rng.uniform(0.1, 0.9) * view.height]])
        x, s = view.to_lining(place)[0]
        crack = draw_crack(rng, number, float(x), float(s), max_width)
        pixels = np.round(view.to_px(crack.lines[0].points)).astype(int)
        inside = ((pixels >= 0) & (pixels < (view.width, view.height))).all(axis=1)
        pixels = pixels[inside]
        seen = int((hidden[pixels[:, 1], pixels[:, 0]] < 0.3).sum())
        if seen > most:
            best, most = crack, seen
        if seen * STEP_MM / view.mm_per_px >= needed:
            break
    assert best is not None
    return best


def _painted(lining: Lining, view: View, fittings: bool, stains: bool) -> Canvas:
    """Paint what lies below the cracks."""
    canvas = Canvas.of(lining, view, concrete(lining, view))
    if stains:
        paint_marks(canvas)
        paint_stains(canvas)
    paint_joints(canvas)
    return canvas


def _cover_up(canvas: Canvas, fittings: bool) -> None:
    """Paint what lies above the cracks."""
    if fittings:
        paint_pockets(canvas)
        paint_cables(canvas)


def draw_cracks(
    canvas: Canvas, cracks: Sequence[LiningCrack],
) -> list[tuple[LiningCrack, CrackCover]]:
    """Open the cracks in the painted lining, where nothing on it hides them."""
    drawn = []
    bare = 1 - canvas.hidden
    for crack in cracks:
        whole = cover(canvas.view, crack.lines)
        if not whole.core.any():
            continue
        covered = replace(whole, share=whole.share * bare, swallowed=whole.swallowed * bare)
        drawn.append((crack, covered))
        what = f'crack {crack.id}'
        if crack.efflorescence:
            paint_efflorescence(canvas, covered.share, crack.efflorescence, what + ' lime')
        if crack.dirt:
            halo = cv2.GaussianBlur(covered.share, (0, 0), 2.6 / canvas.view.mm_per_px)
            patches = np.clip(0.5 + canvas.noise(what, 60), 0, 1)
            canvas.shade(1 - np.clip(1.1 * crack.dirt * halo * patches, 0, 0.5))
        # Worn lips: a line's upper edge catches the light, wide cracks more.
        lit = -covered.share
        lit[1:] += covered.share[:-1]
        canvas.shade((1 + 0.10 * np.clip(lit, 0, 1)) * (1 - covered.swallowed))
    return drawn


def _truth(
    canvas: Canvas, cracks: Sequence[tuple[LiningCrack, CrackCover]],
) -> tuple[NDArray[np.uint8], tuple[SimulatedCrack, ...]]:
    """Return the mask and the cracks of what can be seen of the painted lining."""
    seen = canvas.hidden < 0.5
    mask = np.zeros(seen.shape, bool)
    truths = []
    for crack, covered in cracks:
        visible = covered.mask & seen
        mask |= visible
        lines = tuple(
            stretch for line in crack.lines for stretch in _in_sight(canvas.view, line, seen))
        if lines and visible.any():
            truths.append(SimulatedCrack(
                crack.id, crack.kind, lines, float(covered.swallowed[visible].mean())))
    return mask.astype(np.uint8) * 255, tuple(truths)


def _in_sight(view: View, line: CrackLine, seen: NDArray[np.bool_]) -> list[VisibleLine]:
    """Cut a line into the stretches that lie in the frame with nothing before them."""
    pixels = view.to_px(line.points)
    nearest = np.round(pixels).astype(int)
    inside = np.asarray(((nearest >= 0) & (nearest < (view.width, view.height))).all(axis=1))
    inside[inside] = seen[nearest[inside, 1], nearest[inside, 0]]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return [
        VisibleLine(pixels[first:end], line.points[first:end], line.width[first:end])
        for first, end in zip(edges[::2], edges[1::2]) if end - first >= 2]
