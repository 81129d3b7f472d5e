# SPDX-License-Identifier: Apache-2.0
"""What figures are put together from: cells of one size, captions, a sheet of rows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]         # H x W x 3, RGB
Colour = tuple[int, int, int]           # RGB

BLACK: Colour = (20, 20, 20)
GREY: Colour = (120, 120, 120)
WHITE: Colour = (255, 255, 255)
GREEN: Colour = (0, 150, 60)
RED: Colour = (215, 25, 30)
BLUE: Colour = (30, 80, 230)
ORANGE: Colour = (255, 140, 0)

LINE_PX = 20                            # height of a line of text
GAP_PX = 8
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE = 0.45


def blank(width: int, height: int, colour: Colour = WHITE) -> Picture:
    """Return a picture of one colour."""
    return np.full((height, width, 3), colour, np.uint8)


def write(picture: Picture, text: str, at: tuple[int, int], colour: Colour = BLACK) -> None:
    """Write one line into a picture.

    :param at: left end of the base line, px.
    """
    cv2.putText(picture, _drawable(text), at, _FONT, _SCALE, colour, 1, cv2.LINE_AA)


def text_width(text: str) -> int:
    """Return the width of a line that `write` writes, px."""
    return int(cv2.getTextSize(_drawable(text), _FONT, _SCALE, 1)[0][0])


def _drawable(text: str) -> str:
    """Replace what is not UTF-8 in a name: OpenCV would end the process."""
    return text.encode('utf-8', 'replace').decode()


def caption(text: str, width: int, colour: Colour = BLACK) -> Picture:
    """Return a strip with one line of text; one too long loses its middle."""
    strip = blank(width, LINE_PX)
    shown, kept = text, len(text)
    while text_width(shown) > width - 4 and kept > 2:
        kept -= 1
        shown = f'{text[:kept - kept // 2]}..{text[len(text) - kept // 2:]}'
    write(strip, shown, (2, LINE_PX - 6), colour)
    return strip


def fitted(picture: Picture, width: int, height: int) -> Picture:
    """Bring a picture into a cell, its shape kept, grey beside it."""
    factor = min(width / picture.shape[1], height / picture.shape[0])
    inner = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    cell = blank(width, height, (225, 225, 225))
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    cell[top:top + inner[1], left:left + inner[0]] = cv2.resize(picture, inner, interpolation=way)
    return cell


def framed(picture: Picture, colour: Colour, thickness: int) -> Picture:
    """Return the picture with a frame around it."""
    return cv2.copyMakeBorder(picture, thickness, thickness, thickness, thickness,
                              cv2.BORDER_CONSTANT, value=colour).astype(np.uint8, copy=False)


def stacked(pictures: Sequence[Picture]) -> Picture:
    """Put pictures of any size below each other, left sides in line.

    :raises ValueError: no picture at all.
    """
    if not pictures:
        raise ValueError('nothing to draw')
    width = max(picture.shape[1] for picture in pictures)
    return np.vstack([_padded(picture, width, picture.shape[0]) for picture in pictures])


def sheet(rows: Sequence[Sequence[Picture]]) -> Picture:
    """Lay out rows of cells with gaps between them, on white.

    :raises ValueError: no cell at all.
    """
    strips = []
    for row in rows:
        height = max((cell.shape[0] for cell in row), default=0) + GAP_PX
        strips += [np.hstack([_padded(cell, cell.shape[1] + GAP_PX, height) for cell in row])
                   ] if row else []
    return cv2.copyMakeBorder(stacked(strips), GAP_PX, 0, GAP_PX, 0, cv2.BORDER_CONSTANT,
                              value=WHITE).astype(np.uint8, copy=False)


def _padded(picture: Picture, width: int, height: int) -> Picture:
    return cv2.copyMakeBorder(
        picture, 0, height - picture.shape[0], 0, width - picture.shape[1], cv2.BORDER_CONSTANT,
        value=WHITE).astype(np.uint8, copy=False)
