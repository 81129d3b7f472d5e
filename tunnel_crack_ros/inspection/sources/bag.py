# SPDX-License-Identifier: Apache-2.0
"""Frames of a rosbag2 bag, MCAP or SQLite3; needs no ROS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import math
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.typesys import get_typestore, Stores

from tunnel_crack_ros.inspection.sources.recorded_frame import RecordedFrame, SourceError
from tunnel_crack_ros.vision import FrameError, RgbFrame
from tunnel_crack_ros.vision.frame import rgb_from_compressed, rgb_from_raw
from tunnel_crack_ros.vision.range_history import RangeHistory

_RAW = 'sensor_msgs/msg/Image'
_COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_CALIBRATION = 'sensor_msgs/msg/CameraInfo'
_RANGE = 'sensor_msgs/msg/Range'
_BAG_ENDINGS = ('.mcap', '.db3')
_NOT_CAMERAS = ('mask', 'confidence', 'overlay', 'heatmap', 'flagged')  # our own outputs


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

    def __init__(self, bag: Path, topics: Sequence[str] = ()) -> None:
        """Look into a bag.

        :param bag: folder with `metadata.yaml`.
        :param topics: image topics to read; empty: all but this package's own results.
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

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._count

    def __iter__(self) -> Iterator[RecordedFrame]:
        """Read the frames; calibration and range are those recorded last before each."""
        focal_lengths: dict[str, float] = {}
        distances: dict[str, RangeHistory] = {}
        with _reading(self._bag) as reader:
            wanted = [c for c in reader.connections if c.topic in self._topics
                      or c.msgtype in (_CALIBRATION, _RANGE)]
            for connection, _, data in reader.messages(wanted):
                message: Any = reader.deserialize(data, connection.msgtype)
                camera = camera_of(connection.topic)
                if connection.topic in self._topics:
                    distance = distances.get(camera, RangeHistory())
                    yield _frame(message, connection, focal_lengths.get(camera, math.nan),
                                 distance.at(_stamp_ns(message)))
                elif connection.msgtype == _CALIBRATION:
                    focal = float(message.k[0])
                    focal_lengths[camera] = focal if focal > 0 else math.nan
                else:
                    valid = message.min_range <= message.range <= message.max_range
                    distances.setdefault(camera, RangeHistory()).add(
                        _stamp_ns(message), float(message.range) if valid else math.nan)


def camera_of(topic: str) -> str:
    """Return a camera's name: its topic without `image_raw`, `compressed` and slashes around."""
    parts = topic.strip('/').split('/')
    if parts[-1] == 'compressed':
        parts = parts[:-1]
    return '/'.join(parts[:-1]) or parts[0]


def _frame(message: Any, connection: Connection, focal_length_px: float,
           range_m: float) -> RecordedFrame:
    camera = camera_of(connection.topic)
    stamp = (int(message.header.stamp.sec), int(message.header.stamp.nanosec))
    name = f"{camera.replace('/', '_')}_{stamp[0]}_{stamp[1]:09d}"
    rgb, error = None, ''
    try:
        rgb = _pixels(message, connection.msgtype)
    except FrameError as found:
        error = str(found)
    return RecordedFrame(name, camera, stamp, rgb, error, focal_length_px, range_m)


def _stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


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
