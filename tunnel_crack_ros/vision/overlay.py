# SPDX-License-Identifier: Apache-2.0
"""The picture an inspector looks at: the frame with its cracks drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
import math

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.geometry.crack import Crack
from tunnel_crack_ros.vision.place import clock_text

_RED = (255, 40, 40)
_YELLOW = (255, 230, 0)
_LABELLED = 0.06  # of the frame's side: shorter cracks get no text


def draw_overlay(frame: RgbFrame, mask: npt.NDArray[np.uint8],
                 cracks: Sequence[Crack] = ()) -> RgbFrame:
    """Outline the mask, draw each crack's lines and write its measures beside it.

    The crack itself stays visible: the mask is outlined, not painted over.

    :param frame: uint8, H x W x 3, RGB.
    :param mask: uint8, H x W, 0 or 255.
    :param cracks: as measured on this mask.
    :return: a new frame of the same size.
    """
    picture = frame.copy()
    # of a panorama the longer side says nothing of how large a crack is in it
    side = min(max(frame.shape[:2]), 2 * min(frame.shape[:2]))
    size = max(1, round(side / 800))
    outlines, _ = cv2.findContours(cv2.dilate(mask, np.ones((3, 3), np.uint8)),
                                   cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, _RED, size, cv2.LINE_AA)
    for crack in cracks:
        lines = [np.round(line * 8).astype(np.int32).reshape(-1, 1, 2) for line in crack.lines]
        cv2.polylines(picture, lines, False, _YELLOW, size, cv2.LINE_AA, shift=3)
    taken: list[tuple[int, int, int, int]] = []
    for crack in cracks:
        # a label on every crumb would hide what it speaks of
        if crack.length_px >= _LABELLED * side:
            _write_label(picture, mask, crack, size, taken)
    return picture


def label_text(crack: Crack) -> str:
    """Say a crack in a few words: number, length, mean width with its sigma, and place.

    In mm where a scale is known; a width too small to be resolved is said to be below what can
    be. Where the place is known, a second line says the chainage and the clock position.
    """
    if math.isnan(crack.length_mm):
        text = f'{crack.id}: {crack.length_px:.0f} px, w {crack.width_mean_px:.1f} px'
    else:
        text = f'{crack.id}: {crack.length_mm:.0f} mm, w {_width_text(crack)} mm'
    place = crack.place
    words = [f'{place.chainage_m:.2f} m'] if math.isfinite(place.chainage_m) else []
    words += [f"{clock_text(place.clock_h)} o'clock"] if math.isfinite(place.clock_h) else []
    return '\n'.join([text, ', '.join(words)]) if words else text


def _width_text(crack: Crack) -> str:
    if not crack.resolved or math.isnan(crack.width_mean_mm):
        return f'below {crack.width_floor_mm:.1f}'
    sigma = crack.width_sigma_mm
    if not math.isfinite(sigma):
        return f'{crack.width_mean_mm:.1f}'
    digits = 1 if sigma >= 0.095 else 2
    return f'{crack.width_mean_mm:.{digits}f} +- {max(sigma, 0.01):.{digits}f}'


def _write_label(picture: RgbFrame, mask: npt.NDArray[np.uint8], crack: Crack, size: int,
                 taken: list[tuple[int, int, int, int]]) -> None:
    """Write where the text hides no other label and the least of any crack."""
    lines = label_text(crack).split('\n')
    font, height_factor = cv2.FONT_HERSHEY_SIMPLEX, 0.42 * size
    sizes = [cv2.getTextSize(line, font, height_factor, size) for line in lines]
    row = max(high + below for (_, high), below in sizes) + 3
    width, height = max(wide for (wide, _), _ in sizes) + 4, row * len(lines) + 2
    left, top, box_width, box_height = crack.bounding_box
    places = [(left, top - height), (left, top + box_height), (left + box_width, top),
              (left - width, top), (left + box_width - width, top - height),
              *((left, top + k * height) for k in range(1, 12))]
    free: list[tuple[int, tuple[int, int, int, int]]] = []
    for x, y in places:
        x = min(max(x, 0), max(0, picture.shape[1] - width))
        box = (x, y, width, height)
        if 0 <= y <= picture.shape[0] - height and not any(_overlap(box, b) for b in taken):
            free.append((int(np.count_nonzero(mask[y:y + height, x:x + width])), box))
    if not free:
        return
    _, (x, y, *_) = best = min(free, key=lambda place: place[0])
    taken.append(best[1])
    cv2.rectangle(picture, (x, y), (x + width, y + height), (0, 0, 0), -1)
    for number, (line, ((_, high), _)) in enumerate(zip(lines, sizes)):
        cv2.putText(picture, line, (x + 2, y + 2 + row * number + high), font, height_factor,
                    (255, 255, 255), size, cv2.LINE_AA)


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return (a[0] < b[0] + b[2] and b[0] < a[0] + a[2]
            and a[1] < b[1] + b[3] and b[1] < a[1] + a[3])
