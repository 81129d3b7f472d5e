# SPDX-License-Identifier: Apache-2.0
"""How far along the tunnel the vehicle was at the time of a frame, from its odometry."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
import math
import threading

from tunnel_crack_ros.vision.time_restart import began_again

AXIS, DISTANCE = 'axis', 'distance'
CHAINAGE_FROM = (AXIS, DISTANCE)
_KEPT = 20_000      # messages: some minutes, of which a frame needs two
_LEAP_M, _FASTEST = 1.0, 20.0     # m, m/s: a longer step is not driven
_STEP_S = 1.0       # from one message to the next, at most, where their clocks differ
_MAX_AGE_NS = 500_000_000   # odometry this far from a frame says nothing of it


@dataclass(frozen=True)
class ChainageRules:
    """How chainage follows from odometry."""

    source: str = AXIS
    """AXIS: the position, projected on the tunnel's axis; DISTANCE: the way travelled."""
    axis_heading: float = 0.0
    """Direction of the tunnel in odometry's frame, rad, from x towards y (REP 103)."""
    start_m: float = 0.0
    """Chainage at the origin of odometry's frame (AXIS), or at its first message (DISTANCE), m."""
    stamp_sigma_s: float = 0.0
    """Standard deviation of the time between the clocks of camera and odometry, s."""


@dataclass(frozen=True)
class Chainage:
    """A place along the tunnel."""

    metres: float = math.nan
    """m; NaN: not known."""
    sigma_m: float = math.nan
    """Standard deviation, m; NaN: not known."""


@dataclass(frozen=True)
class VehiclePose:
    """One odometry message (REP 105: of base_link in odom)."""

    stamp_ns: int
    position: tuple[float, float, float]
    """m."""
    orientation: tuple[float, float, float, float]
    """Quaternion x, y, z, w."""
    speed: float
    """Ahead, m/s."""
    covariance: tuple[float, float, float]
    """Of x, of x with y, of y, m^2; variances <= 0: not known."""

    @classmethod
    def of(cls, stamp_ns: int, position: Sequence[float], orientation: Sequence[float],
           speed: float, covariance: Sequence[float]) -> VehiclePose:
        """Make a pose from the fields of a message.

        :param covariance: of the pose, 6 x 6 by rows.
        """
        x, y, z = map(float, position)
        turn_x, turn_y, turn_z, turn_w = map(float, orientation)
        return cls(stamp_ns, (x, y, z), (turn_x, turn_y, turn_z, turn_w), float(speed),
                   (float(covariance[0]), float(covariance[1]), float(covariance[7])))

    @property
    def is_valid(self) -> bool:
        """Return whether place and time are numbers."""
        return self.stamp_ns > 0 and all(map(math.isfinite, (*self.position, *self.orientation)))

    def ahead(self) -> tuple[float, float]:
        """Return the direction that the vehicle looks in, level, length 1; (1, 0) when upright."""
        x, y, z, w = self.orientation
        across, along = 2.0 * (x * y + z * w), 1.0 - 2.0 * (y * y + z * z)
        size = math.hypot(along, across)
        return (along / size, across / size) if size > 1e-9 else (1.0, 0.0)

    def forward(self) -> tuple[float, float, float]:
        """Return the direction that the vehicle looks in, up or down slopes, too; length 1."""
        x, y, z, w = self.orientation
        square = x * x + y * y + z * z + w * w
        if square < 1e-9:
            return 1.0, 0.0, 0.0
        return ((w * w + x * x - y * y - z * z) / square, 2.0 * (x * y + z * w) / square,
                2.0 * (x * z - y * w) / square)


