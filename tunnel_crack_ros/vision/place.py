# SPDX-License-Identifier: Apache-2.0
"""Where in the tunnel a crack is: chainage along it, clock position on the ring."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.odometry_history import Chainage

_HOURS_PER_RAD = 6.0 / math.pi


@dataclass(frozen=True)
class Place:
    """A place in the tunnel; NaN: not known."""

    chainage_m: float = math.nan
    """Of the middle of the crack's main line, m."""
    chainage_from_m: float = math.nan
    """Least of the main line, m."""
    chainage_to_m: float = math.nan
    """Greatest of the main line, m."""
    chainage_sigma_m: float = math.nan
    """Standard deviation of all three, m."""
    clock_h: float = math.nan
    """Of the middle, h, 0 <= clock_h < 12: 0 is the crown, 3 the right wall, looking ahead."""
    clock_sigma_h: float = math.nan
    """h."""
    line_m: npt.NDArray[np.float64] | None = None
    """K x 2, the crack's vertices on the unrolled lining, m: chainage, and arc from the crown,
    clockwise; None: one of both is not known."""


@dataclass(frozen=True)
class Mount:
    """How a camera sits on the vehicle, and what tunnel it looks at."""

    roll: float = 0.0
    """Where on the ring it looks, rad, about the direction of travel: 0 up, pi / 2 right."""
    roll_sigma: float = 0.0
    """rad."""
    ahead_m: float = 0.0
    """How far the camera's centre is ahead of the vehicle's own place, m."""
    radius_m: float = 0.0
    """Of the tunnel, m; 0: not known, and with it no clock position."""

    @property
    def clock_h(self) -> float:
        """Return where the optical axis points, h; NaN: no radius."""
        return clock_hours(self.roll) if self.radius_m > 0.0 else math.nan

    def chainage(self, vehicle: Chainage) -> Chainage:
        """Return the camera's chainage from the vehicle's."""
        return Chainage(vehicle.metres + self.ahead_m, vehicle.sigma_m)

    def place(self, plan_m: npt.NDArray[np.float64] | None, plan_sigma_m: tuple[float, float],
              camera: Chainage) -> Place:
        """Place a line on the lining in the tunnel.

        :param plan_m: K x 2, m, along and around the tunnel (see Crack.plan_m); None: no scale.
        :param plan_sigma_m: of both, m.
        :param camera: of the camera's centre.
        """
        if plan_m is None:
            return Place()
        ahead, around = plan_m[:, 0], float(plan_m[:, 1].mean())
        clock, clock_sigma, line = math.nan, math.nan, None
        if self.radius_m > 0.0:
            clock = clock_hours(self.roll + around / self.radius_m)
            clock_sigma = _HOURS_PER_RAD * math.hypot(self.roll_sigma,
                                                      plan_sigma_m[1] / self.radius_m)
            line = self.unrolled(plan_m, around, camera)
        return Place(
            camera.metres + float(ahead.mean()), camera.metres + float(ahead.min()),
            camera.metres + float(ahead.max()), math.hypot(camera.sigma_m, plan_sigma_m[0]),
            clock, clock_sigma, line)

    def unrolled(self, plan_m: npt.NDArray[np.float64] | None, around: float,
                 camera: Chainage) -> npt.NDArray[np.float64] | None:
        """Place vertices on the unrolled lining, as Place.line_m.

        :param plan_m: K x 2, m, along and around the tunnel; None: no scale.
        :param around: mean of the crack's main line, m; the crack stays whole at the cut.
        :param camera: of the camera's centre.
        """
        if plan_m is None or self.radius_m <= 0.0 or not math.isfinite(camera.metres):
            return None
        turn = 2.0 * math.pi * self.radius_m    # the cut is at the invert
        zero = self.roll * self.radius_m
        return np.column_stack([camera.metres + plan_m[:, 0],
                                zero + plan_m[:, 1] - turn * round((zero + around) / turn)])


def clock_hours(angle: float) -> float:
    """Return an angle from the crown, rad, clockwise, as hours on a clock's face, 0 <= h < 12."""
    hours = angle * _HOURS_PER_RAD % 12.0
    return hours if hours < 12.0 else 0.0   # a tiny negative angle's remainder rounds up to 12


def clock_text(hours: float) -> str:
    """Say hours on a clock's face as on a watch, to 5 minutes: 10:05."""
    minutes = round(hours * 12.0) * 5 % 720
    return f'{minutes // 60 or 12}:{minutes % 60:02d}'
