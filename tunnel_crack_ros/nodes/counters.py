# SPDX-License-Identifier: Apache-2.0
"""What became of every frame of a camera, and how long each stage took."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import threading
import time

import numpy as np

_KEPT = 512  # stage times kept for the median and 95th percentile


@dataclass(frozen=True)
class Counts:
    """What became of one camera's frames. Received = done + dropped + waiting."""

    received: int
    done: int
    unknown: int
    """Of those done, the frames that could not be judged."""
    dropped: dict[str, int]
    """Reason -> frames: `overtaken` by a newer one, `bad input`, `model error`, ..."""
    lost_on_the_way: int
    """Frames that never reached the node: as the middleware or the publisher's numbers tell."""
    busy_s: float = 0.0
    """For how long the worker has had a frame in hand, s; 0: it has none."""

    @property
    def waiting(self) -> int:
        """Return how many frames wait for the worker or are being worked on."""
        return self.received - self.done - sum(self.dropped.values())


class CameraCounters:
    """Counts of one camera's frames, written by several threads."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._received = self._done = self._unknown = self._lost = 0
        self._dropped: Counter[str] = Counter()
        self._begun_s: float | None = None

    def receive(self) -> None:
        """Count a frame that came in."""
        with self._lock:
            self._received += 1

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        """Count the time of the block as work on one frame."""
        self._begun_s = time.monotonic()
        try:
            yield
        finally:
            self._begun_s = None

    def finish(self, unknown: bool = False) -> None:
        """Count a frame whose result was published."""
        with self._lock:
            self._done += 1
            self._unknown += unknown

    def drop(self, reason: str, frames: int = 1) -> None:
        """Count frames that get no result."""
        if frames:
            with self._lock:
                self._dropped[reason] += frames

    def lose(self, frames: int) -> None:
        """Count frames that were lost before they reached the node."""
        with self._lock:
            self._lost += frames

    def counts(self) -> Counts:
        """Return all counts of one moment."""
        begun_s = self._begun_s
        busy_s = 0.0 if begun_s is None else time.monotonic() - begun_s
        with self._lock:
            return Counts(self._received, self._done, self._unknown, dict(self._dropped),
                          self._lost, busy_s)


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
