# SPDX-License-Identifier: Apache-2.0
"""The depth image of the time of a frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import threading

from tunnel_crack_ros.vision.depth import DepthError, DepthImage
from tunnel_crack_ros.vision.time_restart import began_again

_KEPT_NS = 5_000_000_000    # a frame waits for two networks before its depth is asked for
_KEPT_BYTES = 128_000_000   # 5 s of 848 x 480 px, 16UC1, at 30 Hz
_FEWEST = 10                # kept, however large
_MAX_AGE_NS = 100_000_000   # further from the frame, the vehicle has moved on


@dataclass(frozen=True)
class RecordedDepth:
    """One depth image, read only when a frame needs it."""

    stamp_ns: int
    """0 (a driver that does not stamp): it holds until the next one."""
    frame_id: str
    size: int
    """Bytes."""
    read: Callable[[], DepthImage]


class DepthHistory:
    """The latest depth images of one camera, by the stamp of their header; for several threads.

    Those of the last 5 s, as far as they fit into 128 MB, and in any case the last ten.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._images: deque[RecordedDepth] = deque()
        self._bytes = 0

    def add(self, image: RecordedDepth) -> None:
        """Take an image. When time begins again, those of before are forgotten."""
        with self._lock:
            last_ns = self._images[-1].stamp_ns if self._images else 0
            if 0 in (image.stamp_ns, last_ns) or began_again(image.stamp_ns, last_ns):
                self._images.clear()
                self._bytes = 0
            self._images.append(image)
            self._bytes += image.size
            while len(self._images) > _FEWEST and (
                    self._bytes > _KEPT_BYTES
                    or image.stamp_ns - self._images[0].stamp_ns > _KEPT_NS):
                self._bytes -= self._images.popleft().size

    def at(self, stamp_ns: int, frame_id: str) -> DepthImage | None:
        """Return the image nearest to a frame's stamp; None: none ever came.

        :param frame_id: of the frame; the depth must be registered to it (REP 118).
        :raises DepthError: none is within a tenth of a second of the frame, or the nearest is of
            another optical frame, or cannot be read.
        """
        with self._lock:
            if not self._images:
                return None
            found = min(self._images, key=lambda image: abs(image.stamp_ns - stamp_ns))
        if found.stamp_ns != 0 and abs(found.stamp_ns - stamp_ns) > _MAX_AGE_NS:
            # without the time between them: a note that is new for each frame would flood the log
            raise DepthError("no depth image within 0.1 s of the frame's stamp: the nearest is "
                             f"{'older' if found.stamp_ns < stamp_ns else 'newer'}")
        if found.frame_id and frame_id and found.frame_id != frame_id:
            raise DepthError(f"the depth image is of '{found.frame_id}', the frame of "
                             f"'{frame_id}': expected one registered to the frame")
        return found.read()
