# SPDX-License-Identifier: Apache-2.0
"""Frames of a rosbag2 bag, MCAP or SQLite3; needs no ROS."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.typesys import get_typestore, Stores

from tunnel_crack_ros.inspection.sensor_messages import (
    calibration_of,
    depth_of,
    pose_of,
    range_of,
    stamp_ns,
)
from tunnel_crack_ros.inspection.sources.bag_topics import (
    camera_of,
    COMPRESSED,
    find_topics,
    Wanted,
)
from tunnel_crack_ros.inspection.sources.recorded_frame import RecordedFrame, SourceError
from tunnel_crack_ros.vision import FrameError, RgbFrame
from tunnel_crack_ros.vision.frame import rgb_from_compressed, rgb_from_raw
from tunnel_crack_ros.vision.frame_measures import CameraSensors, Sensed
from tunnel_crack_ros.vision.odometry_history import OdometryHistory

_CALIBRATION = 'sensor_msgs/msg/CameraInfo'
_BAG_ENDINGS = ('.mcap', '.db3')
_LOOK_AHEAD_NS = 300_000_000    # so long a frame waits for sensors that were recorded after it


def bag_below(path: Path) -> Path | None:
    """Return the bag's folder if a path is a bag, a bag's file, or holds one in `bag/`."""
    if path.is_file():
        return path.parent if path.suffix in _BAG_ENDINGS else None
    for folder in (path, path / 'bag'):
        if (folder / 'metadata.yaml').is_file():
            return folder
    return None


class BagFrames:
    """The frames of a bag's image topics, in the order they were recorded."""

    def __init__(self, bag: Path, wanted: Wanted) -> None:
        """Look into a bag.

        :param bag: folder with `metadata.yaml`.
        :param wanted: topics that the user names.
        :raises SourceError: the bag cannot be read, or has no such topic.
        """
        self._bag = bag
        with _reading(bag) as reader:
            self._topics = find_topics(bag, reader, wanted)

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._topics.frames

    def __iter__(self) -> Iterator[RecordedFrame]:
        """Read the frames; each waits a moment for what its sensors say a little later."""
        sensors: dict[str, CameraSensors] = defaultdict(CameraSensors)
        odometry = OdometryHistory()
        waiting: deque[tuple[int, Any, Connection]] = deque()

        def frame(message: Any, connection: Connection) -> RecordedFrame:
            sensed = sensors[camera_of(connection.topic)].at(
                stamp_ns(message.header), message.header.frame_id, odometry)
            return _frame(message, connection, sensed)
        with _reading(self._bag) as reader:
            topics = self._topics
            wanted = [c for c in reader.connections if c.msgtype == _CALIBRATION
                      or c.topic in topics.images or c.topic == topics.odometry
                      or c.topic in topics.ranges or c.topic in topics.depths]
            for connection, recorded_ns, data in reader.messages(wanted):
                while waiting and waiting[0][0] < recorded_ns - _LOOK_AHEAD_NS:
                    yield frame(*waiting.popleft()[1:])
                message: Any = reader.deserialize(data, connection.msgtype)
                topic = connection.topic
                if topic in topics.images:
                    waiting.append((recorded_ns, message, connection))
                elif connection.msgtype == _CALIBRATION:
                    sensors[camera_of(topic)].calibration = calibration_of(message)
                elif topic == topics.odometry:
                    odometry.add(pose_of(message))
                for camera in topics.ranges.get(topic, ()):
                    sensors[camera].ranges.add(stamp_ns(message.header), *range_of(message))
                for camera in topics.depths.get(topic, ()):
                    sensors[camera].depths.add(depth_of(message))
            while waiting:
                yield frame(*waiting.popleft()[1:])


def _frame(message: Any, connection: Connection, sensed: Sensed) -> RecordedFrame:
    camera = camera_of(connection.topic)
    stamp = (int(message.header.stamp.sec), int(message.header.stamp.nanosec))
    name = f"{camera.replace('/', '_')}_{stamp[0]}_{stamp[1]:09d}"
    rgb, error = None, ''
    try:
        rgb = _pixels(message, connection.msgtype)
    except FrameError as found:
        error = str(found)
    return RecordedFrame(name, camera, stamp, rgb, error, sensed)


def _pixels(message: Any, kind: str) -> RgbFrame:
    if kind == COMPRESSED:
        return rgb_from_compressed(message.data)
    return rgb_from_raw(message.data, width=message.width, height=message.height,
                        step=message.step, encoding=message.encoding,
                        big_endian=bool(message.is_bigendian))


def _reading(bag: Path) -> AnyReader:
    try:
        reader = AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY))
        reader.open()
        reader.close()
        return AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY))
    except (AnyReaderError, OSError, ValueError, KeyError) as error:
        raise SourceError(f'{bag}: cannot be read as a bag: {error}') from error
    except Exception as error:  # the storage plugins raise types of their own
        raise SourceError(f'{bag}: cannot be read as a bag: '
                          f'{type(error).__name__}: {error}') from error
