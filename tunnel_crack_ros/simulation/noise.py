# SPDX-License-Identifier: Apache-2.0
"""Endless noise on the lining: any place can be sampled alone and always reads the same."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tunnel_crack_ros.simulation.view import Plane, View


def lattice_noise(
    view: View, seed: int, cell_mm: float, stretch: float = 1.0,
) -> Plane:
    """Sample smooth value noise on the lining.

    Every node of a grid fixed to the lining has a random value, hashed from its place; pixels
    between nodes are interpolated. Two frames of the same place therefore agree.

    :param view: where to sample.
    :param seed: which noise, >= 0.
    :param cell_mm: distance of the nodes along x, mm: the size of the noise's features.
    :param stretch: distance of the nodes along s, in units of ``cell_mm``; above 1 for streaks
        that run around the ring.
    :return: height x width, about -1.7..1.7, mean 0, standard deviation near 0.7.
    """
    cell = np.array([cell_mm, cell_mm * stretch])
    # warpAffine rounds positions to 1/32 node: a cell wider than that would show as steps, so
    # coarse noise is sampled on a coarser view and enlarged.
    factor = int(cell.min() / view.mm_per_px / 5)
    if factor >= 2:
        coarse = view.coarser(factor)
        small = lattice_noise(coarse, seed, cell_mm, stretch)
        # A margin of edge rows is not needed: coarser() covers the frame, resize repeats edges.
        large = cv2.resize(
            small, (coarse.width * factor, coarse.height * factor),
            interpolation=cv2.INTER_CUBIC)
        return large[:view.height, :view.width]

    to_nodes = view.matrix / cell[:, None]
    if stretch == 1.0:
        # Each noise's grid is turned its own way, else their directions would show as a weave.
        turn = (seed % 1009) / 1009 * np.pi
        to_nodes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ (
            to_nodes)
    corners = to_nodes @ np.array([
        [0, view.width, 0, view.width], [0, 0, view.height, view.height], [1, 1, 1, 1]])
    first = np.floor(corners.min(axis=1)).astype(np.int64) - 2
    last = np.ceil(corners.max(axis=1)).astype(np.int64) + 3
    nodes = _hashed(seed, first, last)
    to_nodes[:, 2] -= first
    smooth = cell.min() > 3 * view.mm_per_px
    return cv2.warpAffine(
        nodes, to_nodes, (view.width, view.height),
        flags=(cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE)


def _hashed(seed: int, first: NDArray[np.int64], last: NDArray[np.int64]) -> Plane:
    """Give the grid nodes from ``first`` to ``last`` (x, s) their random values, +-sqrt(3)."""
    with np.errstate(over='ignore'):   # wrap-around is what mixes the bits
        columns = np.arange(first[0], last[0]).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        rows = np.arange(first[1], last[1]).astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
        key = np.uint64((seed * 0xD6E8FEB86659FD93) & (2**64 - 1))
        bits = (columns[None, :] ^ (rows[:, None] + key))
        bits ^= bits >> np.uint64(32)
        bits *= np.uint64(0xD6E8FEB86659FD93)
        bits ^= bits >> np.uint64(29)
        bits *= np.uint64(0x9E3779B97F4A7C15)
        bits >>= np.uint64(40)
    values = bits.astype(np.float32)
    values *= np.float32(2 * np.sqrt(3) / 2**24)
    values -= np.float32(np.sqrt(3))
    return values


def wander(
    rng: np.random.Generator, count: int, step_mm: float, correlation_mm: float,
) -> NDArray[np.float64]:
    """Draw a smooth random sequence along a line.

    :param count: number of values.
    :param step_mm: distance between two values, mm.
    :param correlation_mm: distance over which the values forget each other, mm.
    :return: ``count`` values, mean 0, standard deviation near 0.8.
    """
    knots = int(count * step_mm / correlation_mm) + 3
    start = rng.uniform(0, 1)
    places = start + np.arange(count) * (step_mm / correlation_mm)
    return np.interp(places, np.arange(knots), rng.standard_normal(knots))
