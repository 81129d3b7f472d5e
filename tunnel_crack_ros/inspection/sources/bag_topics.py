# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are camera frames, and which sensor belongs to which camera."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
import re

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection

from tunnel_crack_ros.inspection.sources.bag_message import read_messages, Unreadable
from tunnel_crack_ros.inspection.sources.recorded_frame import SourceError
from tunnel_crack_ros.sensor_topics import sensor_topics

RAW = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
CALIBRATION = 'sensor_msgs/msg/CameraInfo'
_RANGE = 'sensor_msgs/msg/Range'
_ODOMETRY = 'nav_msgs/msg/Odometry'
_ODOMETRY_TOPICS = ('odometry', 'odom')     # last part of their names
_DEPTH = 'depth'
_DEPTH_ENCODINGS = ('16UC1', '32FC1')       # REP 118
# our own outputs, and what is no picture of the lining
_NOT_CAMERAS = ('mask', 'confidence', 'overlay', 'heatmap', 'flagged', _DEPTH, 'compressedDepth')
_ALIGNED = re.compile(r'(.*/)?aligned_depth_to_([^/]+)/[^/]+')  # as RealSense's driver names it


@dataclass(frozen=True)
class Wanted:
    """What the user asked for; empty: found by itself where it is plain."""

    images: Sequence[str] = ()
    """Image topics; empty: all but depth images and this package's own results."""
    odometry: str = ''
    """Topic of the vehicle's odometry."""
    depth: str = ''
    """Topics of depth images, as `sensor_topics` reads them."""
    range: str = ''
    """Topics of distance sensors, likewise."""

    def __bool__(self) -> bool:
        """Return whether anything was asked for."""
        return bool(self.images or self.odometry or self.depth or self.range)


@dataclass(frozen=True)
class BagTopics:
    """What is read from a bag."""

    images: Mapping[str, str]
    """Topic -> name of its camera."""
    frames: int
    """Messages of these."""
    calibrations: Mapping[str, Sequence[str]]
    """Topic -> cameras."""
    odometry: str
    """Topic; '': none."""
    depths: Mapping[str, Sequence[str]]
    """Topic -> cameras."""
    ranges: Mapping[str, Sequence[str]]
    """Topic -> cameras."""


def find_topics(bag: Path, reader: AnyReader, wanted: Wanted) -> BagTopics:
    """Look through a bag's topics.

    :param bag: for the errors.
    :param reader: of the bag, open.
    :raises SourceError: the bag has no frames, or no topic that is wanted, or is broken.
    """
    images = [c for c in reader.connections if c.msgtype in (RAW, COMPRESSED)]
    if wanted.images:
        chosen = [c for c in images if c.topic in wanted.images]
        missing = set(wanted.images) - {c.topic for c in chosen}
        if missing:
            raise SourceError(f"{bag}: no image topic {', '.join(sorted(missing))}; "
                              f"it has {', '.join(sorted(c.topic for c in images)) or 'none'}")
    else:
        chosen = [c for c in images if not set(c.topic.split('/')) & set(_NOT_CAMERAS)
                  and not _shows_depth(bag, reader, c)]
    chosen = [_counted(bag, reader, c) for c in chosen]
    if not wanted.images:
        chosen = _fuller(chosen)
    if not chosen:
        raise SourceError(f'{bag}: no topic of type {RAW} or {COMPRESSED} with camera frames')
    topics = sorted({c.topic for c in chosen})
    frames = sum(c.msgcount for c in chosen)
    if not frames:
        raise SourceError(f"{bag}: no message on {', '.join(topics)}; expected camera frames")
    cameras = cameras_of(topics)
    names = sorted(set(cameras.values()))
    others = sorted({c.topic for c in images if c.msgtype == RAW} - {c.topic for c in chosen})
    ranges = sorted({c.topic for c in reader.connections if c.msgtype == _RANGE})
    below: dict[str, list[str]] = {}
    for topic, camera in cameras.items():
        below.setdefault(_namespace(topic), []).append(camera)
    return BagTopics(
        cameras, frames,
        {c.topic: below[_namespace(c.topic)] for c in reader.connections
         if c.msgtype == CALIBRATION and _namespace(c.topic) in below},
        _odometry_topic(bag, sorted({c.topic for c in reader.connections
                                     if c.msgtype == _ODOMETRY}), wanted.odometry),
        _of_cameras(bag, 'depth', wanted.depth, names, others,
                    {topic: below.get(namespace, []) for topic in others
                     if (namespace := _namespace_of_depth(topic)) is not None}),
        _of_cameras(bag, 'range', wanted.range, names, ranges,
                    {topic: below.get(_namespace(topic), []) for topic in ranges}))


