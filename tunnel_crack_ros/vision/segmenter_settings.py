# SPDX-License-Identifier: Apache-2.0
"""All that a user may set of stage 2: the segmenter node's parameters, and those of `process`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

from tunnel_crack_ros.vision.geometry.measure import MeasureRules
from tunnel_crack_ros.vision.geometry.strokes import Gaps
from tunnel_crack_ros.vision.lining import LiningRules
from tunnel_crack_ros.vision.odometry_history import AXIS, CHAINAGE_FROM, ChainageRules
from tunnel_crack_ros.vision.place import Mount
from tunnel_crack_ros.vision.settings import parameter

PER_CAMERA = ('axis_angle', 'tilt_ahead', 'tilt_around', 'camera_roll', 'camera_ahead_m')
"""Lists of one value for all cameras, or one for each in the order of `cameras`."""


@dataclass(frozen=True)
class SegmenterSettings:
    """Settings of the segmenter and of what is measured."""

    max_pixels: int = parameter(
        1_048_576, 'Larger frames are reduced to this many pixels for the network, px',
        low=65_536, high=100_000_000, live=True)
    min_area_px: int = parameter(
        30, "Smaller connected pieces of the mask are dropped, px at the frame's own size",
        low=1, high=100_000, live=True)
    enlarge: bool = parameter(
        True, "Frames are also seen enlarged, as far as max_pixels allows, where the model's card "
              'says so: more hairlines, in 2.7 times the time', live=True)
    mm_per_px: float = parameter(
        0.0, 'Millimetres of lining a pixel covers; 0: from camera_info and distance', low=0.0,
        high=1000.0, live=True)
    mm_per_px_sigma: float = parameter(
        0.0, 'Standard deviation of mm_per_px, mm/px; 0: it counts as exact', low=0.0,
        high=1000.0, live=True)
    lining_distance_m: float = parameter(
        0.0, 'Distance from the cameras to the lining, m; 0: from the topics <camera>/depth and '
             '<camera>/range', low=0.0, high=100.0, live=True)
    distance_sigma_m: float = parameter(
        0.01, 'Standard deviation of the distance given or measured, m; where a range message has '
              'a variance, that counts', low=0.0, high=10.0, live=True)
    focal_sigma: float = parameter(
        0.002, 'Standard deviation of the calibrated focal length, as a share of it', low=0.0,
        high=0.5, live=True)
    rectified: bool = parameter(
        False, 'Frames come rectified: the matrix P of camera_info holds, its distortion does not',
        live=True)
    axis_angle: list[float] = parameter(
        [0.0], "Direction of travel along the tunnel in each camera's image, rad; 0: to the "
               'right, pi/2: up', low=-math.pi, high=math.pi, live=True)
    longitudinal_below: float = parameter(
        0.5236, 'Cracks closer to the tunnel axis than this are longitudinal, rad',
        low=0.0, high=math.pi / 4, live=True)
    circumferential_above: float = parameter(
        1.0472, 'Cracks farther from the tunnel axis than this are circumferential, rad',
        low=math.pi / 4, high=math.pi / 2, live=True)
    bridge_gap_px: float = parameter(
        15.0, 'Gaps up to this between ends that face each other are bridged, px; 0: none',
        low=0.0, high=200.0, live=True)
    bridge_angle: float = parameter(
        0.5236, 'How far such ends may point past each other, rad', low=0.0, high=math.pi / 3,
        live=True)
    resolvable_px: float = parameter(
        1.0, 'Widths below this are not given in mm, px', low=0.0, high=20.0, live=True)
    mask_sigma_px: float = parameter(
        2.0, "Standard deviation of the width of the network's cracks against the true ones, px; "
             'part of the sigma of widths', low=0.0, high=20.0, live=True)
    tilt_ahead: list[float] = parameter(
        [0.0], "How far each camera looks ahead, off the lining's normal, rad; < 0: back",
        low=-1.2, high=1.2, live=True)
    tilt_around: list[float] = parameter(
        [0.0], 'How far each camera looks clockwise around the tunnel, off the normal, rad',
        low=-1.2, high=1.2, live=True)
    tilt_sigma: float = parameter(
        0.02, 'Standard deviation of both tilts, rad; not used with a depth image', low=0.0,
        high=0.5, live=True)
    tunnel_radius_m: float = parameter(
        0.0, 'Radius of the tunnel, m; 0: the lining counts as flat, and has no clock positions',
        low=0.0, high=100.0, live=True)
    camera_roll: list[float] = parameter(
        [0.0], 'Where on the ring each camera looks, clockwise looking ahead, rad; 0: at the '
               'crown, pi/2: right', low=-math.pi, high=math.pi, live=True)
    camera_roll_sigma: float = parameter(
        0.02, 'Standard deviation of camera_roll, rad', low=0.0, high=math.pi, live=True)
    camera_ahead_m: list[float] = parameter(
        [0.0], "How far each camera is ahead of odometry's own place on the vehicle, m",
        low=-100.0, high=100.0, live=True)
    chainage_from: str = parameter(
        AXIS, 'Chainage from the position along the tunnel axis, or from the distance travelled',
        choices=CHAINAGE_FROM, live=True)
    tunnel_heading: float = parameter(
        0.0, "Direction of the tunnel axis in odometry's frame, from x towards y, rad",
        low=-math.pi, high=math.pi, live=True)
    chainage_start_m: float = parameter(
        0.0, "Chainage of odometry's origin (axis) or of its first message (distance), m",
        low=-1e6, high=1e6, live=True)
    stamp_sigma_s: float = parameter(
        0.01, 'Standard deviation of the time between the stamps of frame and odometry, s',
        low=0.0, high=1.0, live=True)

    def contradiction(self, cameras: Sequence[str]) -> str:
        """Say what does not fit together; '' when all does."""
        for name in PER_CAMERA:
            count = len(getattr(self, name))
            if count not in (1, len(cameras)):
                return (f"parameter '{name}' has {count} values, expected 1 or one for each of "
                        f'the {len(cameras)} cameras')
        return ''

    def of_camera(self, camera: str, cameras: Sequence[str]) -> CameraSettings:
        """Return what holds for one camera.

        :param cameras: names in the order of the lists.
        :raises LookupError: it is not among them, and there are lists of several values.
        """
        lists = [getattr(self, name) for name in PER_CAMERA]
        if camera not in cameras and any(len(values) > 1 for values in lists):
            raise LookupError(f"camera '{camera}' is not among the parameter 'cameras' "
                              f"({', '.join(cameras) or 'empty'}), whose order the values for "
                              'each camera follow')
        axis, ahead, around, roll, forward = (
            values[list(cameras).index(camera)] if len(values) > 1 else values[0]
            for values in lists)
        return CameraSettings(
            MeasureRules(axis, self.longitudinal_below, self.circumferential_above,
                         Gaps(self.bridge_gap_px, self.bridge_angle), self.resolvable_px,
                         self.mask_sigma_px),
            LiningRules(self.mm_per_px, self.mm_per_px_sigma, self.lining_distance_m,
                        self.distance_sigma_m, self.focal_sigma, axis, ahead, around,
                        self.tilt_sigma, self.tunnel_radius_m),
            Mount(roll, self.camera_roll_sigma, forward, self.tunnel_radius_m),
            ChainageRules(self.chainage_from, self.tunnel_heading, self.chainage_start_m,
                          self.stamp_sigma_s),
            self.rectified)


@dataclass(frozen=True)
class CameraSettings:
    """What holds for one camera."""

    measure: MeasureRules
    lining: LiningRules
    mount: Mount
    chainage: ChainageRules
    rectified: bool
