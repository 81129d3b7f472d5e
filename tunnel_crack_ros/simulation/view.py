# SPDX-License-Identifier: Apache-2.0
"""What one camera sees of the unrolled lining: pixels to millimetres and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[Any]
"""Something of every pixel: height x width, float32."""


class Bounds(NamedTuple):
    """A rectangle on the unrolled lining, mm."""

    x_min: float
    x_max: float
    s_min: float
    s_max: float

    def grown(self, margin: float) -> Bounds:
        """Return the rectangle with ``margin`` mm more on every side."""
        return Bounds(
            self.x_min - margin, self.x_max + margin, self.s_min - margin, self.s_max + margin)

    def overlaps(self, other: Bounds) -> bool:
        """Tell whether the two rectangles share a point."""
        return (self.x_min <= other.x_max and other.x_min <= self.x_max
                and self.s_min <= other.s_max and other.s_min <= self.s_max)


@dataclass(frozen=True)
class View:
    """One camera frame's place on the unrolled lining.

    Lining coordinates are (x, s) in mm: x is the chainage along the tunnel, s the arc from the
    crown, positive towards the left wall. Pixel (0, 0) is the centre of the first pixel.

    :param x: chainage of the frame's centre, mm.
    :param s: arc of the frame's centre, mm.
    :param mm_per_px: size of a pixel on the lining, mm.
    :param roll: turn of the image on the lining, rad; at 0 columns grow with x and rows with s.
    :param width: columns.
    :param height: rows.
    :param down: which way water runs: +1 when s grows downwards (left wall), -1 on the right wall.
    """

    x: float
    s: float
    mm_per_px: float
    roll: float
    width: int
    height: int
    down: int = 1

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """2 x 3 matrix from pixels (column, row, 1) to lining mm."""
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        turn = self.mm_per_px * np.array([[cos, -sin], [sin, cos]])
        centre = np.array([(self.width - 1) / 2, (self.height - 1) / 2])
        return np.column_stack([turn, np.array([self.x, self.s]) - turn @ centre])

    @cached_property
    def inverse(self) -> NDArray[np.float64]:
        """2 x 3 matrix from lining mm to pixels."""
        turn = np.linalg.inv(self.matrix[:, :2])
        return np.column_stack([turn, -turn @ self.matrix[:, 2]])

    @cached_property
    def x_grid(self) -> Plane:
        """Chainage of every pixel minus that of the centre, height x width, mm.

        Relative to the centre: float32 would lose tenths of a millimetre after a kilometre.
        """
        return self._grid(0)

    @cached_property
    def s_grid(self) -> Plane:
        """Arc of every pixel minus that of the centre, height x width, mm."""
        return self._grid(1)

    def _grid(self, axis: int) -> Plane:
        columns = np.arange(self.width) - (self.width - 1) / 2
        rows = np.arange(self.height) - (self.height - 1) / 2
        step = self.matrix[axis]
        return (step[0] * columns[None, :] + step[1] * rows[:, None]).astype(np.float32)

    @cached_property
    def bounds(self) -> Bounds:
        """Smallest upright rectangle of the lining that holds the frame."""
        corners = self.to_lining(np.array([
            [-0.5, -0.5], [self.width - 0.5, -0.5],
            [-0.5, self.height - 0.5], [self.width - 0.5, self.height - 0.5]]))
        (x_min, s_min), (x_max, s_max) = corners.min(axis=0), corners.max(axis=0)
        return Bounds(float(x_min), float(x_max), float(s_min), float(s_max))

    def to_px(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert N x 2 lining points (x, s), mm, to pixels (column, row)."""
        return points_mm @ self.inverse[:, :2].T + self.inverse[:, 2]

    def to_lining(self, points_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert N x 2 pixels (column, row) to lining points (x, s), mm."""
        return points_px @ self.matrix[:, :2].T + self.matrix[:, 2]

    def cropped(self, left: int, top: int, right: int, bottom: int) -> View:
        """Return the view of columns left..right - 1 and rows top..bottom - 1 only."""
        centre = np.array([[(left + right - 1) / 2, (top + bottom - 1) / 2]])
        x, s = self.to_lining(centre)[0]
        return replace(
            self, x=float(x), s=float(s), width=right - left, height=bottom - top)

    def coarser(self, factor: int) -> View:
        """Return the same piece of lining with ``factor`` times fewer columns and rows.

        The size is rounded up, so the coarse view may reach past the right and lower edges.
        """
        width, height = -(-self.width // factor), -(-self.height // factor)
        offset = np.array([width * factor - self.width, height * factor - self.height]) / 2
        x, s = self.matrix[:, :2] @ offset + (self.x, self.s)
        return replace(
            self, x=float(x), s=float(s), mm_per_px=self.mm_per_px * factor,
            width=width, height=height)
