# SPDX-License-Identifier: Apache-2.0
"""Which image topics of a bag are read as camera frames, and which are left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection

from tunnel_crack_ros.inspection.sources.bag_message import read_messages, Unreadable
from tunnel_crack_ros.inspection.sources.recorded_frame import SourceError

RAW = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
DEPTH = 'depth'
_DEPTH_ENCODINGS = ('16UC1', '32FC1')       # REP 118
# our own outputs, and what is no picture of the lining
_NOT_CAMERAS = ('mask', 'confidence', 'overlay', 'heatmap', 'flagged', DEPTH, 'compressedDepth')
# What image_proc and drivers make of the same pictures, the most wanted first. Rectified ones come
# last: they are measured right only where the parameter `rectified` says so.
_STAGES = ('image_raw', 'image_color', 'image', 'image_mono', 'image_rect_color', 'image_rect')
_FULL = 0.9     # share of the fullest stage's messages that one must have


@dataclass(frozen=True)
class ImageTopics:
    """The image topics of a bag that are read, and those that are not."""

    read: list[Connection]
    """With their messages counted."""
    shows_depth: frozenset[str] = frozenset()
    """Topics left out for their encoding."""
    left_out: tuple[str, ...] = ()
    """Sentences that tell of the others."""


def named_images(bag: Path, reader: AnyReader, topics: Sequence[str]) -> ImageTopics:
    """Return the image topics that the user names.

    :param bag: for the errors.
    :raises SourceError: one is not there.
    """
    images = _images(reader)
    chosen = [c for c in images if c.topic in topics]
    missing = set(topics) - {c.topic for c in chosen}
    if missing:
        raise SourceError(f"{bag}: no image topic {', '.join(sorted(missing))}; "
                          f"it has {', '.join(sorted(c.topic for c in images)) or 'none'}")
    return ImageTopics([_counted(bag, reader, c) for c in chosen])


def camera_images(bag: Path, reader: AnyReader) -> ImageTopics:
    """Return the image topics that are camera frames, each picture once.

    :param bag: for the errors.
    """
    chosen = [c for c in _images(reader) if not set(c.topic.split('/')) & set(_NOT_CAMERAS)]
    chosen, unknown = _of_known_transport(chosen)
    shows_depth = frozenset(c.topic for c in chosen if _shows_depth(bag, reader, c))
    chosen = [_counted(bag, reader, c) for c in chosen if c.topic not in shows_depth]
    chosen, spare = _one_stage(_fuller(chosen))
    return ImageTopics(chosen, shows_depth, (*unknown, *spare))


def uncompressed(topic: str) -> str:
    """Return the topic that image_transport compresses."""
    return topic.removesuffix('/compressed')


def namespace(topic: str) -> str:
    """Return what image_transport pairs a camera's topics by; '' at the root."""
    return uncompressed(topic).strip('/').rpartition('/')[0]


def _images(reader: AnyReader) -> list[Connection]:
    return [c for c in reader.connections if c.msgtype in (RAW, COMPRESSED)]


def _counted(bag: Path, reader: AnyReader, connection: Connection) -> Connection:
    """Count a topic's messages where the bag says 0, as it may of one that never ended."""
    if connection.msgcount:
        return connection
    return connection._replace(msgcount=sum(1 for _ in read_messages(bag, reader, [connection])))


def _of_known_transport(images: Sequence[Connection]) -> tuple[list[Connection], list[str]]:
    """Leave out what other transports, such as zstd, make of frames that are there as well."""
    bases = {uncompressed(c.topic) for c in images
             if c.msgtype == RAW or c.topic.endswith('/compressed')}
    base_of = {c.topic: base for c in images
               if c.msgtype == COMPRESSED and (base := c.topic.rpartition('/')[0]) in bases
               and c.topic != f'{base}/compressed'}
    return ([c for c in images if c.topic not in base_of],
            [f'{topic} is left out: other bytes of the pictures on {base}'
             for topic, base in sorted(base_of.items())])


def _fuller(images: Sequence[Connection]) -> list[Connection]:
    """Keep of a camera's raw and compressed topic the one with more messages; of equal ones, raw.

    `ros2 bag record -a` takes the same pictures twice, but may drop many of the large raw ones.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for c in images:
        counts[uncompressed(c.topic), c.msgtype] += c.msgcount

    def is_fuller(c: Connection) -> bool:
        topic = uncompressed(c.topic)
        return (counts[topic, COMPRESSED] > counts[topic, RAW]) == (c.msgtype == COMPRESSED)
    return [c for c in images if is_fuller(c)]


def _one_stage(images: Sequence[Connection]) -> tuple[list[Connection], list[str]]:
    """Keep of the stages of one camera's pictures, which share a namespace, the most wanted.

    One that lost many messages on the way to the bag is not wanted.
    """
    counts: Counter[str] = Counter()
    stages: dict[str, set[str]] = defaultdict(set)
    for c in images:
        counts[c.topic] += c.msgcount
        if _stage(c.topic) in _STAGES:
            stages[namespace(c.topic)].add(c.topic)
    spare: dict[str, str] = {}
    for topics in stages.values():
        most = max(counts[topic] for topic in topics)
        read = min((topic for topic in topics if counts[topic] >= _FULL * most),
                   key=lambda topic: _STAGES.index(_stage(topic)))
        spare |= {topic: read for topic in topics if topic != read}
    return ([c for c in images if c.topic not in spare],
            [f'{topic} is left out: the pictures on {read} again; --topic names another'
             for topic, read in sorted(spare.items())])


def _stage(topic: str) -> str:
    return uncompressed(topic).rpartition('/')[2]


def _shows_depth(bag: Path, reader: AnyReader, connection: Connection) -> bool:
    """Return whether a topic's first readable message is a depth image, whatever its name is."""
    if connection.msgtype != RAW:
        return False
    for _, _, message in read_messages(bag, reader, [connection]):
        if not isinstance(message, Unreadable):
            return message.encoding in _DEPTH_ENCODINGS
    return False
