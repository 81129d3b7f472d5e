# SPDX-License-Identifier: Apache-2.0
"""Draw things that are not cracks over a photograph: joints, cables, spalls, stains, writing.

Photographs of cracked walls hold little else that is line-like, so a network trained on them takes
any dark line for a crack. Here the mask stays as it is while the picture gets what a lining has.
"""

from __future__ import annotations

from collections.abc import Callable
import math

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.training.augment import Mask, Picture

Plane = npt.NDArray[np.float32]     # H x W
Scene = npt.NDArray[np.float32]     # H x W x 3, 0..255

_MOST = 4                   # distractors in one picture
_MAX_COVERED = 0.3          # of the crack's pixels; a distractor that hides more is not drawn
_EDGE_WINDOW = 5            # px; where what was drawn changes the light within so many,
_EDGE_LEVELS = 10.0         # by more grey levels, there is an edge
_LETTERS = 'ABCDEFGHKLMNRSTUVWX0123456789-+./'


def add_distractors(image: Picture, mask: Mask,
                    rng: np.random.Generator) -> tuple[Picture, Mask, Mask]:
    """Draw one to four distractors.

    :param image: uint8, H x W x 3, RGB.
    :param mask: bool, H x W, the crack.
    :return: the picture; a mask, true where a crack pixel is hidden now; and one, true at the
        lines and edges that were drawn.
    """
    scene = image.astype(np.float32)
    hidden = np.zeros(mask.shape, bool)
    for _ in range(int(rng.integers(1, _MOST + 1))):
        draw = _KINDS[int(rng.integers(len(_KINDS)))]
        drawn, cover = draw(scene, rng)
        covered = hidden | (mask & (cover > 0.4))
        if covered.sum() > _MAX_COVERED * mask.sum():
            continue
        scene, hidden = drawn, covered
    return np.clip(scene, 0.0, 255.0).astype(np.uint8), hidden, _edges(scene, image)


def _edges(scene: Scene, before: Picture) -> Mask:
    change = np.mean(scene - before, axis=2)
    window = np.ones((_EDGE_WINDOW, _EDGE_WINDOW), np.uint8)
    return np.asarray(cv2.dilate(change, window) - cv2.erode(change, window) > _EDGE_LEVELS)


