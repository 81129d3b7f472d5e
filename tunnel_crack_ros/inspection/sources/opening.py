# SPDX-License-Identifier: Apache-2.0
"""Find out what kind of recording a path is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunnel_crack_ros.inspection.sources.bag import BagFrames
from tunnel_crack_ros.inspection.sources.bag_files import bag_below
from tunnel_crack_ros.inspection.sources.bag_topics import Wanted
from tunnel_crack_ros.inspection.sources.images import IMAGE_ENDINGS, ImageFrames, images_below
from tunnel_crack_ros.inspection.sources.recorded_frame import FrameSource, SourceError
from tunnel_crack_ros.inspection.sources.video import VIDEO_ENDINGS, VideoFrames


def open_source(path: Path, topics: Sequence[str] = (), odometry: str = '', depth: str = '',
                distance: str = '') -> FrameSource:
    """Open a recording.

    :param path: an image, a folder of images, a video, a bag (its folder, or its .mcap or .db3
        file, or that with .zstd behind it), or a folder that holds a bag in `bag/`, as
        `tunnel_crack simulate` writes it.
    :param topics: image topics of a bag; empty: all it has.
    :param odometry: topic of a bag's odometry; '': found by itself where it is plain.
    :param depth: topic of a bag's depth images, of all cameras, or `camera=topic` with commas
        between; '': by their names.
    :param distance: topic of a bag's distance sensor, likewise.
    :raises SourceError: it is none of these, or has no frame.
    """
    wanted = Wanted(topics, odometry, depth, distance)
    if not path.exists():
        raise SourceError(f'{path}: no such file or folder')
    bag = bag_below(path)
    if bag is not None:
        return BagFrames(bag, wanted)
    if wanted:
        raise SourceError(f'{path}: is no bag, so it has no topics')
    if path.is_dir():
        return ImageFrames(images_below(path))
    if path.suffix.lower() in IMAGE_ENDINGS:
        return ImageFrames([path])
    if path.suffix.lower() in VIDEO_ENDINGS:
        return VideoFrames(path)
    raise SourceError(f"{path}: unknown kind of file '{path.suffix}', expected an image, a video "
                      f"({', '.join(VIDEO_ENDINGS)}), a bag (.mcap, .db3) or a folder")
