# SPDX-License-Identifier: Apache-2.0
"""Which channels of a layer see alike, so that one can speak for many."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

_SIDE = 16      # of the small maps that are compared, px
_ROUNDS = 10    # of k-means


def small_maps(activations: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return every channel's mask at 16 x 16, as one row of 256 numbers.

    :param activations: float32, C x h x w, no channel constant.
    :return: float64, C x 256, each row from 0 to 1 before it was made small.
    """
    rows = np.empty((len(activations), _SIDE * _SIDE))
    for row, channel in zip(rows, activations):
        low, high = float(channel.min()), float(channel.max())
        shrinks = min(channel.shape) >= _SIDE
        small = cv2.resize(channel, (_SIDE, _SIDE),
                           interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        row[:] = (small.ravel() - low) / (high - low)
    return rows


def medoids(maps: npt.NDArray[np.float64], groups: int,
            energy: npt.NDArray[np.float64]) -> list[int]:
    """Return one channel of each group of like ones, those first that most depends on.

    k-means with a start that depends on nothing but the maps: the same picture gives the same
    channels.

    :param maps: float64, C x n.
    :param groups: how many, 1..C.
    :param energy: how much a channel moves the heat map, >= 0, C.
    :return: indices, no channel twice.
    """
    centres = maps[_spread(maps, groups, int(np.argmax(energy)))]
    for _ in range(_ROUNDS):
        nearest = _distances(maps, centres).argmin(1)
        centres = np.stack([
            np.average(maps[nearest == group], axis=0, weights=energy[nearest == group] + 1e-12)
            if (nearest == group).any() else centres[group] for group in range(groups)])
    distances = _distances(maps, centres)
    nearest = distances.argmin(1)
    weight = np.bincount(nearest, weights=energy, minlength=groups)
    chosen: list[int] = []
    for group in np.argsort(-weight):
        members = np.flatnonzero(nearest == group)
        if members.size:
            chosen.append(int(members[distances[members, group].argmin()]))
    return chosen


def _spread(maps: npt.NDArray[np.float64], groups: int, first: int) -> list[int]:
    """Return channels far from each other, each the farthest from those before it."""
    chosen = [first]
    distance = _distances(maps, maps[chosen])[:, 0]
    while len(chosen) < groups:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, _distances(maps, maps[chosen[-1:]])[:, 0])
    return chosen


def _distances(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64],
               ) -> npt.NDArray[np.float64]:
    """Return squared distances of rows, len(a) x len(b)."""
    return np.maximum((a * a).sum(1)[:, None] - 2.0 * a @ b.T + (b * b).sum(1)[None], 0.0)
