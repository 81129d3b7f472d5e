# SPDX-License-Identifier: Apache-2.0
"""The depth image of the time of a frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tunnel_crack_ros.vision.depth import DepthError, DepthImage

_KEPT = 10                  # images are large
_MAX_AGE_NS = 100_000_000   # further from the frame, the vehicle has moved on


@dataclass(frozen=True)
class RecordedDepth:
    """One depth image, read only when a frame needs it."""

    stamp_ns: int
    """0 (a driver that does not stamp): it holds until the next one."""
    frame_id: str
    read: Callable[[], DepthImage]


class DepthHistory:
    """The latest depth images of one camera."""

    def __init__(self) -> None:
        """Start with none."""
        self._images: deque[RecordedDepth] = deque(maxlen=_KEPT)

    def add(self, image: RecordedDepth) -> None:
        """Take an image."""
        self._images.append(image)

    def at(self, stamp_ns: int, frame_id: str) -> DepthImage | None:
        """Return the image nearest to a frame's stamp; None: none within a tenth of a second.

        :param frame_id: of the frame; the depth must be registered to it (REP 118).
        :raises DepthError: it is of another optical frame, or cannot be read.
        """
        images = list(self._images)
        if not images:
            return None
        if images[-1].stamp_ns == 0:
            found = images[-1]
        else:
            found = min(images, key=lambda image: abs(image.stamp_ns - stamp_ns))
            if abs(found.stamp_ns - stamp_ns) > _MAX_AGE_NS:
                return None
        if found.frame_id and frame_id and found.frame_id != frame_id:
            raise DepthError(f"the depth image is of '{found.frame_id}', the frame of "
                             f"'{frame_id}': expected one registered to the frame")
        return found.read()
