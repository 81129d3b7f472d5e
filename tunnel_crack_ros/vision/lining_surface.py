# SPDX-License-Identifier: Apache-2.0
"""The shapes that a lining has before a camera. Metres, in the camera's optical frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


class Surface(Protocol):
    """A lining that rays from the camera meet."""

    def intersect(self, rays: Points) -> Points:
        """Return where rays (N x 3) from the camera meet the lining, N x 3, m; NaN: nowhere."""


@dataclass(frozen=True)
class Plane:
    """A flat lining: all points p with normal . p = distance."""

    normal: Points
    """3, length 1, away from the camera."""
    distance: float
    """From the camera, m, > 0."""

    def intersect(self, rays: Points) -> Points:
        """Return where rays (N x 3) from the camera meet the plane, N x 3, m; NaN: nowhere."""
        slope = rays @ self.normal
        with np.errstate(divide='ignore'):
            reach = np.where(slope > 1e-9, self.distance / slope, np.nan)
        return rays * reach[:, None]


@dataclass(frozen=True)
class Cylinder:
    """A round lining with the camera inside."""

    centre: Points
    """3, any point of the axis, m."""
    axis: Points
    """3, length 1, ahead along the tunnel."""
    radius: float
    """m, > 0."""

    def intersect(self, rays: Points) -> Points:
        """Return where rays (N x 3) from the camera meet the cylinder, N x 3, m; NaN: nowhere.

        |t r' - c'| = R with r' and c', ray and centre, across the axis; of both solutions the one
        further ahead, the inner side of the tunnel.
        """
        across = rays - np.outer(rays @ self.axis, self.axis)
        centre = self.centre - (self.centre @ self.axis) * self.axis
        square = np.einsum('ij,ij->i', across, across)
        half = across @ centre
        rest = half ** 2 - square * (centre @ centre - self.radius ** 2)
        with np.errstate(invalid='ignore', divide='ignore'):
            reach = (half + np.sqrt(rest)) / square
            return rays * np.where(reach > 0.0, reach, np.nan)[:, None]


def bent(plane: Plane, place: Points, ahead: Points, radius: float) -> Cylinder:
    """Bend a plane to the tunnel's round: the cylinder that touches it along a line.

    :param place: 3, a point of the plane on that line, m.
    :param ahead: 3, in the plane, length 1: along the tunnel.
    :param radius: of the tunnel, m.
    """
    return Cylinder(place - radius * plane.normal, ahead, radius)
