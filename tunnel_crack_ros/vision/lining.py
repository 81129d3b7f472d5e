# SPDX-License-Identifier: Apache-2.0
"""The lining as a camera sees it in one frame: where each pixel lies on it, and how sure that is.

Axes of the camera (REP 103, optical frame): x right, y down, z ahead. Axes of the lining at a
camera: `ahead` along the tunnel in the direction of travel, `around` it clockwise as seen when
looking ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
import math

import numpy as np

from tunnel_crack_ros.vision.camera import Camera, CameraError, Points
from tunnel_crack_ros.vision.depth import DepthError, DepthImage
from tunnel_crack_ros.vision.lining_surface import bent, Cylinder, Plane, Surface
from tunnel_crack_ros.vision.scale import Scale, ScaleSource

_OPTICAL_AXIS = np.array([0.0, 0.0, 1.0])
_NO_RAYS = ('camera_info: by its distortion no ray comes to the corners of the frame: nothing is '
            'measured in mm there, and the calibration is probably wrong')
_NO_PLANE = 'the depth image shows no lining: too few pixels with a depth, or no plane fits them'


@dataclass(frozen=True)
class LiningRules:
    """What is known of a camera's place before the lining. 0 means: not given."""

    mm_per_px: float = 0.0
    """On the optical axis, given outright, mm/px."""
    mm_per_px_sigma: float = 0.0
    """mm/px."""
    distance_m: float = 0.0
    """Along the optical axis to the lining, given outright, m."""
    distance_sigma_m: float = 0.0
    """Of the distance given, or of the sensor's constant error, m."""
    focal_sigma: float = 0.0
    """Of the focal length, as a share of it."""
    travel: float = 0.0
    """Direction of travel in the image, rad: 0 to the right, pi / 2 up."""
    tilt_ahead: float = 0.0
    """How far the optical axis is turned ahead off the lining's normal, rad."""
    tilt_around: float = 0.0
    """How far it is turned clockwise around the tunnel off the normal, rad."""
    tilt_sigma: float = 0.0
    """Of both, rad."""
    radius_m: float = 0.0
    """Of the tunnel, m; 0: the lining counts as flat."""


@dataclass(frozen=True)
class View:
    """One belief about the lining: its surface and how much wider rays are than calibrated."""

    surface: Surface
    ray_factor: float = 1.0

    def meet(self, rays: Points) -> Points:
        """Return where rays (N x 3, z = 1) meet the lining, N x 3, m; NaN: nowhere."""
        if self.ray_factor != 1.0:
            rays = rays * (self.ray_factor, self.ray_factor, 1.0)
        return self.surface.intersect(rays)


