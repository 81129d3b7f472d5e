# SPDX-License-Identifier: Apache-2.0
"""The distance to the lining at the time of a frame, not at the time somebody asks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
import math
import threading

from tunnel_crack_ros.vision.time_restart import began_again

_KEPT = 1000


class RangeHistory:
    """The latest measured distances of one camera, by header stamp; for several threads."""

    def __init__(self, max_age_s: float = 1.0) -> None:
        """Start with none.

        :param max_age_s: an older measurement says nothing of a frame, s.
        """
        self._max_age_ns = round(max_age_s * 1e9)
        self._lock = threading.Lock()
        self._measured: list[tuple[int, float, float]] = []
        self._unstamped: tuple[float, float] | None = None

    def add(self, stamp_ns: int, distance_m: float, sigma_m: float = math.nan) -> None:
        """Take a measurement; it takes the place of one of the same stamp.

        When time begins again, what was measured before is forgotten: its later stamps would push
        out all that comes.

        :param stamp_ns: of its header, ns; 0 (a driver that does not stamp): it holds for every
            frame until the next one comes.
        :param distance_m: camera to lining, m; NaN: the sensor saw nothing.
        :param sigma_m: its standard deviation, as the sensor says, m; NaN: it does not.
        """
        with self._lock:
            self._unstamped = (distance_m, sigma_m) if stamp_ns == 0 else None
            if stamp_ns == 0:
                return
            if self._measured and began_again(stamp_ns, self._measured[-1][0]):
                self._measured.clear()
            first = bisect_left(self._measured, stamp_ns, key=lambda entry: entry[0])
            after = bisect_right(self._measured, stamp_ns, key=lambda entry: entry[0])
            self._measured[first:after] = [(stamp_ns, distance_m, sigma_m)]
            del self._measured[:-_KEPT]

    @property
    def heard(self) -> bool:
        """Return whether any measurement came."""
        with self._lock:
            return bool(self._measured) or self._unstamped is not None

    def at(self, stamp_ns: int) -> float:
        """Return the last distance measured up to a frame's stamp, m; NaN: none, or too old."""
        return self.measured_at(stamp_ns)[0]

    def measured_at(self, stamp_ns: int) -> tuple[float, float]:
        """Return the same with its standard deviation, m; NaN where there is none."""
        with self._lock:
            if self._unstamped is not None:
                return self._unstamped
            place = bisect_right(self._measured, stamp_ns, key=lambda entry: entry[0])
            if place == 0:
                return math.nan, math.nan
            measured_ns, distance_m, sigma_m = self._measured[place - 1]
        if stamp_ns - measured_ns > self._max_age_ns:
            return math.nan, math.nan
        return distance_m, sigma_m
