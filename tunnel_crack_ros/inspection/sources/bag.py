# SPDX-License-Identifier: Apache-2.0
"""Frames of a rosbag2 bag, MCAP or SQLite3; needs no ROS."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
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
from tunnel_crack_ros.inspection.sources.recorded_frame import RecordedFrame, SourceError
from tunnel_crack_ros.vision import FrameError, RgbFrame
from tunnel_crack_ros.vision.frame import rgb_from_compressed, rgb_from_raw
from tunnel_crack_ros.vision.frame_measures import CameraSensors, Sensed
from tunnel_crack_ros.vision.odometry_history import OdometryHistory

_RAW = 'sensor_msgs/msg/Image'
_COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_CALIBRATION = 'sensor_msgs/msg/CameraInfo'
_RANGE = 'sensor_msgs/msg/Range'
_ODOMETRY = 'nav_msgs/msg/Odometry'
_BAG_ENDINGS = ('.mcap', '.db3')
_DEPTH = 'depth'
_ODOMETRY_TOPICS = ('odometry', 'odom')     # last part of their names
# our own outputs, and what is no picture of the lining
_NOT_CAMERAS = ('mask', 'confidence', 'overlay', 'heatmap', 'flagged', _DEPTH)
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

    def __init__(self, bag: Path, topics: Sequence[str] = (), odometry: str = '') -> None:
        """Look into a bag.

        :param bag: folder with `metadata.yaml`.
        :param topics: image topics to read; empty: all but this package's own results.
        :param odometry: topic of the vehicle's odometry; '': the only one, or the one named
            `odometry` or `odom`.
        :raises SourceError: the bag cannot be read, or has no such topic.
        """
        self._bag = bag
        with _reading(bag) as reader:
            images = [c for c in reader.connections if c.msgtype in (_RAW, _COMPRESSED)]
            if topics:
                chosen = [c for c in images if c.topic in topics]
                missing = set(topics) - {c.topic for c in chosen}
                if missing:
                    raise SourceError(
                        f"{bag}: no image topic {', '.join(sorted(missing))}; "
                        f"it has {', '.join(sorted(c.topic for c in images)) or 'none'}")
            else:
                chosen = [c for c in images if not set(c.topic.split('/')) & set(_NOT_CAMERAS)]
            if not chosen:
                raise SourceError(f'{bag}: no topic of type {_RAW} or {_COMPRESSED}')
            self._topics = {c.topic for c in chosen}
            self._count = sum(c.msgcount for c in chosen)
            self._odometry = _odometry_topic(
                bag, sorted({c.topic for c in reader.connections if c.msgtype == _ODOMETRY}),
                odometry)

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._count

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
            wanted = [c for c in reader.connections if c.topic in self._topics
                      or c.msgtype in (_CALIBRATION, _RANGE) or c.topic == self._odometry
                      or c.msgtype == _RAW and c.topic.split('/')[-1] == _DEPTH]
            for connection, recorded_ns, data in reader.messages(wanted):
                while waiting and waiting[0][0] < recorded_ns - _LOOK_AHEAD_NS:
                    yield frame(*waiting.popleft()[1:])
                message: Any = reader.deserialize(data, connection.msgtype)
                own = sensors[camera_of(connection.topic)]
                if connection.topic in self._topics:
                    waiting.append((recorded_ns, message, connection))
                elif connection.msgtype == _CALIBRATION:
                    own.calibration = calibration_of(message)
                elif connection.msgtype == _RANGE:
                    own.ranges.add(stamp_ns(message.header), *range_of(message))
                elif connection.msgtype == _ODOMETRY:
                    odometry.add(pose_of(message))
                else:
                    own.depths.add(depth_of(message))
            while waiting:
                yield frame(*waiting.popleft()[1:])


def _odometry_topic(bag: Path, found: Sequence[str], wanted: str) -> str:
    """Return the topic of the odometry; '' when there is none.

    :raises SourceError: the one that is wanted is not there.
    """
    if wanted:
        if wanted not in found:
            raise SourceError(f'{bag}: no odometry topic {wanted}; it has '
                              f"{', '.join(found) or 'none'}")
        return wanted
    named = [topic for topic in found if topic.split('/')[-1] in _ODOMETRY_TOPICS]
    return found[0] if len(found) == 1 else named[0] if len(named) == 1 else ''


def camera_of(topic: str) -> str:
    """Return a camera's name: its topic without `image_raw`, `compressed` and slashes around."""
    parts = topic.strip('/').split('/')
    if parts[-1] == 'compressed':
        parts = parts[:-1]
    return '/'.join(parts[:-1]) or parts[0]


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
    if kind == _COMPRESSED:
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
