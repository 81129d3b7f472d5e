# SPDX-License-Identifier: Apache-2.0
"""Frames of a rosbag2 bag, MCAP or SQLite3; needs no ROS."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
import logging
from pathlib import Path
import sqlite3
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection

from tunnel_crack_ros.inspection.sensor_messages import (
    calibration_of,
    depth_of,
    pose_of,
    range_of,
    stamp_ns,
)
from tunnel_crack_ros.inspection.sources.bag_files import BagFiles
from tunnel_crack_ros.inspection.sources.bag_message import (
    default_types,
    read_messages,
    Unreadable,
)
from tunnel_crack_ros.inspection.sources.bag_topics import BagTopics, find_topics, Wanted
from tunnel_crack_ros.inspection.sources.image_topics import COMPRESSED
from tunnel_crack_ros.inspection.sources.recorded_frame import (
    RecordedFrame,
    SourceError,
    UniqueNames,
)
from tunnel_crack_ros.vision import FrameError, RgbFrame
from tunnel_crack_ros.vision.frame import rgb_from_compressed, rgb_from_raw
from tunnel_crack_ros.vision.frame_measures import CameraSensors
from tunnel_crack_ros.vision.odometry_history import OdometryHistory

_LOG = logging.getLogger(__name__)
_LOOK_AHEAD_NS = 300_000_000    # so long a frame waits for sensors that were recorded after it


class BagFrames:
    """The frames of a bag's image topics, in the order they were recorded."""

    def __init__(self, bag: Path, wanted: Wanted) -> None:
        """Look into a bag.

        :param bag: what `bag_below` found.
        :param wanted: topics that the user names.
        :raises SourceError: the bag cannot be read, or has no such topic.
        """
        self._bag = bag
        self._files = _files(bag)
        with _reading(bag, self._files.paths) as reader:
            self._topics = find_topics(bag, reader, wanted)
        self.cameras = sorted(set(self._topics.images.values()))

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._topics.frames

    def __iter__(self) -> Iterator[RecordedFrame]:
        """Read the frames; each waits a moment for what its sensors say a little later.

        :raises SourceError: the bag is broken from here on; every frame before has been given.
        """
        sensors: dict[str, CameraSensors] = defaultdict(CameraSensors)
        odometry = OdometryHistory()
        waiting: deque[tuple[int, Any, Connection]] = deque()
        named = UniqueNames()
        broken: SourceError | None = None
        heard: Counter[str] = Counter()
        unread: dict[str, list[str]] = defaultdict(list)

        def frame(recorded_ns: int, message: Any, connection: Connection) -> RecordedFrame:
            camera = self._topics.images[connection.topic]
            # its own stamp cannot be read either
            stamp = (divmod(recorded_ns, 1_000_000_000) if isinstance(message, Unreadable) else
                     (int(message.header.stamp.sec), int(message.header.stamp.nanosec)))
            name = named(f"{camera.replace('/', '_')}_{stamp[0]}_{stamp[1]:09d}")
            if isinstance(message, Unreadable):
                return RecordedFrame(name, camera, stamp, None, message.error)
            sensed = sensors[camera].at(
                stamp_ns(message.header), message.header.frame_id, odometry)
            try:
                return RecordedFrame(name, camera, stamp, _pixels(message, connection.msgtype),
                                     sensed=sensed)
            except FrameError as error:
                return RecordedFrame(name, camera, stamp, None, str(error), sensed)
        with _reading(self._bag, self._files.paths) as reader:
            topics = self._topics
            wanted = [c for c in reader.connections if c.topic == topics.odometry
                      or any(c.topic in known for known in (
                          topics.images, topics.calibrations, topics.ranges, topics.depths))]
            try:
                for connection, recorded_ns, message in read_messages(self._bag, reader, wanted):
                    while waiting and waiting[0][0] < recorded_ns - _LOOK_AHEAD_NS:
                        yield frame(*waiting.popleft())
                    if connection.topic in topics.images:
                        waiting.append((recorded_ns, message, connection))
                        continue
                    heard[connection.topic] += 1
                    if isinstance(message, Unreadable):
                        unread[connection.topic].append(message.error)
                    else:
                        _note(message, connection, topics, sensors, odometry)
            except SourceError as error:
                broken = error
            while waiting:
                yield frame(*waiting.popleft())
        for topic, errors in unread.items():
            _LOG.warning('%s: %d of %d messages on %s cannot be read and say nothing: %s',
                         self._bag, len(errors), heard[topic], topic, errors[0])
        if broken is not None:
            raise broken


def _note(message: Any, connection: Connection, topics: BagTopics,
          sensors: Mapping[str, CameraSensors], odometry: OdometryHistory) -> None:
    """Take what a sensor says."""
    topic = connection.topic
    if topic == topics.odometry:
        odometry.add(pose_of(message))
    for camera in topics.calibrations.get(topic, ()):
        sensors[camera].calibration = calibration_of(message)
    for camera in topics.ranges.get(topic, ()):
        sensors[camera].ranges.add(stamp_ns(message.header), *range_of(message))
    for camera in topics.depths.get(topic, ()):
        sensors[camera].depths.add(depth_of(message))


def _pixels(message: Any, kind: str) -> RgbFrame:
    if kind == COMPRESSED:
        return rgb_from_compressed(message.data, message.format)
    return rgb_from_raw(message.data, width=message.width, height=message.height,
                        step=message.step, encoding=message.encoding,
                        big_endian=bool(message.is_bigendian))


def _files(bag: Path) -> BagFiles:
    try:
        return BagFiles(bag)
    except (OSError, sqlite3.Error) as error:
        raise SourceError(f'{bag}: cannot be read as a bag: {error}') from error


def _reading(bag: Path, paths: Sequence[Path]) -> AnyReader:
    try:
        reader = AnyReader(paths, default_typestore=default_types())
        reader.open()
        reader.close()
        return AnyReader(paths, default_typestore=default_types())
    except (AnyReaderError, OSError, ValueError, KeyError) as error:
        raise SourceError(f'{bag}: cannot be read as a bag: {error}') from error
    except Exception as error:  # the storage plugins raise types of their own
        raise SourceError(f'{bag}: cannot be read as a bag: '
                          f'{type(error).__name__}: {error}') from error
