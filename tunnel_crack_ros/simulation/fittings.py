# SPDX-License-Identifier: Apache-2.0
"""What is built into a segmental lining or fixed to it: joints, pockets, holes, cables."""

from __future__ import annotations

import cv2
import numpy as np

from tunnel_crack_ros.simulation.canvas import Canvas
from tunnel_crack_ros.simulation.seeds import rng_for
from tunnel_crack_ros.simulation.view import Bounds, Plane


def paint_joints(canvas: Canvas) -> None:
    """Paint ring joints and longitudinal joints: dark, straight, with worn edges."""
    lining, view = canvas.lining, canvas.view
    bounds = view.bounds.grown(60)
    first = int(np.floor(bounds.x_min / lining.ring_width))
    last = int(np.floor(bounds.x_max / lining.ring_width))
    for ring in range(first, last + 1):
        place = ring * lining.ring_width
        if bounds.x_min <= place <= bounds.x_max:
            band = canvas.window(Bounds(place - 90, place + 90, bounds.s_min, bounds.s_max))
            if band is not None:
                _joint(band, band.from_x(place), ring, 0)
        offset = lining.joint_offset(ring)
        for number in range(int((bounds.s_min - offset) // lining.segment_arc),
                            int((bounds.s_max - offset) // lining.segment_arc) + 1):
            arc = offset + number * lining.segment_arc
            if bounds.s_min <= arc <= bounds.s_max:
                band = canvas.window(Bounds(
                    max(place, bounds.x_min), min(place + lining.ring_width, bounds.x_max),
                    arc - 90, arc + 90))
                if band is not None:
                    inside = (band.from_x(place) >= 0) & (
                        band.from_x(place + lining.ring_width) < 0)
                    # 0 is the ring joint's own number.
                    _joint(band, np.where(inside, band.from_s(arc), np.float32(1e4)), ring,
                           2 * number + 1)


def _joint(canvas: Canvas, distance: Plane, ring: int, number: int) -> None:
    """Paint one joint; ``distance`` is each pixel's way from its middle, mm, signed."""
    lining = canvas.lining
    rng = rng_for(lining.seed, 'joint', ring, number)
    gap = lining.joint_gap * rng.uniform(0.7, 1.3)
    chamfer = rng.uniform(3, 9)
    rough = 0.4 * canvas.noise('joint edge', 23) + 0.25 * canvas.noise('joint grit', 3.1)
    side = np.abs(distance) - gap / 2
    # Broken corners: here and there the edge is gone some millimetres deep.
    chips = np.clip(canvas.noise('chips', 55) + 0.4 * canvas.noise('chip edge', 11) - 1.25, 0, 1)
    sign = 1 if rng.random() < 0.5 else -1
    chip_depth = 26 * chips * (distance * sign > 0)

    shade = np.ones_like(distance)
    # The chamfers face up and down the light of the vehicle's lamp: one is lit, one is not.
    bevel = canvas.step(chamfer - side) * sign * np.sign(distance)
    shade *= 1 + bevel * rng.uniform(0.06, 0.22)
    # Dirt gathers along the joint and fades away from it.
    shade *= 1 - rng.uniform(0.05, 0.35) * np.exp(-np.maximum(side, 0) / rng.uniform(6, 30)) * (
        np.clip(0.6 + 0.5 * canvas.noise('joint dirt', 60), 0, 1))
    chipped = canvas.step(chip_depth - side - 2 * rough)
    shade *= 1 - chipped * (0.22 + 0.25 * rough)
    sealed = rng.random() < lining.joint_sealed
    if sealed:
        band = rng.uniform(9, 26)
        ragged = canvas.noise('seal', 30) * 3.0 + rough * 2
        mortar = canvas.step(band - np.abs(distance) + ragged)
        tone = lining.albedo * rng.uniform(0.75, 1.3)
        canvas.paint(0.85 * mortar, (tone * 1.06, tone, tone * 0.9), texture=0.8, hides=1.0)
        # Sealing mortar leaves a faint, broken line where it has come off its edges.
        shade = 1 - 0.3 * canvas.step(1.2 - np.abs(np.abs(distance) - band + ragged)) * np.clip(
            0.4 + canvas.noise('seal edge', 40), 0, 1)
    else:
        depth = canvas.step(-side + 0.6 * rough)
        floor = np.clip(0.06 + 0.04 * canvas.noise('gasket', 37), 0.02, 1)
        shade *= 1 - depth * (1 - floor)
        canvas.hide(depth)
    canvas.shade(shade)


def paint_pockets(canvas: Canvas) -> None:
    """Paint bolt pockets beside the joints and the grout hole in each segment's middle."""
    lining, view = canvas.lining, canvas.view
    style = rng_for(lining.seed, 'pockets')
    length, wide, narrow = style.uniform(110, 190), style.uniform(90, 150), style.uniform(60, 85)
    away = style.uniform(70, 160)
    in_ring_joint, in_cross_joint = int(style.integers(2, 5)), int(style.integers(1, 3))
    grout_radius = style.uniform(24, 42)
    bounds = view.bounds.grown(140)
    for ring in range(int(bounds.x_min // lining.ring_width),
                      int(bounds.x_max // lining.ring_width) + 1):
        offset = lining.joint_offset(ring)
        left = ring * lining.ring_width
        for number in range(int((bounds.s_min - offset) // lining.segment_arc),
                            int((bounds.s_max - offset) // lining.segment_arc) + 1):
            arc = offset + number * lining.segment_arc
            rng = rng_for(lining.seed, 'pocket', ring, number)
            places = []
            for i in range(in_ring_joint):
                s = arc + lining.segment_arc * (i + 0.5) / in_ring_joint
                places += [(left + away, s, 0.0), (left + lining.ring_width - away, s, np.pi)]
            for i in range(in_cross_joint):
                x = left + lining.ring_width * (i + 0.5) / in_cross_joint
                places += [(x, arc + away, np.pi / 2), (x, arc + lining.segment_arc - away,
                                                        -np.pi / 2)]
            for x, s, turn in places:
                filled = rng.random() < 0.2
                rust = rng.random()
                around = canvas.window(Bounds(x - 120, x + 120, s - 120, s + 120))
                if around is not None:
                    _pocket(around, x, s, turn, length, wide, narrow, filled, rust)
            x, s = left + lining.ring_width / 2, arc + lining.segment_arc / 2
            around = canvas.window(Bounds(x - 140, x + 140, s - 140, s + 140))
            if around is not None:
                _grout_hole(around, x, s, grout_radius, rng)


def _pocket(canvas: Canvas, x: float, s: float, turn: float, length: float, wide: float,
            narrow: float, filled: bool, rust: float) -> None:
    """Paint a trapezoid recess whose deep end points away from the joint, with the bolt's nut."""
    cos, sin = np.cos(turn), np.sin(turn)
    towards = np.array([[cos, sin], [-sin, cos]])       # rows: along the bolt, across it

    def place(points: list[tuple[float, float]]) -> np.ndarray:
        return np.array(points) @ towards + (x, s)

    outline = [(-length / 2, -narrow / 2), (length / 2, -wide / 2), (length / 2, wide / 2),
               (-length / 2, narrow / 2)]
    floor = [(0.62 * a, 0.62 * b) for a, b in outline]
    cover = canvas.patch(place(outline), 1.2)
    if filled:
        tone = canvas.lining.albedo * (0.8 + 0.4 * rust)
        ragged = np.clip(cover + 0.25 * canvas.noise('fill', 22) * cover * (1 - cover) * 4, 0, 1)
        canvas.paint(0.9 * ragged, (tone, tone, tone * 0.95), texture=0.7, hides=1.0)
        edge = cover * (1 - cover) * 4
        canvas.shade(1 - 0.25 * edge * np.clip(0.5 + canvas.noise('fill edge', 25), 0, 1))
        return
    canvas.hide(cover)
    # Each wall takes the light of the lamp by the way it faces.
    for i in range(4):
        j = (i + 1) % 4
        wall = canvas.patch(place([outline[i], outline[j], floor[j], floor[i]]), 0.8)
        middle = (np.array(outline[i]) + outline[j]) / 2 @ towards
        facing = float(-middle[1] * canvas.down / (abs(middle[0]) + abs(middle[1])))
        canvas.shade(1 - wall * (0.36 + 0.34 * max(0.0, facing) - 0.12 * max(0.0, -facing)))
    bottom = canvas.patch(place(floor), 1.0)
    canvas.shade(1 - bottom * (0.5 + 0.08 * canvas.noise('pocket', 30)))
    centre = place([(0.12 * length, 0.0)])[0]
    corners = np.arange(6) * np.pi / 3 + rust * 7
    for radius, tone, brown in ((26, 0.16, 0.3), (17, 0.30, 1.0), (9, 0.2, 0.5)):
        ring = np.column_stack([np.cos(corners), np.sin(corners)]) if radius == 17 else (
            np.column_stack([np.cos(np.linspace(0, 6.28, 24)), np.sin(np.linspace(0, 6.28, 24))]))
        metal = canvas.patch(ring * radius + centre, 0.7)
        amount = rust * brown
        canvas.paint(0.92 * metal, (
            tone * (0.55 + 0.35 * amount), tone * (0.55 - 0.1 * amount),
            tone * (0.55 - 0.28 * amount)), texture=0.5)


def _grout_hole(canvas: Canvas, x: float, s: float, radius: float, rng: np.random.Generator,
                ) -> None:
    """Paint a round hole with its plug, often with a ring of smeared mortar around it."""
    dx, ds = canvas.from_x(x), canvas.from_s(s)
    r = np.hypot(dx, ds)
    smear = rng.uniform(1.3, 2.6) * radius
    wavy = r + 0.22 * radius * canvas.noise('smear', 40) + 0.1 * radius * canvas.noise('smear2', 9)
    tone = canvas.lining.albedo * rng.uniform(0.8, 1.35)
    canvas.paint(rng.uniform(0.2, 0.7) * canvas.step((smear - wavy) / 3),
                 (tone, tone, tone * 0.96), texture=0.8, hides=0.6)
    hole = canvas.step(radius - r)
    canvas.hide(hole)
    if rng.random() < 0.5:      # plug set back: the upper rim throws a shadow on it
        shadow = canvas.step(radius - np.hypot(dx, ds - canvas.down * 0.28 * radius))
        canvas.shade(1 - hole * (0.3 + 0.55 * (1 - shadow)))
    else:                       # filled flush: only the seam shows
        seam = canvas.step(1.6 - np.abs(r - radius))
        canvas.shade((1 - 0.55 * seam) * (1 + 0.1 * hole * rng.normal()))


def paint_cables(canvas: Canvas) -> None:
    """Hang cables and pipes in front of the lining, with brackets and shadows."""
    lining, view = canvas.lining, canvas.view
    style = rng_for(lining.seed, 'cables')
    for bundle in range(int(style.integers(2, 6))):
        arc = style.choice([-1, 1]) * style.uniform(0.12, 1.75) * lining.radius * 0.75
        rng = rng_for(lining.seed, 'bundle', bundle)
        place = arc
        bracket_step = rng.uniform(900, 1600)
        spread = 0.0
        cables = []
        for _ in range(int(rng.integers(1, 4))):
            width = rng.uniform(14, 48)
            cables.append((place + spread + width / 2, width, bool(rng.random() < 0.6),
                           float(rng.uniform(0.03, 0.12)), float(rng.uniform(0.2, 0.42))))
            spread += width + rng.uniform(3, 70)
        if place - 200 > view.bounds.s_max or place + spread + 200 < view.bounds.s_min:
            continue
        first = int((view.bounds.x_min - 200) // bracket_step)
        for number in range(first, int((view.bounds.x_max + 200) // bracket_step) + 1):
            _bracket(canvas, number * bracket_step, place - 30, place + spread + 30, rng)
        for s, width, black, dark, light in cables:
            sag = width * 0.25 * np.sin(
                2 * np.pi * (view.x_grid + np.float32(view.x % bracket_step)) / bracket_step)
            across = canvas.from_s(s) + (sag if black else 0.0)
            tone = dark if black else light
            _tube(canvas, across.astype(np.float32), width, (tone, tone, tone * 0.97), black)
    # Pipes that run up the ring: drops to lamps and sockets.
    spacing = 2600.0
    for cell in range(int((view.bounds.x_min - 200) // spacing),
                      int((view.bounds.x_max + 200) // spacing) + 1):
        rng = rng_for(lining.seed, 'pipe', cell)
        if rng.random() < 0.3:
            x = (cell + rng.random()) * spacing
            tone = rng.uniform(0.12, 0.5)
            width = rng.uniform(14, 34)
            colour = (tone, tone, tone * rng.uniform(0.85, 1))
            _tube(canvas, canvas.from_x(x), width, colour, False)
            for clip in range(int(view.bounds.s_min // 700), int(view.bounds.s_max // 700) + 1):
                _bracket(canvas, x, clip * 700.0 + 40, clip * 700.0 + 62, rng, width + 26)


def _tube(canvas: Canvas, across: Plane, width: float, colour: tuple[float, float, float],
          glossy: bool) -> None:
    """Paint a round cable or pipe, ``across`` mm from its axis, with its shadow on the lining."""
    stand_off = 0.7 * width
    if np.abs(across).min() > 3 * width:
        return
    shadow = np.clip((0.75 * width - np.abs(across - canvas.down * stand_off)) / 9, 0, 1)
    canvas.shade(1 - 0.5 * shadow)
    cover = canvas.step(width / 2 - np.abs(across))
    height = np.clip(across * canvas.down / (width / 2), -1, 1)
    light = 0.35 + 0.65 * np.sqrt(np.clip(1 - (height + 0.25) ** 2, 0, 1))
    light += (0.9 if glossy else 0.35) * np.exp(-((height + 0.35) / 0.16) ** 2)
    light *= 1 + 0.1 * canvas.noise('tube', 60) + 0.06 * canvas.noise('tube dust', 4)
    for plane, value in zip(canvas.rgb, colour):
        plane += cover * (value * light - plane)
    canvas.hide(cover)


def _bracket(whole: Canvas, x: float, s_min: float, s_max: float, rng: np.random.Generator,
             width: float = 42.0) -> None:
    """Paint a flat steel strip around the ring, galvanised, with a bolt at each end."""
    half = width / 2
    corners = np.array([[x - half, s_min], [x + half, s_min], [x + half, s_max],
                        [x - half, s_max]])
    canvas = whole.window(Bounds(x - half - 20, x + half + 25, s_min - 25, s_max + 25))
    if canvas is None:
        return
    shadow = canvas.patch(corners + (7.0, 9.0 * canvas.down), 3.0)
    canvas.shade(1 - 0.45 * shadow)
    cover = canvas.patch(corners, 0.6)
    tone = 0.36 * (1 + 0.12 * canvas.noise('zinc', 14) + 0.12 * canvas.noise('zinc2', 50))
    rusty = np.clip(canvas.noise('bracket rust', 26) - 0.6, 0, 1)
    for plane, zinc, rust in zip(canvas.rgb, (1.0, 1.0, 1.02), (0.22, 0.09, 0.04)):
        plane += cover * (tone * zinc + rusty * (rust - tone * zinc) - plane)
    canvas.hide(cover)
    for s in (s_min + 12, s_max - 12):
        at = canvas.view.to_px(np.array([[x, s]]))[0]
        bolt = np.zeros_like(cover)
        cv2.circle(bolt, (int(at[0] * 16), int(at[1] * 16)),
                   max(16, int(7 / canvas.view.mm_per_px * 16)), 1.0, -1, cv2.LINE_8, 4)
        canvas.shade(1 - 0.55 * cv2.GaussianBlur(bolt, (0, 0), 0.7))
