# SPDX-License-Identifier: Apache-2.0
"""All that is measured of one frame: live and from a recording, by the same code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
import math

from tunnel_crack_ros.vision.camera import Camera, CameraError
from tunnel_crack_ros.vision.depth import DepthError, DepthImage
from tunnel_crack_ros.vision.depth_history import DepthHistory
from tunnel_crack_ros.vision.geometry.crack import Crack
from tunnel_crack_ros.vision.geometry.measure import measure_cracks
from tunnel_crack_ros.vision.lining import see_lining
from tunnel_crack_ros.vision.odometry_history import Chainage, OdometryHistory
from tunnel_crack_ros.vision.place import Mount
from tunnel_crack_ros.vision.range_history import RangeHistory
from tunnel_crack_ros.vision.scale import Scale
from tunnel_crack_ros.vision.segmenter import Segmentation
from tunnel_crack_ros.vision.segmenter_settings import CameraSettings


@dataclass(frozen=True)
class Calibration:
    """The fields of a sensor_msgs/CameraInfo; see Camera.from_calibration."""

    k: Sequence[float]
    d: Sequence[float] = ()
    model: str = ''
    p: Sequence[float] = ()
    width: int = 0
    height: int = 0
    binning: tuple[int, int] = (1, 1)
    region: tuple[int, int, int, int] = (0, 0, 0, 0)

    def camera(self, rectified: bool) -> Camera:
        """Return the camera.

        :raises CameraError: no focal length, or an unknown distortion model.
        """
        return Camera.from_calibration(
            k=self.k, d=self.d, model=self.model, p=self.p, width=self.width, height=self.height,
            binning=self.binning, region=self.region, rectified=rectified)


@dataclass
class CameraSensors:
    """What was said of one camera, and of the lining before it, over time."""

    calibration: Calibration | None = None
    ranges: RangeHistory = field(default_factory=RangeHistory)
    depths: DepthHistory = field(default_factory=DepthHistory)

    def at(self, stamp_ns: int, frame_id: str, odometry: OdometryHistory) -> Sensed:
        """Return what holds for a frame."""
        depth, note = None, ''
        try:
            depth = self.depths.at(stamp_ns, frame_id)
        except DepthError as error:
            note = str(error)
        range_m, range_sigma_m = self.ranges.measured_at(stamp_ns)
        return Sensed(self.calibration, range_m, range_sigma_m, depth, note, odometry, stamp_ns,
                      self.ranges.heard and math.isnan(range_m))


@dataclass(frozen=True)
class Sensed:
    """What the sensors say of one frame's moment."""

    calibration: Calibration | None = None
    range_m: float = math.nan
    """Camera to lining, m; NaN: not measured."""
    range_sigma_m: float = math.nan
    depth: DepthImage | None = None
    note: str = ''
    """What is wrong with it."""
    odometry: OdometryHistory = field(default_factory=OdometryHistory)
    stamp_ns: int = 0
    range_is_missing: bool = False
    """The sensor was heard, but not of this moment, or it saw nothing."""


@dataclass(frozen=True)
class FrameMeasures:
    """The cracks of one frame, and where it was taken."""

    cracks: list[Crack] = field(default_factory=list)
    """Longest first."""
    scale: Scale = field(default_factory=Scale)
    """In the middle of the frame."""
    note: str = ''
    """What is wrong with calibration, depth, range or odometry."""
    chainage: Chainage = field(default_factory=Chainage)
    """Of the camera."""
    clock_h: float = math.nan
    """Where the optical axis points, h; NaN: no tunnel radius."""


def measure_frame(segmentation: Segmentation, sensed: Sensed,
                  settings: CameraSettings) -> FrameMeasures:
    """Measure the cracks of a frame and place them in the tunnel."""
    notes = [sensed.note] if sensed.note else []
    camera = None
    if sensed.calibration is not None:
        try:
            camera = sensed.calibration.camera(settings.rectified)
        except CameraError as error:
            notes.append(str(error))
    height, width = segmentation.mask.shape
    lining, note = see_lining(camera, (width, height), settings.lining, range_m=sensed.range_m,
                              range_sigma_m=sensed.range_sigma_m, depth=sensed.depth)
    if note:
        notes.append(note)
    if lining is None and sensed.calibration is None and (
            settings.lining.distance_m > 0.0 or math.isfinite(sensed.range_m)
            or sensed.depth is not None):
        notes.append('no camera_info: the distance to the lining is known, millimetres are not')
    if lining is None and sensed.range_is_missing:
        notes.append("no valid range within 1 s before the frame's stamp: no scale")
    cracks = measure_cracks(segmentation, lining, settings.measure)
    chainage = settings.mount.chainage(sensed.odometry.at(sensed.stamp_ns, settings.chainage))
    if math.isnan(chainage.metres) and sensed.odometry.heard:
        notes.append("no odometry within 0.5 s of the frame's stamp: no chainage")
    return FrameMeasures(
        [_placed(crack, settings.mount, chainage) for crack in cracks],
        Scale() if lining is None else lining.scale, '; '.join(notes), chainage,
        settings.mount.clock_h)


def _placed(crack: Crack, mount: Mount, camera: Chainage) -> Crack:
    if crack.plan_m is None:
        return crack
    around = float(crack.plan_m[:, 1].mean())
    return replace(
        crack, place=mount.place(crack.plan_m, crack.plan_sigma_m, camera),
        branches=tuple(replace(branch, line_m=mount.unrolled(branch.plan_m, around, camera))
                       for branch in crack.branches))