class OdometryHistory:
    """The latest poses of the vehicle, by the stamp of their header; for several threads."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._poses: list[tuple[int, VehiclePose]] = []
        # travelled up to a stamp, m, and the variance that leaps of the position left in it, m^2
        self._ways: dict[int, tuple[float, float]] = {}
        self._start = 0.0, 0.0  # the same of the first pose
        self._doubted: VehiclePose | None = None    # far older than the newest one, and alone

    def add(self, pose: VehiclePose) -> None:
        """Take a pose; one that is no number, or without a stamp, tells nothing.

        When time begins again, what was heard before is forgotten: each pose to come would be
        sorted in before all others, whose ways are summed anew. It takes two poses in a row to
        show that; one alone is late and tells nothing.
        """
        if not pose.is_valid:
            return
        with self._lock:
            newest = self._poses[-1][0] if self._poses else 0
            first, self._doubted = self._doubted, None
            if first is not None and pose.stamp_ns <= newest \
                    and not began_again(pose.stamp_ns, first.stamp_ns):
                self._begin_again(first, pose)
            elif began_again(pose.stamp_ns, newest):
                self._doubted = pose
                return
            if pose.stamp_ns not in self._ways:
                self._insert(pose)

    @property
    def heard(self) -> bool:
        """Return whether any pose came."""
        with self._lock:
            return bool(self._poses)

    def _begin_again(self, first: VehiclePose, second: VehiclePose) -> None:
        """Forget all poses; the way travelled goes on where only the clock was set back."""
        last = self._poses[-1][1]
        step_s = min(abs(second.stamp_ns - first.stamp_ns) / 1e9, _STEP_S)
        played_again = (first.stamp_ns, first) in self._poses   # also of a drive round a loop
        if played_again or math.dist(last.position, first.position) > _LEAP_M + _FASTEST * step_s:
            self._start = 0.0, 0.0
        else:
            travelled, variance = self._ways[last.stamp_ns]
            self._start = travelled + _way(last, first), variance
        self._poses.clear()
        self._ways.clear()
        self._insert(first)

    def _insert(self, pose: VehiclePose) -> None:
        place = bisect_right(self._poses, pose.stamp_ns, key=lambda entry: entry[0])
        insort(self._poses, (pose.stamp_ns, pose), key=lambda entry: entry[0])
        for i in range(place, len(self._poses)):    # one, unless it came late
            stamp, later = self._poses[i]
            if i == 0:
                self._ways[stamp] = self._start
                continue
            earlier, before = self._poses[i - 1]
            travelled, variance = self._ways[earlier]
            way, doubt = _bridge(before, later) if _leaps(before, later) else \
                (_way(before, later), 0.0)
            self._ways[stamp] = travelled + way, variance + doubt
        if len(self._poses) > _KEPT:
            for stamp, _ in self._poses[:-_KEPT // 2]:
                del self._ways[stamp]
            del self._poses[:-_KEPT // 2]

    def at(self, stamp_ns: int, rules: ChainageRules) -> Chainage:
        """Return the vehicle's chainage at a stamp.

        Between two poses by a straight line; after the last one by its speed, for half a second,
        with a sigma of half of what was driven since. So, too, before a leap: odometry that began
        anew at its origin.
        """
        with self._lock:
            place = bisect_right(self._poses, stamp_ns, key=lambda entry: entry[0])
            if stamp_ns <= 0 or place == 0:
                return Chainage()
            before = self._poses[place - 1][1]
            after = self._poses[place][1] if place < len(self._poses) else None
            if after is not None and _leaps(before, after):
                after = None
            (first, spread), (last, last_spread) = (
                (math.nan, math.nan) if pose is None else self._reckoned(pose, rules)
                for pose in (before, after))
        seconds = (stamp_ns - before.stamp_ns) / 1e9
        speed = before.speed if math.isfinite(before.speed) else 0.0
        if stamp_ns - before.stamp_ns > _MAX_AGE_NS:
            return Chainage()
        if after is not None and after.stamp_ns - stamp_ns <= _MAX_AGE_NS:
            gap = (after.stamp_ns - before.stamp_ns) / 1e9
            share = seconds / gap
            metres = first + share * (last - first)
            spread += share * (last_spread - spread)
            speed, guessed = (last - first) / gap, 0.0
        else:
            turned = 1.0 if rules.source == DISTANCE else _along(before.ahead(), rules)
            metres = first + turned * speed * seconds
            guessed = 0.5 * speed * seconds
        variance = spread + guessed ** 2 + (speed * rules.stamp_sigma_s) ** 2
        return Chainage(metres, math.sqrt(variance) if variance >= 0.0 else math.nan)

    def _reckoned(self, pose: VehiclePose, rules: ChainageRules) -> tuple[float, float]:
        """Return a pose's chainage, m, and its variance, m^2."""
        variance = _variance(pose, rules)
        if rules.source == DISTANCE:
            way, doubt = self._ways[pose.stamp_ns]
            return rules.start_m + way, variance + doubt
        return rules.start_m + _along(pose.position[:2], rules), variance


def _along(flat: Sequence[float], rules: ChainageRules) -> float:
    return flat[0] * math.cos(rules.axis_heading) + flat[1] * math.sin(rules.axis_heading)


def _way(before: VehiclePose, after: VehiclePose) -> float:
    """Return the way between two poses, m; < 0 when the vehicle went back.

    Only what lies along the vehicle counts: the size of a step never averages its noise out.
    """
    forward = [was + now for was, now in zip(before.forward(), after.forward())]
    way = sum((b - a) * f for a, b, f in zip(before.position, after.position, forward))
    return way / max(math.hypot(*forward), 1e-9)


def _leaps(before: VehiclePose, after: VehiclePose) -> bool:
    """Return whether no vehicle drives the step: odometry began anew, or was set elsewhere."""
    seconds = (after.stamp_ns - before.stamp_ns) / 1e9
    return math.dist(before.position, after.position) > _LEAP_M + _FASTEST * seconds


def _bridge(before: VehiclePose, after: VehiclePose) -> tuple[float, float]:
    """Return the way between two poses whose positions do not tell it.

    :return: m, and its variance with that of the way up to there, m^2: the covariances to come
        begin anew.
    """
    seconds = (after.stamp_ns - before.stamp_ns) / 1e9
    speeds = [pose.speed for pose in (before, after) if math.isfinite(pose.speed)]
    way = seconds * sum(speeds) / len(speeds) if speeds else 0.0
    sigma = 0.5 * way if speeds else _FASTEST * seconds
    return way, _variance(before, ChainageRules(DISTANCE)) + sigma ** 2


def _variance(pose: VehiclePose, rules: ChainageRules) -> float:
    """Return the variance along the tunnel, m^2; NaN: not known."""
    along, across = pose.ahead() if rules.source == DISTANCE else (
        math.cos(rules.axis_heading), math.sin(rules.axis_heading))
    xx, xy, yy = pose.covariance
    variance = along * along * xx + 2.0 * along * across * xy + across * across * yy
    return variance if math.isfinite(variance) and variance > 0.0 else math.nan
