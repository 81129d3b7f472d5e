# SPDX-License-Identifier: Apache-2.0
"""What messages of sensors say, whoever read them: rclpy live, rosbags from a bag.

Both give objects with the fields of the message, so nothing here needs ROS.
"""

from __future__ import annotations

from functools import partial
import math
from typing import Any

from tunnel_crack_ros.vision.depth import depth_from_raw, DepthImage
from tunnel_crack_ros.vision.depth_history import RecordedDepth
from tunnel_crack_ros.vision.frame_measures import Calibration
from tunnel_crack_ros.vision.odometry_history import VehiclePose


def stamp_ns(header: Any) -> int:
    """Return the stamp of a std_msgs/Header, ns."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def calibration_of(info: Any) -> Calibration:
    """Return what a sensor_msgs/CameraInfo says."""
    part = info.roi
    return Calibration(
        k=[float(v) for v in info.k], d=[float(v) for v in info.d], model=info.distortion_model,
        p=[float(v) for v in info.p], width=info.width, height=info.height,
        binning=(info.binning_x, info.binning_y),
        region=(part.x_offset, part.y_offset, part.width, part.height))


def range_of(found: Any) -> tuple[float, float]:
    """Return the distance of a sensor_msgs/Range and its sigma, m.

    :return: NaN for a distance out of the sensor's own range, and for a sigma not stated.
    """
    valid = found.min_range <= found.range <= found.max_range
    variance = getattr(found, 'variance', 0.0)      # Humble's Range has none
    return (float(found.range) if valid else math.nan,
            math.sqrt(variance) if variance > 0.0 else math.nan)


def depth_of(image: Any) -> RecordedDepth:
    """Return the depth of a sensor_msgs/Image, read once a frame needs it."""
    return RecordedDepth(stamp_ns(image.header), image.header.frame_id, len(image.data),
                         partial(_read, image))


def pose_of(odometry: Any) -> VehiclePose:
    """Return where a nav_msgs/Odometry says that the vehicle is."""
    place, turn = odometry.pose.pose.position, odometry.pose.pose.orientation
    return VehiclePose.of(
        stamp_ns(odometry.header), (place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w),
        odometry.twist.twist.linear.x, odometry.pose.covariance)


def _read(image: Any) -> DepthImage:
    return DepthImage(depth_from_raw(
        memoryview(image.data), width=image.width, height=image.height, step=image.step,
        encoding=image.encoding, big_endian=bool(image.is_bigendian)))
