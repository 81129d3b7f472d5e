# SPDX-License-Identifier: Apache-2.0
"""When an explanation has to stop: a deadline is kept by predicting what comes, conservatively."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import math
import time

_LAST = 16          # passes whose slowest is what the next one is taken to last
_MARGIN = 1.1       # times that, and times what the maps took
_FIRST_MAPS = 0.1   # share of the deadline kept for the maps before it is known what they take


class Stopped(Exception):
    """The deadline came, or somebody does not want the rest."""


class Timing:
    """The time left of one explanation."""

    def __init__(self, deadline_s: float | None, wanted: Callable[[], bool] | None) -> None:
        """Start the clock.

        :param deadline_s: from now; None: none.
        :param wanted: asked before every run of the network and, by another thread, while it
            lasts; False: stop.
        """
        self._start = time.monotonic()
        self._end = math.inf if deadline_s is None else self._start + deadline_s
        self._wanted = wanted
        self._passes: deque[float] = deque(maxlen=_LAST)
        self._maps = 0.0 if deadline_s is None else _FIRST_MAPS * deadline_s

    @property
    def elapsed_s(self) -> float:
        """Return the time since the start."""
        return time.monotonic() - self._start

    def took(self, seconds: float) -> None:
        """Note what a pass took, with all that belongs to it."""
        self._passes.append(seconds)

    def maps_took(self, seconds: float) -> None:
        """Note what it took to make the maps: that much is kept for the last ones."""
        self._maps = seconds

    def check(self, passes: int = 1) -> None:
        """Make sure that so many passes may begin.

        :raises Stopped: they would end too late, or nobody wants them.
        """
        if self._wanted is not None and not self._wanted():
            raise Stopped
        pass_s = max(self._passes, default=0.0)
        if time.monotonic() + _MARGIN * (passes * pass_s + self._maps) > self._end:
            raise Stopped

    @property
    def overdue(self) -> bool:
        """Return whether even a pass under way should end; the first two may take their time."""
        if self._wanted is not None and not self._wanted():
            return True
        return bool(self._passes) and time.monotonic() > self._end

    @property
    def late(self) -> bool:
        """Return whether there is no time left for anything but maps."""
        return time.monotonic() + self._maps > self._end
