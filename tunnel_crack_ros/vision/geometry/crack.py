# SPDX-License-Identifier: Apache-2.0
"""One measured crack."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
import math

import numpy as np
import numpy.typing as npt


class CrackKind(IntEnum):
    """Direction of a crack relative to the tunnel axis; numbers as in tunnel_crack_msgs/Crack."""

    UNKNOWN = 0
    LONGITUDINAL = 1
    CIRCUMFERENTIAL = 2
    OBLIQUE = 3
    BRANCHED = 4


@dataclass(frozen=True)
class Crack:
    """One connected crack in one frame. Millimetres are NaN when no scale is known."""

    id: int
    """Number within the frame, from 0, longest first."""
    confidence: float
    """Mean crack probability over the crack's pixels, 0..1."""
    bounding_box: tuple[int, int, int, int]
    """Left column, top row, width, height, px."""
    centre_line: npt.NDArray[np.float32]
    """K x 2, x and y of the vertices from end to end of the longest way through the crack, px;
    pixel centres are whole numbers."""
    widths_px: npt.NDArray[np.float32]
    """K, width across the line at every vertex, px."""
    length_px: float
    """Along the centre line, branches included, px."""
    width_mean_px: float
    width_p95_px: float
    width_max_px: float
    area_px: float
    """Number of pixels."""
    orientation: float
    """In the image, rad, -pi/2..pi/2: 0 along the rows, positive rising; NaN: none."""
    tortuosity: float
    """Length of the main line over the distance between its ends, >= 1; NaN when closed."""
    kind: CrackKind
    touches_border: bool
    """The crack reaches the frame's edge."""
    mm_per_px: float = math.nan
    length_sigma_px: float = math.nan
    """Standard deviation of length_px, px."""
    length_sigma_mm: float = math.nan
    """Of length_mm, mm, with the scale's own; NaN: no scale."""
    width_sigma_px: float = math.nan
    """Of width_mean_px, px."""
    width_sigma_mm: float = math.nan
    """Of width_mean_mm, mm, with the scale's own; NaN: no scale."""
    branches: tuple[npt.NDArray[np.float32], ...] = ()
    """Lines that leave the centre line, or lie beside it: each K x 2, as centre_line."""
    width_floor_px: float = 0.0
    """Smallest width that can be resolved, px: narrower ones have no value in mm."""

    @property
    def lines(self) -> tuple[npt.NDArray[np.float32], ...]:
        """Return all lines of the crack, the centre line first: each K x 2, px."""
        return (self.centre_line, *self.branches)

    @property
    def length_mm(self) -> float:
        """Return the length, mm; NaN: no scale."""
        return self.length_px * self.mm_per_px

    @property
    def width_mean_mm(self) -> float:
        """Return the mean width, mm; NaN: no scale, or below what can be resolved."""
        return self.in_mm(self.width_mean_px)

    @property
    def width_p95_mm(self) -> float:
        """Return the 95th percentile of the width, mm; NaN as above."""
        return self.in_mm(self.width_p95_px)

    @property
    def width_max_mm(self) -> float:
        """Return the largest width, mm; NaN as above."""
        return self.in_mm(self.width_max_px)

    @property
    def width_floor_mm(self) -> float:
        """Return the smallest width that can be resolved, mm; NaN: no scale."""
        return self.width_floor_px * self.mm_per_px

    @property
    def resolved(self) -> bool:
        """Return whether the mean width is large enough to be given as a number."""
        return self.width_mean_px >= self.width_floor_px * 0.999

    def in_mm(self, width_px: float) -> float:
        """Return a width of this crack, mm; NaN: no scale, or below what can be resolved."""
        # a whole number of pixels may come out a rounding error short
        return width_px * self.mm_per_px if width_px >= self.width_floor_px * 0.999 else math.nan

    @property
    def area_mm2(self) -> float:
        """Return the area, mm^2; NaN: no scale."""
        return self.area_px * self.mm_per_px ** 2
