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


def choose_scale(*, mm_per_px: float = 0.0, distance_m: float = 0.0,
                 focal_length_px: float = math.nan, range_m: float = math.nan) -> Scale:
    """Choose the scale from what is known: given outright, a given distance, a measured range.

    :param mm_per_px: given by the operator, mm/px; 0: not given.
    :param distance_m: camera to lining, given by the operator, m; 0: not given.
    :param focal_length_px: fx of the calibration, px; NaN: no calibration.
    :param range_m: camera to lining as measured, m; NaN: not measured or out of range.
    """
    if mm_per_px > 0.0:
        return Scale(mm_per_px, source=ScaleSource.PARAMETER)
    if distance_m > 0.0:
        return scale_from_distance(distance_m, focal_length_px, ScaleSource.CAMERA_INFO_DISTANCE)
    return scale_from_distance(range_m, focal_length_px, ScaleSource.CAMERA_INFO_RANGE)