def _joint(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw a joint between segments, boards or tiles: straight, from edge to edge."""
    distance = _line(scene.shape[:2], rng)
    width = float(np.exp(rng.uniform(math.log(1.2), math.log(14.0))))
    if width > 3.0 and rng.random() < 0.5:      # chipped edges
        chips = _noise(scene.shape[0], scene.shape[1], 12, rng) * rng.uniform(0.0, 1.0)
        distance = np.abs(distance + chips)
    band = _band(distance, width, rng.uniform(0.5, 2.0))
    shade = rng.uniform(0.25, 0.9) if rng.random() < 0.8 else rng.uniform(1.1, 1.5)
    drawn = scene * (1.0 - band * (1.0 - shade))[..., None]
    if rng.random() < 0.4:      # a bevel that catches the lamp
        edge = _band(np.abs(np.abs(distance) - (width / 2 + 1.0)), rng.uniform(1.0, 3.0), 1.0)
        drawn = drawn * (1.0 + edge * rng.uniform(-0.3, 0.4))[..., None]
    return drawn, band


def _boards(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw parallel marks of formwork boards, or a grid of tiles."""
    size = max(scene.shape[:2])
    spacing = rng.uniform(0.08, 0.4) * size
    width, shade = rng.uniform(1.0, 4.0), rng.uniform(0.55, 0.95)
    angle = rng.uniform(0, math.pi)
    cover = np.zeros(scene.shape[:2], np.float32)
    for turn in ((0.0, math.pi / 2) if rng.random() < 0.3 else (0.0,)):
        along = _offset(scene.shape[:2], angle + turn) + rng.uniform(0, spacing)
        distance = np.abs((along + spacing / 2) % spacing - spacing / 2)
        cover = np.maximum(cover, _band(distance, width, 1.0))
    return scene * (1.0 - cover * (1.0 - shade))[..., None], cover


def _cable(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw a cable, hose or pipe: round, smooth, with a highlight and a shadow on the wall."""
    height, width = scene.shape[:2]
    steps = np.linspace(0.0, 1.0, 40)[:, None]
    ends = np.stack([_on_border(height, width, rng) for _ in range(2)])
    middle = ends.mean(axis=0) + rng.normal(0.0, 0.25, 2) * (width, height)
    points = (1 - steps) ** 2 * ends[0] + 2 * steps * (1 - steps) * middle + steps ** 2 * ends[1]
    thickness = float(np.exp(rng.uniform(math.log(2.5), math.log(34.0))))
    distance = _polyline_distance(scene.shape[:2], points)
    colour = rng.uniform(10, 110, 3) if rng.random() < 0.3 else np.full(3, rng.uniform(5, 235))
    shadow = np.roll(_band(distance, thickness * 1.2, thickness * 0.6),
                     rng.integers(-8, 9, 2), (0, 1))
    drawn = scene * (1.0 - shadow * rng.uniform(0.0, 0.6))[..., None]
    cover = _band(distance, thickness, 1.2)
    across = np.clip(distance / (thickness / 2), 0.0, 1.0)
    body = colour * (0.55 + 0.6 * np.sqrt(1.0 - across ** 2))[..., None]
    drawn = drawn * (1 - cover[..., None]) + body * cover[..., None]
    return drawn.astype(np.float32), cover


def _pocket(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw a bolt pocket, niche or hatch: a box with a lit and a shaded edge."""
    height, width = scene.shape[:2]
    centre = rng.uniform(0, 1, 2) * (width, height)
    size = rng.uniform(0.06, 0.4, 2) * min(height, width)
    box = cv2.boxPoints((tuple(centre), tuple(size), float(rng.choice([0, 0, 90, rng.uniform(
        0, 90)]))))
    cover = _polygon(scene.shape[:2], box)
    inner = cv2.erode(cover, np.ones((3, 3), np.uint8), iterations=int(rng.integers(1, 4)))
    edge = cover - inner
    y = np.mgrid[0:height, 0:width][0].astype(np.float32)
    slope = (y - centre[1]) / max(size[1], 1.0) * rng.uniform(-0.5, 0.5)
    inside = scene * (rng.uniform(0.35, 1.1) + slope)[..., None]
    drawn = scene * (1 - inner[..., None]) + inside * inner[..., None]
    drawn = drawn * (1.0 + edge * rng.uniform(-0.75, 0.3))[..., None]
    return drawn.astype(np.float32), cover


def _hole(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw tie holes, grout holes or lamps: one to five ellipses with a rim."""
    height, width = scene.shape[:2]
    cover = np.zeros((height, width), np.float32)
    shade = rng.uniform(0.15, 0.8) if rng.random() < 0.8 else rng.uniform(1.2, 2.0)
    drawn = scene
    for _ in range(int(rng.integers(1, 6))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        radius = float(np.exp(rng.uniform(math.log(3.0), math.log(0.12 * width + 4))))
        axes = (max(1, round(radius)), max(1, round(radius * rng.uniform(0.7, 1.0))))
        disc = np.zeros((height, width), np.float32)
        cv2.ellipse(disc, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1, cv2.LINE_8)
        disc = cv2.GaussianBlur(disc, (0, 0), rng.uniform(0.5, 1.5)).astype(np.float32)
        drawn = drawn * (1.0 - disc * (1.0 - shade))[..., None]
        cover = np.maximum(cover, disc)
    return drawn, cover


def _bug_holes(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw air bubbles left in the concrete's skin: many small dark dots."""
    height, width = scene.shape[:2]
    dots = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(5, 60))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(dots, centre, int(rng.integers(1, 5)), float(rng.uniform(0.2, 0.7)), -1)
    dots = cv2.GaussianBlur(dots, (0, 0), 0.7).astype(np.float32)
    return scene * (1.0 - dots)[..., None], np.zeros_like(dots)


def _writing(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw painted or chalked letters and numbers."""
    height, width = scene.shape[:2]
    letters = np.zeros((height, width), np.uint8)
    text = ''.join(rng.choice(list(_LETTERS), int(rng.integers(2, 8))))
    origin = (int(rng.uniform(-0.1, 0.7) * width), int(rng.uniform(0.15, 1.0) * height))
    cv2.putText(letters, text, origin, int(rng.integers(0, 8)), float(rng.uniform(0.5, 3.5)), 255,
                int(rng.integers(1, 7)), cv2.LINE_AA)
    cover = letters.astype(np.float32) / 255.0
    cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.4, 1.2)).astype(np.float32)
    cover = np.clip(cover * rng.uniform(0.5, 1.0), 0.0, 1.0)
    return _paint(scene, cover, rng), cover


def _chalk(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw strokes and rings of chalk or spray paint, brighter or more colourful than concrete."""
    height, width = scene.shape[:2]
    strokes = np.zeros((height, width), np.uint8)
    start = rng.uniform(0, 1, 2) * (width, height)
    heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(rng.normal(0, 0.1), 0.08, 30))
    step = rng.uniform(0.01, 0.04) * width
    points = start + np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * step, axis=0)
    cv2.polylines(strokes, [np.round(points * 8).astype(np.int32)], False, 255,
                  int(rng.integers(1, 6)), cv2.LINE_AA, 3)
    cover = strokes.astype(np.float32) / 255.0
    grain = rng.uniform(0.4, 1.0, (height, width)).astype(np.float32)
    return _paint(scene, cover * grain, rng, bright=True), cover


def _stain(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw damp or lime: a patch with an uneven outline."""
    height, width = scene.shape[:2]
    patch = _noise(height, width, int(rng.integers(3, 9)), rng) - rng.uniform(0.1, 0.9)
    patch = 1.0 / (1.0 + np.exp(np.clip(-patch * rng.uniform(3.0, 40.0), -30, 30)))
    factor = 1.0 + (patch * rng.uniform(-0.55, 0.4))[..., None] * rng.uniform(0.7, 1.3, 3)
    return (scene * factor).astype(np.float32), np.zeros((height, width), np.float32)


def _drips(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw runs of water, rust or lime down the wall: soft-edged, fading."""
    height, width = scene.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    shade = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 7))):
        centre = rng.uniform(0, width) + np.cumsum(rng.normal(0, 0.25, height)).astype(np.float32)
        spread = rng.uniform(1.5, 14.0) * (1.0 + 0.5 * y / height)
        fade = np.clip((y - rng.uniform(-0.5, 0.5) * height) / (rng.uniform(0.2, 1.0) * height),
                       0.0, 1.0)
        fade = fade if rng.random() < 0.5 else 1.0 - fade
        profile = np.exp(-0.5 * ((x - centre[:, None]) / spread) ** rng.choice([2, 6]))
        shade = np.maximum(shade, fade * profile)
    strength = rng.uniform(-0.6, 0.5) * rng.uniform(0.8, 1.2, 3)
    if rng.random() < 0.3:
        shade = np.ascontiguousarray(np.rot90(shade)) if height == width else shade
    drawn = scene * (1.0 + shade[..., None] * strength)
    return drawn.astype(np.float32), np.zeros((height, width), np.float32)