@dataclass(frozen=True)
class Lining:
    """The lining before a camera."""

    camera: Camera
    """Fitted to the frame."""
    best: View
    shifted: tuple[View, ...]
    """Each with one thing that is not known exactly off by one sigma."""
    source: ScaleSource
    rules: LiningRules = field(default_factory=LiningRules)
    depth: DepthImage | None = None

    def near(self, points_px: Points) -> Lining:
        """Return the lining around a crack: with a depth image, as it lies there.

        :param points_px: N x 2, of the crack's line, px.
        """
        if self.depth is None:
            return self
        fitted = self.depth.near(points_px, self.camera)
        if fitted is None:
            return self
        middle = self.camera.rays(points_px.mean(axis=0)[None])[0]
        best, shifted = _views(fitted.plane(), fitted.shifted(), middle, self.rules)
        return replace(self, best=best, shifted=shifted, depth=None)

    @property
    def scale(self) -> Scale:
        """Return the mm per pixel in the middle of the frame, as the root of a pixel's area."""
        middle = np.array([(self.camera.width - 1) / 2, (self.camera.height - 1) / 2])
        rays = self.camera.rays(middle + np.array([[-.5, 0], [.5, 0], [0, -.5], [0, .5]]))

        def mm_per_px(view: View) -> float:
            left, right, up, down = view.meet(rays)
            return 1000.0 * math.sqrt(float(np.linalg.norm(np.cross(right - left, down - up))))
        best = mm_per_px(self.best)
        if not math.isfinite(best):
            return Scale()
        sigma = math.sqrt(sum((mm_per_px(view) - best) ** 2 for view in self.shifted))
        # by some belief the lining is not there at all
        return Scale(best, sigma, self.source) if math.isfinite(sigma) else Scale()

    def ahead(self) -> Points:
        """Return the direction along the tunnel, 3, length 1, in the optical frame."""
        return _ahead_of(self.best.surface, self.rules)

    def plan(self, places: Points, view: View | None = None) -> Points:
        """Unroll places on the lining.

        :param places: N x 3, m, in the optical frame.
        :param view: that they were seen in; None: the best.
        :return: N x 2, m: along the tunnel from the camera's centre (without a calibration, from
            where the optical axis meets the lining), and around it, clockwise, from where the
            optical axis points. In a flat lining, straight sideways.
        """
        view = view or self.best
        surface = view.surface
        ahead = _ahead_of(surface, self.rules)
        out = _OPTICAL_AXIS - (_OPTICAL_AXIS @ ahead) * ahead
        out /= np.linalg.norm(out)
        around = np.cross(ahead, out)
        if isinstance(surface, Cylinder):
            offset = places - surface.centre
            across = surface.radius * np.arctan2(offset @ around, offset @ out)
        else:
            across = places @ around
        along = places @ ahead
        if not self.camera.calibrated:
            # how far away the camera is was made up: no distance along the tunnel follows from it
            along = along - float(view.meet(_OPTICAL_AXIS[None])[0] @ ahead)
        return np.column_stack([along, across])


def see_lining(camera: Camera | None, size: tuple[int, int], rules: LiningRules, *,
               range_m: float = math.nan, range_sigma_m: float = math.nan,
               depth: DepthImage | None = None) -> tuple[Lining | None, str]:
    """Find out where the lining is, from the first known: mm per px, distance, depth, range.

    :param camera: as calibrated; None: no calibration.
    :param size: width and height of the frame, px.
    :param rules: what was given.
    :param range_m: measured along the optical axis, m; NaN: not measured.
    :param range_sigma_m: as the sensor says itself; NaN or 0: it does not, the rules count.
    :param depth: depth image of the same moment.
    :return: the lining, None when nothing is known of it; and what had to be put up with, ''
        when all is well.
    """
    notes = []
    if camera is not None:
        try:
            fitted = camera.fitted_to(*size)
            if camera.width and (camera.width, camera.height) != size:
                notes.append(f'camera_info is for {camera.width} x {camera.height} px: scaled to '
                             f"the frame's {size[0]} x {size[1]}")
            camera = fitted
            right, bottom = size[0] - 1.0, size[1] - 1.0
            corners = np.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]])
            if not np.isfinite(camera.rays(corners)).all():
                notes.append(_NO_RAYS)
        except CameraError as error:
            notes.append(str(error))
            camera = None
    if depth is not None and camera is not None:
        try:
            depth.check_shape(camera)
        except DepthError as error:
            notes.append(str(error))
            depth = None
    lining, note = _seen(camera, size, rules, range_m, range_sigma_m, depth)
    return lining, '; '.join([*notes, *([note] if note else [])])


def _seen(camera: Camera | None, size: tuple[int, int], rules: LiningRules, range_m: float,
          range_sigma_m: float, depth: DepthImage | None) -> tuple[Lining | None, str]:
    if rules.mm_per_px > 0.0:
        known = camera or Camera.unknown(*size)
        focal = math.sqrt(known.fx * known.fy)
        # what was given holds whatever the focal length is
        return _tilted(known, rules.mm_per_px / 1000.0 * focal,
                       rules.mm_per_px_sigma / 1000.0 * focal, ScaleSource.PARAMETER,
                       replace(rules, focal_sigma=0.0)), ''
    if camera is None:
        return None, ''
    if rules.distance_m > 0.0:
        return _tilted(camera, rules.distance_m, rules.distance_sigma_m,
                       ScaleSource.CAMERA_INFO_DISTANCE, rules), ''
    note = ''
    if depth is not None:
        fitted = depth.everywhere(camera)
        if fitted is not None:
            middle = camera.rays(np.array([[(size[0] - 1) / 2, (size[1] - 1) / 2]]))[0]
            best, shifted = _views(fitted.plane(), fitted.shifted(), middle, rules)
            return Lining(camera, best, shifted, ScaleSource.CAMERA_INFO_DEPTH, rules, depth), ''
        note = _NO_PLANE
    if math.isfinite(range_m) and range_m > 0.0:
        sigma = range_sigma_m if range_sigma_m > 0.0 else rules.distance_sigma_m
        return _tilted(camera, range_m, sigma, ScaleSource.CAMERA_INFO_RANGE, rules), note
    return None, note


