# SPDX-License-Identifier: Apache-2.0
"""What water, rust and people leave on a lining: stains, chalk and paint."""

from __future__ import annotations

import cv2
import numpy as np

from tunnel_crack_ros.simulation.canvas import Canvas
from tunnel_crack_ros.simulation.seeds import rng_for
from tunnel_crack_ros.simulation.view import Bounds, Plane

STAIN_CELL_MM = 500.0
MARK_CELL_MM = 800.0
STAIN_KINDS = ('wet', 'lime', 'rust', 'soot', 'algae')


def paint_stains(canvas: Canvas) -> None:
    """Let water run down the wall: dark and wet, white with lime, or brown with rust."""
    view = canvas.view
    reach = view.bounds.grown(1100)
    dampness = rng_for(canvas.lining.seed, 'dampness').uniform(0.05, 0.55)
    for column in range(int(reach.x_min // STAIN_CELL_MM), int(reach.x_max // STAIN_CELL_MM) + 1):
        for row in range(int(reach.s_min // STAIN_CELL_MM), int(reach.s_max // STAIN_CELL_MM) + 1):
            rng = rng_for(canvas.lining.seed, 'stain', column, row)
            if rng.random() < dampness:
                _run(canvas, rng, column, row)


def _run(whole: Canvas, rng: np.random.Generator, column: int, row: int) -> None:
    """One run of water from its source downwards."""
    lining, down = whole.lining, whole.down
    kind = STAIN_KINDS[int(rng.choice(5, p=[0.42, 0.24, 0.18, 0.11, 0.05]))]
    x = (column + rng.random()) * STAIN_CELL_MM
    s = (row + rng.random()) * STAIN_CELL_MM
    if rng.random() < 0.35:     # out of the nearest ring joint
        x = round(x / lining.ring_width) * lining.ring_width
    length = rng.uniform(120, 1000)
    width = rng.uniform(12, 130) * (0.5 if kind == 'rust' else 1.0)
    strength = rng.uniform(0.25, 1.0)
    ends = s - 0.1 * length * down, s + 1.1 * length * down
    canvas = whole.window(Bounds(x - 3 * width, x + 3 * width, min(ends), max(ends)))
    if canvas is None:
        return
    what = f'run {column} {row}'
    fallen = canvas.from_s(s) * down / length
    sway = (0.35 * width * canvas.noise(what, 160, 2.0) + 0.18 * width * canvas.noise('sway', 35)
            + 2.0 * canvas.noise('sway2', 9))
    across = np.abs(canvas.from_x(x) + sway)
    half = width * (0.55 + 0.6 * np.clip(fallen, 0, 1))
    inside = np.clip((half - across) / (0.25 * width + 3), 0, 1)
    inside *= np.clip(fallen * 9 + 0.5, 0, 1) * np.clip((1.05 - fallen) * 3.5, 0, 1)
    trickles = np.clip(0.62 + 0.42 * canvas.noise(what + 't', 8, 30)
                       + 0.3 * canvas.noise(what + 'u', 26, 9), 0, 1)
    if kind == 'wet':
        rim = inside * (1 - inside) * 4
        canvas.shade(1 - strength * 0.55 * np.clip(2.2 * inside, 0, 1) * (0.75 + 0.25 * trickles))
        canvas.paint(0.25 * strength * rim, (0.42, 0.40, 0.36), texture=0.6)
    elif kind == 'lime':
        canvas.paint(0.8 * strength * inside * trickles, (0.66, 0.65, 0.60), texture=0.45,
                     hides=1.0)
    elif kind == 'rust':
        canvas.paint(0.62 * strength * inside * trickles, (0.23, 0.095, 0.035), texture=0.8)
    elif kind == 'soot':
        canvas.shade(1 - 0.6 * strength * inside * trickles)
    else:
        canvas.paint(0.5 * strength * inside * trickles, (0.06, 0.085, 0.035), texture=0.8)


def paint_marks(canvas: Canvas) -> None:
    """Write what people write on a lining: numbers, dates, arrows, chalk lines, circles."""
    view = canvas.view
    busy = rng_for(canvas.lining.seed, 'marks').uniform(0.02, 0.35)
    reach = view.bounds.grown(450)
    for column in range(int(reach.x_min // MARK_CELL_MM), int(reach.x_max // MARK_CELL_MM) + 1):
        for row in range(int(reach.s_min // MARK_CELL_MM), int(reach.s_max // MARK_CELL_MM) + 1):
            rng = rng_for(canvas.lining.seed, 'mark', column, row)
            if rng.random() < busy:
                _mark(canvas, rng, column, row)


def _mark(whole: Canvas, rng: np.random.Generator, column: int, row: int) -> None:
    centre = (rng.random(2) + (column, row)) * MARK_CELL_MM
    canvas = whole.window(Bounds(
        centre[0] - 400, centre[0] + 400, centre[1] - 400, centre[1] + 400))
    if canvas is None:
        return
    view = canvas.view
    colour, cover = (
        ((0.72, 0.72, 0.68), 0.6), ((0.42, 0.05, 0.04), 0.85), ((0.05, 0.07, 0.25), 0.8),
        ((0.03, 0.03, 0.03), 0.75), ((0.62, 0.45, 0.05), 0.75),
    )[int(rng.choice(5, p=[0.45, 0.25, 0.1, 0.14, 0.06]))]
    thick = rng.uniform(3, 9) if cover > 0.6 else rng.uniform(2, 5)
    turn = rng.normal(0, 0.08) + (0 if canvas.down > 0 else np.pi)
    strokes = np.zeros((view.height, view.width), np.uint8)
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.array([[cos, sin], [-sin, cos]])

    def draw(points: np.ndarray) -> None:
        pixels = view.to_px(points @ turned + centre)
        cv2.polylines(strokes, [np.round(pixels * 16).astype(np.int32)], False, 255,
                      max(1, round(thick / view.mm_per_px)), cv2.LINE_AA, 4)

    what = rng.choice(['text', 'text', 'line', 'circle', 'arrow'])
    if what == 'text':
        for stroke in _text_strokes(rng):
            draw(stroke)
    elif what == 'line':
        length = rng.uniform(150, 700)
        angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
        t = np.linspace(-0.5, 0.5, 24)[:, None] * length
        bow = rng.normal(0, 0.03) * length * (np.linspace(-1, 1, 24)[:, None] ** 2)
        draw(t * [np.cos(angle), np.sin(angle)] + bow * [-np.sin(angle), np.cos(angle)])
    elif what == 'circle':
        around = np.linspace(0.2, 6.6, 40)
        radius = rng.uniform(25, 130) * (1 + 0.06 * np.sin(2 * around + rng.uniform(0, 6)))
        draw(np.column_stack([radius * np.cos(around), 0.85 * radius * np.sin(around)]))
    else:
        size = rng.uniform(60, 220)
        draw(np.array([[-size, 0.0], [size, 0.0]]))
        draw(np.array([[0.6 * size, -0.3 * size], [size, 0.0], [0.6 * size, 0.3 * size]]))
    if not strokes.any():
        return
    alpha = cv2.GaussianBlur(strokes, (0, 0), 0.7).astype(np.float32) / 255
    # Chalk catches only on the grains; paint wears off in flakes.
    worn = np.clip(0.75 + 0.35 * canvas.noise('worn', 22) + 0.4 * canvas.noise('chalk', 2.6), 0, 1)
    canvas.paint(cover * alpha * worn, colour, texture=0.6, hides=0.3)


def _text_strokes(rng: np.random.Generator) -> list[np.ndarray]:
    """Spell a ring number, a date or a note in strokes of a hand, mm around the middle."""
    text = rng.choice([
        f'{rng.integers(10, 2000)}', f'R{rng.integers(10, 2000)}',
        f'{rng.integers(2004, 2026)}.{rng.integers(1, 13)}.{rng.integers(1, 29)}',
        f'K{rng.integers(1, 40)}+{rng.integers(100, 999)}', f'w={rng.integers(1, 9) / 10}',
        f'{rng.choice(list("ABCS"))}{rng.integers(1, 20)}'])
    size = rng.uniform(40, 150)
    strokes, pen = [], 0.0
    for letter in str(text):
        for stroke in GLYPHS.get(letter, ()):
            points = np.array(stroke, float) * size
            points = np.repeat(points, 1, axis=0) + rng.normal(0, 0.03 * size, points.shape)
            points[:, 0] += pen
            strokes.append(points)
        pen += size * 0.72
    return [stroke - (pen / 2, size / 2) for stroke in strokes]


# Letters as a hand draws them in strokes: column 0..0.5, row 0 (top) .. 1 (bottom).
GLYPHS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    '0': (((.25, 0), (.05, .25), (.05, .75), (.25, 1), (.45, .75), (.45, .25), (.25, 0)),),
    '1': (((.1, .2), (.28, 0), (.28, 1)),),
    '2': (((.05, .2), (.25, 0), (.45, .2), (.4, .45), (.05, 1), (.48, 1)),),
    '3': (((.05, .1), (.3, 0), (.45, .2), (.22, .46), (.46, .7), (.3, 1), (.03, .9)),),
    '4': (((.32, 0), (.03, .68), (.5, .68)), ((.35, .4), (.35, 1))),
    '5': (((.45, 0), (.1, 0), (.07, .42), (.32, .4), (.46, .68), (.3, 1), (.03, .93)),),
    '6': (((.4, 0), (.12, .35), (.05, .75), (.25, 1), (.45, .75), (.28, .52), (.07, .7)),),
    '7': (((.03, 0), (.47, 0), (.18, 1)),),
    '8': (((.25, .46), (.07, .22), (.25, 0), (.43, .22), (.25, .46), (.03, .76), (.25, 1),
           (.47, .76), (.25, .46)),),
    '9': (((.43, .3), (.22, .48), (.05, .25), (.25, 0), (.43, .25), (.4, .6), (.15, 1)),),
    '.': (((.2, .95), (.24, 1)),),
    '+': (((.25, .3), (.25, .8)), ((.02, .55), (.48, .55))),
    '=': (((.05, .4), (.45, .4)), ((.05, .65), (.45, .65))),
    'A': (((.02, 1), (.25, 0), (.48, 1)), ((.1, .65), (.4, .65))),
    'B': (((.07, 0), (.07, 1), (.4, .9), (.42, .6), (.1, .47), (.38, .3), (.3, .03), (.07, 0)),),
    'C': (((.45, .12), (.25, 0), (.05, .3), (.05, .7), (.25, 1), (.46, .88)),),
    'K': (((.06, 0), (.06, 1)), ((.45, 0), (.08, .55), (.47, 1))),
    'R': (((.07, 1), (.07, 0), (.4, .1), (.4, .4), (.08, .5), (.46, 1)),),
    'S': (((.44, .1), (.22, 0), (.06, .25), (.42, .7), (.25, 1), (.04, .9)),),
    'w': (((.02, .4), (.13, 1), (.25, .5), (.36, 1), (.48, .4)),),
}


def paint_efflorescence(canvas: Canvas, share: Plane, amount: float, what: str) -> None:
    """Let lime come out along a crack and hang below it in patches.

    :param share: height x width, covered share of each pixel (``CrackCover.share``).
    :param amount: 0..1.
    :param what: name of the crack's own noise.
    """
    reach = 9.0 / canvas.view.mm_per_px
    halo = cv2.GaussianBlur((share > 0).astype(np.float32), (0, 0), reach)
    ragged = np.clip(halo * 7 + 0.55 * canvas.noise(what, 45) + 0.3 * canvas.noise('lime', 9)
                     - 1.0, 0, 1)
    canvas.paint(0.75 * amount * ragged * np.clip(halo * 9, 0, 1), (0.68, 0.67, 0.62),
                 texture=0.35)
