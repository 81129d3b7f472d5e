# SPDX-License-Identifier: Apache-2.0
"""The connected pieces of a mask, found by runs along its rows: empty image costs next to nothing.

He, Chao, Suzuki, "A run-based two-scan labeling algorithm", IEEE TIP 17 (2008); here the runs'
graph is labelled instead of their pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Pieces:
    """The 8-connected pieces of a mask of H x W."""

    count: int
    rows: npt.NDArray[np.int64]
    """N, row of every pixel of the mask."""
    columns: npt.NDArray[np.int64]
    """N, column of every pixel."""
    labels: npt.NDArray[np.int32]
    """N, number of the piece of every pixel, from 0."""
    boxes: npt.NDArray[np.int64]
    """count x 4: left, top, width, height, px."""
    shape: tuple[int, int]


def find_pieces(mask: npt.NDArray[np.uint8]) -> Pieces:
    """Find the 8-connected pieces of a mask.

    :param mask: H x W, nonzero where crack.
    """
    height, width = mask.shape
    pixels = _nonzero(np.ascontiguousarray(mask).ravel())
    rows, columns = np.divmod(pixels, max(width, 1))
    if pixels.size == 0:
        return Pieces(0, rows, columns, np.zeros(0, np.int32), np.zeros((0, 4), np.int64),
                      (height, width))
    begins = np.ones(pixels.size, bool)
    begins[1:] = (np.diff(pixels) != 1) | (np.diff(rows) != 0)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], pixels.size) - 1
    row, left, right = rows[first], columns[first], columns[last]
    # runs of the row above that touch: those that end at left - 1 or later and begin at right + 1
    # or before; a row's runs are in order, so they are consecutive
    pitch = width + 3
    low = np.searchsorted(row * pitch + right, (row - 1) * pitch + left - 1)
    high = np.searchsorted(row * pitch + left, (row - 1) * pitch + right + 1, side='right')
    touching = np.maximum(high - low, 0)
    count, run_labels = _join(low, touching)
    order = np.argsort(run_labels, kind='stable')
    begin = np.searchsorted(run_labels[order], np.arange(count))
    rows_of = row[order]  # in order within each piece
    north, south = rows_of[begin], rows_of[np.append(begin[1:], first.size) - 1]
    west = np.minimum.reduceat(left[order], begin)
    east = np.maximum.reduceat(right[order], begin)
    boxes = np.column_stack([west, north, east - west + 1, south - north + 1])
    labels = np.repeat(run_labels, last - first + 1)
    return Pieces(count, rows, columns, labels.astype(np.int32), boxes, (height, width))


def _join(low: npt.NDArray[np.int64],
          touching: npt.NDArray[np.int64]) -> tuple[int, npt.NDArray[np.int64]]:
    """Give each run the number of its piece.

    Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm", J. Algorithms 3 (1982):
    trees of runs are hooked onto one another, and each run then points to its tree's root.

    :param low: N, the first run above that each run touches.
    :param touching: N, how many it touches, from that one on.
    :return: how many pieces there are, and the number of each run's, in the order of their first
        runs.
    """
    runs = np.arange(low.size)
    roots = _flat(np.where(touching > 0, low, runs))     # a tree each, but for where lines meet
    more = np.maximum(touching - 1, 0)
    here = np.repeat(runs, more)
    above = np.arange(here.size) + np.repeat(low + 1 - (np.cumsum(more) - more), more)
    while here.size:
        one, other = roots[here], roots[above]
        apart = one != other
        here, above, one, other = here[apart], above[apart], one[apart], other[apart]
        np.minimum.at(roots, np.maximum(one, other), np.minimum(one, other))
        roots = _flat(roots)
    is_root = roots == runs
    return int(is_root.sum()), (np.cumsum(is_root) - 1)[roots]


def _flat(parents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Let every run point to its root, halving the ways there until none is left."""
    while True:
        roots = parents[parents]
        if np.array_equal(roots, parents):
            return roots
        parents = roots


def _nonzero(flat: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return where an array is not 0, eight bytes at a time."""
    whole = flat.size // 8 * 8
    words = np.flatnonzero(flat[:whole].view(np.uint64))
    close = (words[:, None] * 8 + np.arange(8)).ravel()
    close = close[flat[close] != 0]
    return np.concatenate([close, whole + np.flatnonzero(flat[whole:])])