def cameras_of(topics: Sequence[str]) -> dict[str, str]:
    """Name each image topic's camera: by its namespace, by the whole topic where that is shared.

    :return: topic -> name: without `compressed`, `image_raw` (or what it is called) and slashes.
    """
    plain = {topic: _uncompressed(topic).strip('/') for topic in topics}
    shared = Counter(_namespace(topic) for topic in topics)
    return {topic: name if shared[_namespace(topic)] > 1 else _namespace(topic) or name
            for topic, name in plain.items()}


def _counted(bag: Path, reader: AnyReader, connection: Connection) -> Connection:
    """Count a topic's messages where the bag says 0, as it may of one that never ended."""
    if connection.msgcount:
        return connection
    return connection._replace(msgcount=sum(1 for _ in read_messages(bag, reader, [connection])))


def _fuller(images: Sequence[Connection]) -> list[Connection]:
    """Keep of a camera's raw and compressed topic the one with more messages; of equal ones, raw.

    `ros2 bag record -a` takes the same pictures twice, but may drop many of the large raw ones.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for c in images:
        counts[_uncompressed(c.topic), c.msgtype] += c.msgcount

    def is_fuller(c: Connection) -> bool:
        topic = _uncompressed(c.topic)
        return (counts[topic, COMPRESSED] > counts[topic, RAW]) == (c.msgtype == COMPRESSED)
    return [c for c in images if is_fuller(c)]


def _uncompressed(topic: str) -> str:
    return topic.removesuffix('/compressed')


def _namespace(topic: str) -> str:
    """Return what image_transport pairs a camera's topics by; '' at the root."""
    return _uncompressed(topic).strip('/').rpartition('/')[0]


def _namespace_of_depth(topic: str) -> str | None:
    """Return the namespace of the frames that a depth image is registered to; None: it is mute."""
    aligned = _ALIGNED.fullmatch(topic.strip('/'))
    if aligned:
        return f"{aligned[1] or ''}{aligned[2]}"
    return _namespace(topic) if topic.split('/')[-1] == _DEPTH else None


def _shows_depth(bag: Path, reader: AnyReader, connection: Connection) -> bool:
    """Return whether a topic's first readable message is a depth image, whatever its name is."""
    if connection.msgtype != RAW:
        return False
    for _, _, message in read_messages(bag, reader, [connection]):
        if not isinstance(message, Unreadable):
            return message.encoding in _DEPTH_ENCODINGS
    return False


def _of_cameras(bag: Path, sensor: str, wanted: str, cameras: Sequence[str], found: Sequence[str],
                by_name: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return topic -> cameras: what the user says, else what the topics' names say.

    :raises SourceError: no such camera or topic.
    """
    try:
        said = dict(sensor_topics(f'{bag}: {sensor}', wanted, cameras))
    except ValueError as error:
        raise SourceError(str(error)) from None
    missing = sorted(set(said.values()) - set(found))
    if missing:
        raise SourceError(f"{bag}: no {sensor} topic {', '.join(missing)}; it has "
                          f"{', '.join(found) or 'none'}")
    # of several for one camera the one counts that a live node would listen to
    plainest_last = sorted(by_name, key=lambda topic: topic.split('/')[-1] == sensor)
    of_camera = {camera: topic for topic in plainest_last for camera in by_name[topic]} | said
    return {topic: sorted(camera for camera, its in of_camera.items() if its == topic)
            for topic in sorted(set(of_camera.values()))}


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
