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
