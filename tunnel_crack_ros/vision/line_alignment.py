# SPDX-License-Identifier: Apache-2.0
"""Lay the lines of one frame onto those that other frames showed: a shift and a slight turn.

Iterated closest points (Besl and McKay, PAMI 1992), from point to line (Chen and Medioni 1992),
with what is known beforehand of shift and turn as a part of the sum; begun at several shifts,
those that bring the most of the lines onto each other.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_MOST_SAMPLES = 600     # of a frame that a shift is found by
_PARALLEL = math.cos(math.radians(30.0))
_BIN_M = 0.008          # shifts are first told apart by so much
_STARTS, _ROUNDS = 4, 9
_FITS_WELL = 0.75       # of what could fit does: no other start is tried
_NEEDED_M = 0.1         # so much more line must fit to move a frame as far as it may go
_TURN_SIGMA = 0.01      # rad
_NOISE_M = 0.003        # of a line against another frame's, once it is laid on it
_INDEPENDENT_M = 0.02   # along a line, its noise is about the same over so much
_PITCH = 1 << 31


@dataclass(frozen=True)
class Lines:
    """Samples along lines on the unrolled lining, N of them."""

    points: Points
    """N x 2, m: chainage, arc."""
    ways: Points
    """N x 2, direction of the line, length 1; 0, 0: it has none."""
    weights: Points
    """N, m of line that each stands for."""

    def some(self, which: Flags | Indices) -> Lines:
        """Return some of the samples."""
        return Lines(self.points[which], self.ways[which], self.weights[which])

    def parallel(self, own: Indices, other: Lines, of_other: Indices) -> Flags:
        """Return which pairs of samples run the same way, or the opposite one, or none."""
        first, second = self.ways[own], other.ways[of_other]
        cosine = np.abs((first * second).sum(axis=1))
        return (cosine >= _PARALLEL) | ~first.any(axis=1) | ~second.any(axis=1)


def neighbours(points: Points, others: Points, reach: float) -> tuple[Indices, Indices]:
    """Return all pairs of points that are at most so far apart, along either axis.

    :param points: N x 2, m.
    :param others: M x 2, m.
    :param reach: m.
    :return: indices into both, in the order of the first, then of the second.
    """
    if not len(points) or not len(others):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    origin = np.minimum(points.min(axis=0), others.min(axis=0)) - 2.0 * reach
    cells = np.floor((others - origin) / reach).astype(np.int64)
    keys = cells[:, 0] * _PITCH + cells[:, 1]
    order = np.argsort(keys, kind='stable')
    keys = keys[order]
    at = np.floor((points - origin) / reach).astype(np.int64)
    pairs = []
    for column in (-1, 0, 1):
        middle = (at[:, 0] + column) * _PITCH + at[:, 1]
        first = np.searchsorted(keys, middle - 1, 'left')
        count = np.searchsorted(keys, middle + 1, 'right') - first
        own = np.repeat(np.arange(len(points)), count)
        within = np.arange(len(own)) - np.repeat(np.cumsum(count) - count, count)
        pairs.append((own, order[np.repeat(first, count) + within]))
    own, other = (np.concatenate(sides) for sides in zip(*pairs))
    near = (np.abs(others[other] - points[own]) <= reach).all(axis=1)
    own, other = own[near], other[near]
    order = np.lexsort((other, own))
    return own[order], other[order]


def align(lines: Lines, known: Lines, centre: Points, bounds: Points, aside: float,
          close: float) -> Points:
    """Return by how much each sample of a frame has to be moved, N x 2, m.

    :param lines: of the frame.
    :param known: around it, of other frames.
    :param centre: the shift to expect, 2, m.
    :param bounds: how far from that it may be, along and around the tunnel, 2, m.
    :param aside: how far lines that are the same may lie beside each other then, m.
    :param close: how near they come where the shift is right, m; at most `aside`.
    """
    middle = lines.points.mean(axis=0)
    every = -(-len(lines.points) // _MOST_SAMPLES)
    chosen = lines.some(np.arange(len(lines.points))[every // 2::every])
    pairs = _Pairs.of(chosen, known, middle, centre, bounds, aside, close)
    best, motion = -math.inf, np.array([*centre, 0.0])
    for start in pairs.starts() if len(pairs.own) else []:
        refined, score = pairs.refined(start)
        if score > best + 1e-9:
            best, motion = score, refined
        if best >= _FITS_WELL * float(pairs.weights[pairs.groups].sum()):
            break
    return _moved(lines.points - middle, motion)


def _moved(arms: Points, motion: Points) -> Points:
    """Return the way that points go, N x 2, m, by a shift, 2, m, and a turn, rad."""
    return motion[:2] + motion[2] * np.column_stack([-arms[:, 1], arms[:, 0]])


@dataclass(frozen=True)
class _Pairs:
    """Samples of a frame and of what is known that might be the same place."""

    own: Indices
    """P, of the frame's samples, in order."""
    off: Points
    """P x 2, from the frame's sample to the known one, m."""
    normals: Points
    """P x 2, across the known line."""
    arms: Points
    """P x 2, of the frame's sample from the middle of the frame, m."""
    weights: Points
    """P, m of line that the frame's sample stands for."""
    groups: Indices
    """First pair of each of the frame's samples."""
    centre: Points
    bounds: Points
    aside: float
    close: float

    @classmethod
    def of(cls, lines: Lines, known: Lines, middle: Points, centre: Points, bounds: Points,
           aside: float, close: float) -> _Pairs:
        reach = float(bounds.max()) + aside
        shifted = lines.points + centre
        own, other = neighbours(shifted, known.points, reach)
        fits = lines.parallel(own, known, other) & (
            np.abs(known.points[other] - shifted[own]) <= bounds + aside).all(axis=1)
        own, other = own[fits], other[fits]
        ways = known.ways[other]
        return cls(own, known.points[other] - lines.points[own],
                   np.column_stack([-ways[:, 1], ways[:, 0]]), lines.points[own] - middle,
                   lines.weights[own], np.flatnonzero(np.diff(own, prepend=-1)), centre, bounds,
                   aside, close)

    def starts(self) -> list[Points]:
        """Return shifts to begin with: none, and those that the most pairs agree on."""
        half = np.ceil((self.bounds + self.aside) / _BIN_M).astype(int)
        size = 2 * half + 1
        cells = np.rint((self.off - self.centre) / _BIN_M).astype(int) + half
        counted = np.bincount(cells[:, 0] * size[1] + cells[:, 1], self.weights,
                              int(size.prod())).reshape(size)
        votes = np.asarray(cv2.boxFilter(counted, -1, (3, 3), normalize=False,
                                         borderType=cv2.BORDER_CONSTANT), np.float64)
        far = [(np.arange(-h, h + 1) * _BIN_M / bound) ** 2
               for h, bound in zip(half, self.bounds)]
        votes *= 1.0 - 0.3 * np.minimum(far[0][:, None] + far[1][None, :], 2.0)
        starts = [np.array([*self.centre, 0.0])]
        while len(starts) < _STARTS and votes.max() > 1e-9:
            cell = np.array(np.unravel_index(int(votes.argmax()), votes.shape))
            shift = np.clip((cell - half) * _BIN_M, -self.bounds, self.bounds)
            starts.append(np.array([*(self.centre + shift), 0.0]))
            low = np.maximum(cell - 2, 0)
            votes[low[0]:cell[0] + 3, low[1]:cell[1] + 3] = 0.0
        return starts

    def refined(self, motion: Points) -> tuple[Points, float]:
        """Improve a motion: shift, m, and turn, rad.

        :return: it, and how well it fits: m of line, less what it takes to believe it.
        """
        prior = np.array([*(2.0 / self.bounds) ** 2, _TURN_SIGMA ** -2])
        expected = np.array([*self.centre, 0.0])
        most = np.array([*self.bounds, 3.0 * _TURN_SIGMA])
        for number in range(_ROUNDS):
            reach = max(self.close, self.aside * (2.0 - number / 3.0))
            best, distance, off = self._nearest(motion, reach)
            if not best.size:
                break
            normals, arms = self.normals[best], self.arms[best]
            lever = normals[:, 1] * arms[:, 0] - normals[:, 0] * arms[:, 1]
            slopes = np.column_stack([normals, lever])
            trust = self.weights[best] * (1.0 - (distance / reach) ** 2) ** 2 \
                / (_INDEPENDENT_M * _NOISE_M ** 2)
            curvature = (slopes * trust[:, None]).T @ slopes + np.diag(prior)
            pull = (slopes * trust[:, None]).T @ (normals * off).sum(axis=1) \
                + prior * (expected - motion)
            step = np.linalg.solve(curvature, pull)
            motion = expected + np.clip(motion + step - expected, -most, most)
            if np.abs(step).max() < 1e-5:
                break
        # lines that only run along each other fit loosely, and the better the longer they do
        best, distance, _ = self._nearest(motion, self.close)
        fit = float((self.weights[best] * (1.0 - (distance / self.close) ** 2) ** 2).sum())
        return motion, fit - _NEEDED_M * float((((motion - expected) / most) ** 2).sum())

    def _nearest(self, motion: Points, reach: float) -> tuple[Indices, Points, Points]:
        """Return each sample's nearest pair within reach, its distance, m, and P x 2, m."""
        off = self.off - _moved(self.arms, motion)
        distance = np.hypot(*off.T)
        least = np.minimum.reduceat(distance, self.groups)
        counts = np.diff(self.groups, append=len(self.own))
        hits = np.flatnonzero((distance == np.repeat(least, counts)) & (distance <= reach))
        first = hits[np.diff(self.own[hits], prepend=-1) > 0]
        return first, distance[first], off[first]
