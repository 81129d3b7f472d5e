# SPDX-License-Identifier: Apache-2.0
"""What an inspection keeps of one frame."""

from __future__ import annotations

from dataclasses import dataclass, field
import math

from tunnel_crack_ros.vision import Crack, Scale
from tunnel_crack_ros.vision.frame_measures import FrameMeasures


@dataclass
class FrameRecord:
    """What became of one frame."""

    name: str
    camera: str
    stamp: tuple[int, int]
    verdict: str
    """CRACK, NO_CRACK, UNKNOWN, or UNREADABLE for a frame that could not be decoded."""
    crack_probability: float = math.nan
    reason: str = ''
    measures: FrameMeasures = field(default_factory=FrameMeasures)

    @property
    def scale(self) -> Scale:
        """Return the mm per pixel in the middle of the frame."""
        return self.measures.scale

    @property
    def cracks(self) -> list[Crack]:
        """Return the cracks, longest first."""
        return self.measures.cracks
