# SPDX-License-Identifier: Apache-2.0
"""Write a simulated inspection: a rosbag2 bag, and the truth as files beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
import yaml

from tunnel_crack_ros.simulation.camera import encode_jpeg
from tunnel_crack_ros.simulation.frames import render_frames, SimulatedFrame, stamp_ns
from tunnel_crack_ros.simulation.settings import SimulationSettings
from tunnel_crack_ros.simulation.truth_files import LAST_FILE, TruthFiles

ODOMETRY_HZ = 20.0
RANGE_SIGMA_M = 0.002       # of the simulated distance sensor
_FOREVER = QosTime(2147483647, 4294967295)      # rosbag2's own way to say: no limit
_RELIABLE = Qos(
    QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, QosDurability.VOLATILE, _FOREVER, _FOREVER,
    QosLiveliness.AUTOMATIC, _FOREVER, False)


@dataclass(frozen=True)
class SimulatedInspection:
    """Where a simulated inspection lies, and what is in it.

    :param bag: folder of the rosbag2 bag.
    :param truth: folder of the ground truth.
    :param frames: frames of all cameras.
    :param cracked_frames: frames with a crack in view.
    :param unusable_frames: frames that nobody could judge.
    :param cracks: different cracks seen.
    """

    bag: Path
    truth: Path
    frames: int
    cracked_frames: int
    unusable_frames: int
    cracks: int


def is_complete(folder: Path) -> bool:
    """Return whether a folder holds a simulated inspection that was written to its end."""
    return (folder / 'truth' / LAST_FILE).is_file()


def simulate(
    settings: SimulationSettings, out: Path, progress: Callable[[int, int], None] | None = None,
) -> SimulatedInspection:
    """Render a drive and write it to ``out/bag`` and ``out/truth``.

    :param settings: the drive; also written, to ``out/settings.yaml``.
    :param out: folder, made when missing.
    :param progress: called after each frame with frames done and frames in all.
    :raises FileExistsError: ``out`` holds an inspection already.
    """
    bag, truth = out / 'bag', out / 'truth'
    for path in (bag, truth):
        if path.exists():
            raise FileExistsError(
                f'{path} exists already: expected a new folder; remove it or give another')
    out.mkdir(parents=True, exist_ok=True)
    (out / 'settings.yaml').write_text(yaml.safe_dump(settings.as_dict(), sort_keys=False))
    total = settings.frames * len(settings.cameras)
    files = TruthFiles(truth, settings)
    # Version 8 of the metadata is read by Humble as well as by what came after it.
    with Writer(bag, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        messages = _Messages(writer, settings)
        odometry = _odometry_times(settings)
        next_odometry = next(odometry, None)
        for done, frame in enumerate(render_frames(settings), start=1):
            while next_odometry is not None and next_odometry <= frame.stamp_ns:
                messages.write_odometry(next_odometry)
                next_odometry = next(odometry, None)
            messages.write_frame(frame)
            files.add(frame)
            if progress is not None:
                progress(done, total)
    files.close()
    return SimulatedInspection(
        bag, truth, total, files.cracked_frames, files.unusable_frames, len(files.cracks))


def _odometry_times(settings: SimulationSettings) -> Iterator[int]:
    """Yield the stamps of the odometry, ns, from the first frame to the last."""
    first, last = stamp_ns(settings, 0), stamp_ns(settings, settings.frames - 1)
    count = int((last - first) / 1e9 * ODOMETRY_HZ) + 1
    for index in range(count):
        yield first + round(index * 1e9 / ODOMETRY_HZ)


class _Messages:
    """Turn frames into ROS messages and write them, with the type definitions of Jazzy."""

    def __init__(self, writer: Writer, settings: SimulationSettings) -> None:
        self._writer = writer
        self._settings = settings
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._topics: dict[str, Connection] = {}
        self._rng = np.random.default_rng([settings.seed, 1])

    def write_odometry(self, stamp: int) -> None:
        """Write where the vehicle is: the tunnel's portal is the origin of ``odom``."""
        settings = self._settings
        seconds = (stamp - stamp_ns(settings, 0)) / 1e9
        # x is exact; what a wheel's encoder would not know is marked by a large variance.
        covariance = np.diag([1e-4, 1e-4, 1e-2, 1e-4, 1e-4, 1e-4]).ravel()
        pose = self._make(
            'geometry_msgs/msg/Pose',
            position=self._make(
                'geometry_msgs/msg/Point', y=0.0, z=0.0,
                x=settings.start_chainage + settings.speed * seconds),
            orientation=self._make('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0))
        zero = self._make('geometry_msgs/msg/Vector3', x=0.0, y=0.0, z=0.0)
        twist = self._make(
            'geometry_msgs/msg/Twist', angular=zero,
            linear=self._make('geometry_msgs/msg/Vector3', x=settings.speed, y=0.0, z=0.0))
        self._write('/odom', stamp, self._make(
            'nav_msgs/msg/Odometry', header=self._header('odom', stamp),
            child_frame_id='base_link',
            pose=self._make(
                'geometry_msgs/msg/PoseWithCovariance', pose=pose, covariance=covariance),
            twist=self._make(
                'geometry_msgs/msg/TwistWithCovariance', twist=twist, covariance=covariance)))

    def write_frame(self, frame: SimulatedFrame) -> None:
        """Write a frame's calibration, distance and image, in this order."""
        header = self._header(f'{frame.camera}_optical_frame', frame.stamp_ns)
        self._write(
            f'/{frame.camera}/camera_info', frame.stamp_ns, self._camera_info(frame, header))
        self._write(f'/{frame.camera}/range', frame.stamp_ns, self._range(frame))
        if self._settings.transport == 'compressed':
            data = np.frombuffer(encode_jpeg(frame.rgb, self._settings.jpeg_quality), np.uint8)
            # What image_transport writes for a colour frame: original; codec and its order.
            self._write(f'/{frame.camera}/image_raw/compressed', frame.stamp_ns, self._make(
                'sensor_msgs/msg/CompressedImage', header=header, data=data,
                format='rgb8; jpeg compressed bgr8'))
            return
        height, width = frame.rgb.shape[:2]
        self._write(f'/{frame.camera}/image_raw', frame.stamp_ns, self._make(
            'sensor_msgs/msg/Image', header=header, height=height, width=width, encoding='rgb8',
            is_bigendian=0, step=3 * width, data=frame.rgb.reshape(-1)))

    def _camera_info(self, frame: SimulatedFrame, header: Any) -> Any:
        height, width = frame.rgb.shape[:2]
        focal, across, down = self._settings.focal_px, (width - 1) / 2, (height - 1) / 2
        return self._make(
            'sensor_msgs/msg/CameraInfo', header=header, height=height, width=width,
            distortion_model='plumb_bob', d=np.zeros(5),
            k=np.array([focal, 0, across, 0, focal, down, 0, 0, 1.0]), r=np.eye(3).ravel(),
            p=np.array([focal, 0, across, 0, 0, focal, down, 0, 0, 0, 1.0, 0]),
            binning_x=0, binning_y=0,
            roi=self._make(
                'sensor_msgs/msg/RegionOfInterest', x_offset=0, y_offset=0, height=0, width=0,
                do_rectify=False))

    def _range(self, frame: SimulatedFrame) -> Any:
        """Make the distance to the lining as a laser beside the camera would measure it."""
        distance = frame.view.mm_per_px * self._settings.focal_px / 1000.0
        # A Range sensor looks along x (REP 117), the optical frame along z: its own frame.
        return self._make(
            'sensor_msgs/msg/Range',
            header=self._header(f'{frame.camera}_range_link', frame.stamp_ns),
            radiation_type=1, field_of_view=math.radians(0.1), min_range=0.1, max_range=30.0,
            range=distance + RANGE_SIGMA_M * float(self._rng.standard_normal()),
            variance=RANGE_SIGMA_M**2)

    def _header(self, frame_id: str, stamp: int) -> Any:
        return self._make(
            'std_msgs/msg/Header', frame_id=frame_id,
            stamp=self._make(
                'builtin_interfaces/msg/Time', sec=stamp // 10**9, nanosec=stamp % 10**9))

    def _make(self, type_name: str, **fields: Any) -> Any:
        return self._store.types[type_name](**fields)

    def _write(self, topic: str, stamp: int, message: Any) -> None:
        if topic not in self._topics:
            self._topics[topic] = self._writer.add_connection(
                topic, message.__msgtype__, typestore=self._store,
                offered_qos_profiles=[_RELIABLE])
        self._writer.write(
            self._topics[topic], stamp, self._store.serialize_cdr(message, message.__msgtype__))
