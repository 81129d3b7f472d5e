# SPDX-License-Identifier: Apache-2.0
"""How many millimetres of lining one pixel covers, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
import math


class ScaleSource(IntEnum):
    """Where a scale comes from; numbers as in tunnel_crack_msgs/CrackArray."""

    NONE = 0
    PARAMETER = 1
    CAMERA_INFO_RANGE = 2
    CAMERA_INFO_DISTANCE = 3
    CAMERA_INFO_DEPTH = 4


@dataclass(frozen=True)
class Scale:
    """Millimetres on the lining per pixel."""

    mm_per_px: float = math.nan
    """mm/px; NaN when unknown."""
    sigma: float = math.nan
    """Standard deviation of mm_per_px, mm/px; NaN when unknown."""
    source: ScaleSource = ScaleSource.NONE

    @property
    def known(self) -> bool:
        """Return whether there is a scale at all."""
        return self.source is not ScaleSource.NONE


def scale_from_distance(distance_m: float, focal_length_px: float, source: ScaleSource,
                        distance_sigma_m: float = math.nan) -> Scale:
    """Scale of a lining seen head on by a pinhole camera: distance over focal length.

    :param distance_m: from the camera's centre to the lining along the optical axis, m, > 0.
    :param focal_length_px: the camera matrix's fx, px, > 0.
    :param source: what gave the distance.
    :param distance_sigma_m: standard deviation of the distance, m; NaN when unknown.
    :return: the scale, or no scale where distance or focal length is not a positive number.
    """
    if not (math.isfinite(distance_m) and distance_m > 0.0 and focal_length_px > 0.0):
        return Scale()
    per_metre = 1000.0 / focal_length_px
    return Scale(distance_m * per_metre, distance_sigma_m * per_metre, source)
