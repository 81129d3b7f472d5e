# SPDX-License-Identifier: Apache-2.0
"""Thin a mask to lines one pixel wide, in time linear in the mask's pixels.

Guo and Hall, "Parallel thinning with two-subiteration algorithms", CACM 32 (1989), algorithm A1.
Only pixels whose neighbourhood changed are looked at again, so wide pieces cost no more per
pixel than narrow ones, and empty image costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.pieces import Pieces

Indices = npt.NDArray[np.int64]
_MAX_LAYER = 65535  # what uint16 holds; no frame is that wide


@dataclass(frozen=True)
class Skeleton:
    """Pixels of the lines, in the order of their rows and columns."""

    rows: Indices
    """N."""
    columns: Indices
    """N."""
    labels: npt.NDArray[np.int32]
    """N, number of the piece that each thins."""
    depths: npt.NDArray[np.int32]
    """N, layers peeled off around each pixel: about half the local width, px."""


def thin(pieces: Pieces) -> Skeleton:
    """Thin every piece of a mask; each keeps at least one pixel."""
    pitch = pieces.shape[1] + 2
    # a border of one pixel; np.zeros takes no memory until it is written to
    size = (pieces.shape[0] + 2) * pitch
    flat, codes = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    depth, slot = np.zeros(size, np.uint16), np.zeros(size, np.int32)
    pixels = (pieces.rows + 1) * pitch + pieces.columns + 1
    flat[pixels] = 1
    steps = np.array([-pitch, -pitch + 1, 1, pitch + 1, pitch, pitch - 1, -1, -pitch - 1])
    around = _codes(flat, pixels, steps)
    codes[pixels] = around
    # what may go: pixels whose neighbourhood changed in this half step or the one before, as a
    # pixel that stays in one kind of half step may go in the other
    fresh = pixels[around != 255]
    older = fresh[:0]
    half_steps, idle = 0, 0
    while idle < 2:
        looked_at = np.concatenate([fresh, older])
        gone = looked_at[_REMOVABLE[half_steps % 2][codes[looked_at]]]
        layer = min(1 + half_steps // 2, _MAX_LAYER)
        half_steps += 1
        if not gone.size:
            older, fresh, idle = fresh, fresh[:0], idle + 1
            continue
        idle = 0
        flat[gone] = 0
        depth[gone] = layer
        near = (gone + steps[:, None]).ravel()
        np.subtract.at(codes, near, np.repeat(_OPPOSITE, gone.size))
        touched = near[flat[near] != 0]
        left = fresh[flat[fresh] != 0]
        # each is kept once: the last entry of a pixel wins
        order = np.arange(left.size + touched.size, dtype=np.int32)
        slot[left], slot[touched] = order[:left.size], order[left.size:]
        older = left[slot[left] == order[:left.size]]
        fresh = touched[slot[touched] == order[left.size:]]
    kept = np.flatnonzero(flat[pixels])
    there = np.zeros(pieces.count, bool)
    there[pieces.labels[kept]] = True
    if not there.all():  # thinned to nothing: an innermost pixel stands for the piece
        lost = np.flatnonzero(~there[pieces.labels])
        lost = lost[np.argsort(-depth[pixels[lost]].astype(np.int32), kind='stable')]
        _, first = np.unique(pieces.labels[lost], return_index=True)
        kept = np.sort(np.concatenate([kept, lost[first]]))
    deepest = depth[pixels[kept]]
    for step in steps:
        np.maximum(deepest, depth[pixels[kept] + step], out=deepest)
    return Skeleton(pieces.rows[kept], pieces.columns[kept], pieces.labels[kept],
                    deepest.astype(np.int32))


def _codes(flat: npt.NDArray[np.uint8], pixels: Indices, steps: Indices) -> npt.NDArray[np.uint8]:
    """Return one bit for each set neighbour of pixels."""
    codes = flat[pixels + steps[0]]
    for bit in range(1, 8):
        codes |= flat[pixels + steps[bit]] << np.uint8(bit)
    return codes


def _removable(half: int) -> npt.NDArray[np.bool_]:
    """Make the table of A1: neighbourhood code to whether its centre goes in this half step."""
    codes = np.arange(256)
    n, ne, e, se, s, sw, w, nw = ((codes >> bit & 1).astype(bool) for bit in range(8))
    crossings = ((~n & (ne | e)).astype(int) + (~e & (se | s)) + (~s & (sw | w))
                 + (~w & (nw | n)))
    one = (nw | n).astype(int) + (ne | e) + (se | s) + (sw | w)
    two = (n | ne).astype(int) + (e | se) + (s | sw) + (w | nw)
    around = np.minimum(one, two)
    guard = (s | sw | ~nw) & w if half == 0 else (n | ne | ~se) & e
    return (crossings == 1) & (around >= 2) & (around <= 3) & ~guard


# bit of a pixel in the code of each of its neighbours: to them it is the opposite one
_OPPOSITE = np.array([1 << (bit + 4) % 8 for bit in range(8)], np.uint8)
_REMOVABLE = (_removable(0), _removable(1))
