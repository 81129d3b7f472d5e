# SPDX-License-Identifier: Apache-2.0
"""One measured crack."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
import math

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.place import Place
from tunnel_crack_ros.vision.scale import Scale


class CrackKind(IntEnum):
    """Direction of a crack relative to the tunnel axis; numbers as in tunnel_crack_msgs/Crack."""

    UNKNOWN = 0
    LONGITUDINAL = 1
    CIRCUMFERENTIAL = 2
    OBLIQUE = 3
    BRANCHED = 4


@dataclass(frozen=True)
class Branch:
    """A line that leaves a crack's centre line, or lies beside it across a bridged gap."""

    points: npt.NDArray[np.float32]
    """K x 2, x and y of the vertices from end to end, px."""
    widths_px: npt.NDArray[np.float32]
    """K."""
    widths_mm: npt.NDArray[np.float32] | None = None
    """K; NaN below what can be resolved; None: no scale."""
    places_m: npt.NDArray[np.float32] | None = None
    """K x 3, see Crack.places_m."""
    plan_m: npt.NDArray[np.float64] | None = None
    """K x 2, see Crack.plan_m."""
    line_m: npt.NDArray[np.float64] | None = None
    """K x 2, see Place.line_m."""


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
    length_sigma_px: float = math.nan
    """Standard deviation of length_px, px."""
    width_sigma_px: float = math.nan
    """Of width_mean_px, px."""
    branches: tuple[Branch, ...] = ()
    width_floor_px: float = 0.0
    """Smallest width that can be resolved, px: narrower ones have no value in mm."""
    scale: Scale = field(default_factory=Scale)
    """Length on the lining for a pixel along the crack, with sigma and source."""
    length_mm: float = math.nan
    length_sigma_mm: float = math.nan
    """Of length_mm, mm, with the scale's own; NaN: no scale."""
    width_mean_mm: float = math.nan
    """NaN: no scale, or below what can be resolved."""
    width_p95_mm: float = math.nan
    """NaN as above."""
    width_max_mm: float = math.nan
    """NaN as above."""
    width_sigma_mm: float = math.nan
    """Of the mean width, mm, with the scale's own; NaN: no scale."""
    width_floor_mm: float = math.nan
    """Smallest width that can be resolved across this crack, mm; NaN: no scale."""
    area_mm2: float = math.nan
    widths_mm: npt.NDArray[np.float32] | None = None
    """K, as widths_px; NaN below what can be resolved; None: no scale."""
    places_m: npt.NDArray[np.float32] | None = None
    """K x 3, the vertices on the lining, m, in the camera's optical frame; None: not known."""
    plan_m: npt.NDArray[np.float64] | None = None
    """K x 2, the vertices on the unrolled lining, m: along the tunnel from the camera, and
    around it, clockwise, from where the camera points; None: no scale."""
    plan_sigma_m: tuple[float, float] = (math.nan, math.nan)
    """Of both, m."""
    place: Place = field(default_factory=Place)
    """Where in the tunnel it is."""

    @property
    def lines(self) -> tuple[npt.NDArray[np.float32], ...]:
        """Return all lines of the crack, the centre line first: each K x 2, px."""
        return (self.centre_line, *(branch.points for branch in self.branches))

    @property
    def mm_per_px(self) -> float:
        """Return the mm of length for a pixel along the crack; NaN: no scale."""
        return self.scale.mm_per_px

    @property
    def resolved(self) -> bool:
        """Return whether the mean width is large enough to be given as a number."""
        return self.is_resolved(self.width_mean_px)

    def is_resolved(self, width_px: float) -> bool:
        """Return whether a width of this crack, px, is large enough to be given in mm."""
        # a whole number of pixels may come out a rounding error short
        return width_px >= self.width_floor_px * 0.999