def _shadow(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw the straight edge of a shadow or of a change of material."""
    angle = rng.uniform(0, 2 * math.pi)
    offset = _offset(scene.shape[:2], angle)
    level = rng.uniform(np.quantile(offset, 0.1), np.quantile(offset, 0.9))
    side = 1.0 / (1.0 + np.exp(-np.clip((offset - level) / rng.uniform(0.4, 6.0), -30, 30)))
    factor = 1.0 - side[..., None] * rng.uniform(0.1, 0.65)
    return (scene * factor).astype(np.float32), np.zeros(scene.shape[:2], np.float32)


def _scratch(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw a bright thin scratch, straight."""
    band = _band(_line(scene.shape[:2], rng), rng.uniform(0.8, 2.0), 0.8) * rng.uniform(0.2, 0.9)
    return scene + band[..., None] * (rng.uniform(180, 255) - scene), band


def _spall(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw a piece broken off: a rough hollow, its rim lit on one side, dark on the other."""
    height, width = scene.shape[:2]
    centre = rng.uniform(0.0, 1.0, 2) * (width, height)
    radius = rng.uniform(0.04, 0.3) * min(height, width)
    turns = np.linspace(0.0, 2.0 * math.pi, 72, endpoint=False)
    outline = np.full(72, rng.uniform(0.8, 1.2))
    for waves in range(2, 12):
        outline += rng.normal(0.0, 0.35 / waves) * np.cos(waves * turns + rng.uniform(0.0, 6.3))
    outline = radius * np.clip(outline, 0.3, 2.0)
    stretch = rng.uniform(0.4, 1.0)
    cover = _polygon(scene.shape[:2], centre + np.stack(
        [outline * np.cos(turns), stretch * outline * np.sin(turns)], axis=1))
    soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 2.0)).astype(np.float32)
    rough = _noise(height, width, max(4, width // int(rng.integers(5, 16))), rng)
    inside = scene * rng.uniform(0.65, 1.15) + rough[..., None] * rng.uniform(4.0, 22.0)
    drawn = scene + soft[..., None] * (inside - scene)
    rim = _lit(soft, rng) * (1.0 + 0.5 * np.clip(rough, -1.0, 1.0))
    return (drawn * (1.0 + np.clip(rim, -0.7, 0.6))[..., None]).astype(np.float32), soft


def _ridge(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw a fin of formwork: a straight line, lit along one side and dark along the other."""
    band = _band(_line(scene.shape[:2], rng), rng.uniform(0.8, 4.0), rng.uniform(0.8, 2.0))
    if rng.random() < 0.5:      # worn away here and there
        there = _noise(scene.shape[0], scene.shape[1], int(rng.integers(2, 8)), rng)
        band = band * np.clip(0.6 + there, 0.0, 1.0)
    relief = np.clip(_lit(band, rng), -0.6, 0.5)
    return (scene * (1.0 + relief)[..., None]).astype(np.float32), band


def _abrasion(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Plane]:
    """Draw what something dragged along has left: a bundle of short scratches side by side."""
    height, width = scene.shape[:2]
    scratches = np.zeros((height, width), np.uint8)
    heading, spread = rng.uniform(0.0, math.pi), rng.uniform(4.0, 40.0)
    centre = rng.uniform(0.0, 1.0, 2) * (width, height)
    for _ in range(int(rng.integers(3, 25))):
        middle = centre + rng.normal(0.0, spread, 2)
        way = heading + rng.normal(0.0, 0.08)
        half = rng.uniform(4.0, 40.0) * np.array([math.cos(way), math.sin(way)])
        ends = np.round(np.stack([middle - half, middle + half]) * 8).astype(np.int32)
        cv2.line(scratches, ends[0].tolist(), ends[1].tolist(), int(rng.integers(80, 255)),
                 int(rng.integers(1, 3)), cv2.LINE_AA, 3)
    cover = cv2.GaussianBlur(scratches, (0, 0), rng.uniform(0.4, 1.0)).astype(np.float32) / 255.0
    factor = 1.0 + cover * (rng.uniform(-0.55, -0.1) if rng.random() < 0.6
                            else rng.uniform(0.1, 0.5))
    return (scene * factor[..., None]).astype(np.float32), cover


_KINDS: tuple[Callable[[Scene, np.random.Generator], tuple[Scene, Plane]], ...] = (
    _joint, _joint, _boards, _cable, _cable, _pocket, _hole, _bug_holes, _writing, _chalk, _stain,
    _drips, _shadow, _scratch, _spall, _ridge, _abrasion)


def _offset(shape: tuple[int, ...], angle: float) -> Plane:
    """Signed distance from a line through the picture's middle, px."""
    y, x = np.mgrid[0:shape[0], 0:shape[1]].astype(np.float32)
    offset = (x - shape[1] / 2) * math.cos(angle) + (y - shape[0] / 2) * math.sin(angle)
    return offset.astype(np.float32)


def _line(shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Distance from a random straight line, px; upright and level ones are the most frequent."""
    right = rng.random() < 0.6
    angle = rng.choice([0, math.pi / 2]) + rng.normal(0, 0.05) if right else rng.uniform(
        0, math.pi)
    shift = rng.uniform(-0.45, 0.45) * max(shape[:2])
    return np.abs(_offset(shape, float(angle)) - shift).astype(np.float32)


def _band(distance: Plane, width: float, softness: float) -> Plane:
    """1 within half a width of distance 0, falling to 0 over `softness` px."""
    return np.clip((width / 2 - distance) / softness + 0.5, 0.0, 1.0).astype(np.float32)


def _polyline_distance(shape: tuple[int, ...], points: npt.NDArray[np.float64]) -> Plane:
    away = np.full(shape[:2], 255, np.uint8)
    cv2.polylines(away, [np.round(points).astype(np.int32)], False, 0, 1)
    return cv2.distanceTransform(away, cv2.DIST_L2, 5).astype(np.float32)


def _polygon(shape: tuple[int, ...], corners: npt.ArrayLike) -> Plane:
    plane = np.zeros(shape[:2], np.float32)
    cv2.fillPoly(plane, [np.round(np.asarray(corners)).astype(np.int32)], 1.0)
    return plane


def _on_border(height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    along = rng.random()
    corners = ((along * width, -3.0), (along * width, height + 3.0), (-3.0, along * height),
               (width + 3.0, along * height))
    return np.array(corners[int(rng.integers(4))])


def _noise(height: int, width: int, cells: int, rng: np.random.Generator) -> Plane:
    """Cloudy noise, mean 0, spread about 1."""
    total = np.zeros((height, width), np.float32)
    for octave, weight in ((1, 1.0), (2, 0.5), (4, 0.25), (8, 0.12)):
        grid = rng.normal(0.0, weight, (cells * octave, cells * octave)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def _lit(height: Plane, rng: np.random.Generator) -> Plane:
    """Return how light from the side changes the brightness of a relief, as a share of it."""
    angle, strength = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.5, 2.5)
    across, down = (cv2.Sobel(height, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=0.125)
                    for dx in (1, 0))
    slope = across * math.cos(angle) + down * math.sin(angle)
    return np.asarray(strength * slope, np.float32)


def _paint(scene: Scene, cover: Plane, rng: np.random.Generator, bright: bool = False) -> Scene:
    low, high = (190, 255) if bright or rng.random() < 0.6 else (5, 60)
    colour = rng.uniform(low, high, 3) if rng.random() < 0.5 else np.full(
        3, rng.uniform(low, high))
    if rng.random() < 0.3:
        colour[int(rng.integers(3))] *= 0.25        # red, yellow or blue paint
    return (scene + cover[..., None] * (colour - scene)).astype(np.float32)
