# SPDX-License-Identifier: Apache-2.0
"""One picture that shows what every layer looks at, as Feng et al. show it in their Figure 10."""

from __future__ import annotations

from collections.abc import Sequence
import math

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.heat_map import (
    coloured,
    draw_heat_map,
    Explanation,
    HeatMap,
)
from tunnel_crack_ros.vision.frame import RgbFrame

_CELL = 360     # width of a picture in the sheet, px; a panorama has up to a whole row,
_LOWEST, _HIGHEST = 90, 720     # until it is so high, px; a higher one is made narrower
_CAPTION = 44   # height of the two lines above it, px
_GAP = 8
_COLUMNS = 4
_SCALE_TEXT = 64    # width of a word beside the colours' scale, px
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_RED = (255, 40, 40)
_OUTLINE = 0.6  # its thickness in the sheet, px


def draw_sheet(frame: RgbFrame, explanation: Explanation,
               mask: npt.NDArray[np.uint8] | None = None, title: str = '') -> RgbFrame:
    """Draw the frame and a heat map of each layer, each with its name and how it was made.

    Names of one tensor share a map, and get one picture.

    :param frame: uint8, H x W x 3, RGB.
    :param explanation: of this frame.
    :param mask: what was predicted, uint8, H x W, 0 or 255; outlined in the first picture.
    :param title: line over everything, e.g. the model's name.
    :return: uint8, RGB, white where nothing is.
    """
    what = f'f {explanation.score:.2f} (baseline {explanation.baseline_score:.2f})'
    outlined = '' if mask is None else '; red: what was predicted' if mask.any() else \
        '; nothing predicted'
    size = _size(frame)
    thickness = max(1, round(_OUTLINE * frame.shape[1] / size[0]))
    cells = [_cell(_outlined(frame, mask, thickness), size, 'frame', what + outlined)]
    cells += [_cell(draw_heat_map(frame, same[0].values), size,
                    ' = '.join(h.layer for h in same), caption(same[0]))
              for same in _by_map(explanation.heat_maps)]
    columns = min(_COLUMNS * (_CELL + _GAP) // cells[0].shape[1], len(cells))
    rows = [cells[i:i + columns] for i in range(0, len(cells), columns)]
    empty = np.full_like(cells[0], 255)
    sheet = np.concatenate([
        np.concatenate(row + [empty] * (columns - len(row)), axis=1) for row in rows])
    head = np.full((34, sheet.shape[1], 3), 255, np.uint8)
    text = f"{title}{': ' if title else ''}{explanation.passes} passes, " \
           f'{explanation.elapsed_s:.1f} s{"" if explanation.complete else ", cut short"}'
    _write(head, text, 24, 0.6)
    return np.concatenate([head, sheet, _scale(sheet.shape[1])])


def _by_map(maps: Sequence[HeatMap]) -> list[list[HeatMap]]:
    """Put those together that are one map under several names."""
    groups: dict[int, list[HeatMap]] = {}
    for heat in maps:
        groups.setdefault(id(heat.values), []).append(heat)
    return list(groups.values())


def _scale(width: int) -> RgbFrame:
    """Draw what the colours mean."""
    strip = np.full((34, width, 3), 255, np.uint8)
    length = min(_CELL, width) - 2 * _SCALE_TEXT
    levels = np.tile(np.linspace(0.0, 1.0, length, dtype=np.float32), (14, 1))
    strip[10:24, _SCALE_TEXT:_SCALE_TEXT + length] = coloured(levels)
    _write(strip, 'nothing', 21, 0.45)
    _write(strip, 'most', 21, 0.45, left=_SCALE_TEXT + length + _GAP)
    return strip


def caption(heat: HeatMap) -> str:
    """Say how a map was made and how far to trust it."""
    if heat.channels and not heat.scored and not heat.values.any():
        return f'none of {heat.channels} channels in time'
    made = f'{heat.scored} of {heat.channels} channels'
    if heat.channels and heat.scored == heat.channels:
        made = f'exact, {heat.channels} channels'
    elif not math.isnan(heat.fidelity):
        # a guess is never as good as exact
        made += ', fidelity ' + ('> 0.99' if heat.fidelity > 0.99 else f'{heat.fidelity:.2f}')
    return made if heat.values.any() else f'{made}: nothing'


def _size(picture: RgbFrame) -> tuple[int, int]:
    """Return width and height of a picture in the sheet, px."""
    height, width = picture.shape[:2]
    whole_row = _COLUMNS * (_CELL + _GAP) - _GAP
    factor = min(max(_CELL / width, _LOWEST / height), whole_row / width, _HIGHEST / height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _cell(picture: RgbFrame, size: tuple[int, int], name: str, text: str) -> RgbFrame:
    width, height = size
    shrinks = picture.shape[1] > width
    small = cv2.resize(picture, size,
                       interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    cell = np.full((height + _CAPTION + _GAP, max(width, _CELL) + _GAP, 3), 255, np.uint8)
    cell[_CAPTION:_CAPTION + height, _GAP // 2:_GAP // 2 + width] = small
    _write(cell, name, 18, 0.6)
    _write(cell, text, 37, 0.45)
    return cell


def _outlined(frame: RgbFrame, mask: npt.NDArray[np.uint8] | None, thickness: int) -> RgbFrame:
    picture = np.ascontiguousarray(frame).copy()
    if mask is not None:
        outlines, _ = cv2.findContours(cv2.dilate(mask, np.ones((3, 3), np.uint8)),
                                       cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, _RED, thickness, cv2.LINE_AA)
    return picture


def _write(picture: RgbFrame, text: str, bottom: int, size: float, left: int = _GAP // 2) -> None:
    """Write a line, smaller where there is no room for it."""
    (width, _), _ = cv2.getTextSize(text, _FONT, size, 1)
    room = picture.shape[1] - left - _GAP // 2
    cv2.putText(picture, text, (left, bottom), _FONT, size * min(1.0, room / max(1, width)),
                (0, 0, 0), 1, cv2.LINE_AA)


def layers_of(text: str) -> Sequence[str]:
    """Return the names in a list with commas between."""
    return [name.strip() for name in text.split(',') if name.strip()]
