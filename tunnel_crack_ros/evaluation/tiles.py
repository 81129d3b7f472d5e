# SPDX-License-Identifier: Apache-2.0
"""Cut a labelled photograph into tiles, cracked and clean ones of the same wall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TILE_PX = 224           # the paper's input; fixed, so that all models are judged on the same tiles
SMALLEST_PX = 128
CRACKED_PX = 50         # labelled pixels that make a tile cracked; fewer, but some: left out


@dataclass(frozen=True, slots=True)
class Tile:
    """A piece of a photograph."""

    picture: npt.NDArray[np.uint8]  # H x W x 3, RGB; a view
    has_crack: bool


def cut_tiles(picture: npt.NDArray[np.uint8], label: npt.NDArray[np.bool_]) -> list[Tile]:
    """Cut the whole photograph into equal tiles with sides as near to 224 px as they can be.

    A tile is cracked from 50 labelled pixels on, and clean without any. Between the two a crack
    ends at the tile's border: such tiles are left out.

    :param picture: uint8, H x W x 3, RGB.
    :param label: bool, H x W, true where crack.
    :return: row by row; none when a side is below 128 px.
    """
    height, width = label.shape
    if min(height, width) < SMALLEST_PX:
        return []
    tiles = []
    for rows in _pieces(height):
        for columns in _pieces(width):
            crack_px = int(np.count_nonzero(label[rows, columns]))
            if crack_px == 0 or crack_px >= CRACKED_PX:
                tiles.append(Tile(picture[rows, columns], crack_px > 0))
    return tiles


def _pieces(length: int) -> list[slice]:
    count = max(1, int(length / TILE_PX + 0.5))     # pieces of 149 px and more
    edges = np.linspace(0, length, count + 1).round().astype(int)
    return [slice(a, b) for a, b in zip(edges[:-1], edges[1:])]
