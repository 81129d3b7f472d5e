# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are camera frames, and which sensor belongs to which camera."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import logging
from pathlib import Path
import re

from rosbags.highlevel import AnyReader

from tunnel_crack_ros.inspection.sources.image_topics import (
    camera_images,
    COMPRESSED,
    DEPTH,
    named_images,
    namespace,
    RAW,
    uncompressed,
)
from tunnel_crack_ros.inspection.sources.recorded_frame import SourceError
from tunnel_crack_ros.sensor_topics import sensor_topics

_LOG = logging.getLogger(__name__)
CALIBRATION = 'sensor_msgs/msg/CameraInfo'
_RANGE = 'sensor_msgs/msg/Range'
_ODOMETRY = 'nav_msgs/msg/Odometry'
_ODOMETRY_TOPICS = ('odometry', 'odom')     # last part of their names
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
    images = (named_images(bag, reader, wanted.images) if wanted.images
              else camera_images(bag, reader))
    chosen = images.read
    if not chosen:
        raise SourceError(f'{bag}: no topic of type {RAW} or {COMPRESSED} with camera frames'
                          + ''.join(f'; {_as_depth(topic)}'
                                    for topic in sorted(images.shows_depth)))
    topics = sorted({c.topic for c in chosen})
    frames = sum(c.msgcount for c in chosen)
    if not frames:
        raise SourceError(f"{bag}: no message on {', '.join(topics)}; expected camera frames")
    cameras = cameras_of(topics)
    names = sorted(set(cameras.values()))
    others = sorted({c.topic for c in reader.connections if c.msgtype == RAW} - set(topics))
    ranges = sorted({c.topic for c in reader.connections if c.msgtype == _RANGE})
    below: dict[str, list[str]] = {}
    for topic, camera in cameras.items():
        below.setdefault(namespace(topic), []).append(camera)
    depths = _of_cameras(bag, 'depth', wanted.depth, names, others,
                         {topic: below.get(place, []) for topic in others
                          if (place := _namespace_of_depth(topic)) is not None})
    for left_out in (*images.left_out, *map(_as_depth, sorted(images.shows_depth - set(depths)))):
        _LOG.warning('%s: %s', bag, left_out)
    return BagTopics(
        cameras, frames,
        {c.topic: below[namespace(c.topic)] for c in reader.connections
         if c.msgtype == CALIBRATION and namespace(c.topic) in below},
        _odometry_topic(bag, sorted({c.topic for c in reader.connections
                                     if c.msgtype == _ODOMETRY}), wanted.odometry),
        depths,
        _of_cameras(bag, 'range', wanted.range, names, ranges,
                    {topic: below.get(namespace(topic), []) for topic in ranges}))


def cameras_of(topics: Sequence[str]) -> dict[str, str]:
    """Name each image topic's camera: by its namespace, by the whole topic where that is shared.

    :return: topic -> name: without `compressed`, `image_raw` (or what it is called) and slashes.
    """
    plain = {topic: uncompressed(topic).strip('/') for topic in topics}
    shared = Counter(namespace(topic) for topic in topics)
    return {topic: name if shared[namespace(topic)] > 1 else namespace(topic) or name
            for topic, name in plain.items()}


def _namespace_of_depth(topic: str) -> str | None:
    """Return the namespace of the frames that a depth image is registered to; None: it is mute."""
    aligned = _ALIGNED.fullmatch(topic.strip('/'))
    if aligned:
        return f"{aligned[1] or ''}{aligned[2]}"
    return namespace(topic) if topic.split('/')[-1] == DEPTH else None


def _as_depth(topic: str) -> str:
    return (f'{topic} is left out as depth, by its encoding; name it with --topic if it shows the '
            'lining, with --depth if it is that of a camera')


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
