# SPDX-License-Identifier: Apache-2.0
"""What became of every frame of a camera, and how long each stage took."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
import threading
import time

import numpy as np

_KEPT = 512  # stage times kept for the median and 95th percentile


class CameraCounters:
    """Counts of one camera. Received = done + dropped (by reason) + waiting, at any time."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self.received = 0
        self.done = 0
        self.unknown = 0
        self.dropped: Counter[str] = Counter()
        """Reason -> frames: `overtaken` by a newer one, `bad input`, `model error`, ..."""
        self.lost_on_the_way = 0
        """Frames that the middleware reports as lost before they reached the node."""

    def receive(self) -> None:
        """Count a frame that came in."""
        with self._lock:
            self.received += 1

    def finish(self, unknown: bool = False) -> None:
        """Count a frame whose result was published."""
        with self._lock:
            self.done += 1
            self.unknown += unknown

    def drop(self, reason: str, frames: int = 1) -> None:
        """Count frames that get no result."""
        if frames:
            with self._lock:
                self.dropped[reason] += frames

    def lose(self, frames: int) -> None:
        """Count frames that the middleware lost."""
        with self._lock:
            self.lost_on_the_way += frames


class StageTimes:
    """Latest durations of the named stages of a node's work."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._seconds: dict[str, deque[float]] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time the block as one run of a stage."""
        start = time.perf_counter()
        yield
        self.add(stage, time.perf_counter() - start)

    def add(self, stage: str, seconds: float) -> None:
        """Add one duration, s."""
        with self._lock:
            self._seconds.setdefault(stage, deque(maxlen=_KEPT)).append(seconds)

    def summary(self) -> dict[str, tuple[float, float]]:
        """Return median and 95th percentile of every stage, ms."""
        with self._lock:
            kept = {stage: np.array(times) for stage, times in self._seconds.items()}
        return {stage: (float(np.median(t)) * 1e3, float(np.percentile(t, 95)) * 1e3)
                for stage, t in kept.items()}