def _tilted(camera: Camera, distance_m: float, sigma_m: float, source: ScaleSource,
            rules: LiningRules) -> Lining:
    """Build the lining from a distance along the optical axis and the tilts given."""
    shifts = [replace(rules, tilt_ahead=rules.tilt_ahead + rules.tilt_sigma),
              replace(rules, tilt_around=rules.tilt_around + rules.tilt_sigma)] \
        if rules.tilt_sigma > 0.0 else []
    planes = [_plane(distance_m, shift) for shift in shifts]
    if sigma_m > 0.0:
        planes.append(_plane(distance_m + sigma_m, rules))
    # the distance is known: a constant error of it is among the planes already
    best, shifted = _views(_plane(distance_m, rules), planes, _OPTICAL_AXIS,
                           replace(rules, distance_sigma_m=0.0))
    return Lining(camera, best, shifted, source, rules)


def _plane(distance_m: float, rules: LiningRules) -> Plane:
    """Return the plane at a distance along the optical axis.

    Its normal comes of the optical axis, turned back against the travel, then anticlockwise about
    the tunnel: what lies ahead, or clockwise, of the axis is further away.
    """
    ahead = _in_image(rules)
    around = np.cross(ahead, _OPTICAL_AXIS)
    level = math.cos(rules.tilt_around)
    normal = level * math.cos(rules.tilt_ahead) * _OPTICAL_AXIS \
        - level * math.sin(rules.tilt_ahead) * ahead - math.sin(rules.tilt_around) * around
    return Plane(normal, distance_m * float(normal[2]))


def _views(plane: Plane, shifted: Sequence[Plane], middle: Points,
           rules: LiningRules) -> tuple[View, tuple[View, ...]]:
    """Return the best view and the shifted ones of some planes.

    They are bent to the tunnel's radius where one is given.

    :param middle: 3, the ray where plane and cylinder touch.
    :param rules: with the sensor's constant error of the distance, if planes leave it out.
    """
    def view(flat: Plane, factor: float = 1.0) -> View:
        if rules.radius_m <= 0.0:
            return View(flat, factor)
        place = flat.intersect(middle[None])[0]
        return View(bent(flat, place, _ahead_of(flat, rules), rules.radius_m), factor)

    others = [view(flat) for flat in shifted]
    if rules.distance_sigma_m > 0.0:
        depth = float(plane.intersect(_OPTICAL_AXIS[None])[0, 2])
        moved = 1.0 + rules.distance_sigma_m / depth
        others.append(view(Plane(plane.normal, plane.distance * moved)))
    if rules.focal_sigma > 0.0:
        others.append(view(plane, 1.0 / (1.0 + rules.focal_sigma)))
    return view(plane), tuple(others)


def _in_image(rules: LiningRules) -> Points:
    # rows count downwards: an angle that rises is one of falling y
    return np.array([math.cos(rules.travel), -math.sin(rules.travel), 0.0])


def _ahead_of(surface: Surface, rules: LiningRules) -> Points:
    """Return the direction of travel along a surface: what the image shows as `travel`."""
    if isinstance(surface, Cylinder):
        return surface.axis
    assert isinstance(surface, Plane)
    flat = _in_image(rules)
    ahead = flat * surface.normal[2] - _OPTICAL_AXIS * (flat @ surface.normal)
    return ahead / np.linalg.norm(ahead)
