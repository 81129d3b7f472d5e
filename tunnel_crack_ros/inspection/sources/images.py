# SPDX-License-Identifier: Apache-2.0
"""Frames that lie in a folder as images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
import logging
from pathlib import Path

from tunnel_crack_ros.inspection.sources.recorded_frame import (
    as_text,
    RecordedFrame,
    SourceError,
    UniqueNames,
)
from tunnel_crack_ros.vision import FrameError
from tunnel_crack_ros.vision.frame import rgb_from_compressed

_LOG = logging.getLogger(__name__)
IMAGE_ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
_RESULTS = ('overlays', 'masks')
_RESULT_MARKS = ('cracks.json', '.unfinished')
_NAMED = 5      # subfolders that a message names


def images_below(folder: Path) -> list[Path]:
    """Return the images of a folder, by name; that those of its subfolders are not read is logged.

    :raises SourceError: there is none.
    """
    images = sorted(filter(_is_image, folder.iterdir()))
    below = [as_text(str(each.relative_to(folder))) for each in _picture_folders(folder)]
    unread = (f"pictures in subfolders are not read: {', '.join(below[:_NAMED])}"
              + (f' and {len(below) - _NAMED} more' if below[_NAMED:] else '')
              + '; give each of them by itself') if below else ''
    if not images:
        raise SourceError(f"{folder}: no image ({', '.join(IMAGE_ENDINGS)}) and no bag in it"
                          + (f'; {unread}' if unread else ''))
    if unread:
        _LOG.warning('%s: %s', folder, unread)
    return images


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_ENDINGS


def _picture_folders(folder: Path, levels: int = 2) -> Iterator[Path]:
    """Give the folders below that hold images, save the results of an inspection."""
    own = _RESULTS if any((folder / mark).exists() for mark in _RESULT_MARKS) else ()
    for each in sorted(folder.iterdir()):
        if each.name.startswith('.') or each.name in own or not each.is_dir():
            continue
        with suppress(OSError):     # not ours to look into
            if any(map(_is_image, each.iterdir())):
                yield each
            if levels > 1:
                yield from _picture_folders(each, levels - 1)


class ImageFrames:
    """Images as frames of one camera, named after their folder."""

    def __init__(self, images: Sequence[Path]) -> None:
        """Take images in this order."""
        self._images = list(images)
        # of the folder that a link lies in, wherever it leads
        self._camera_of = {folder: as_text(folder.resolve().name) or 'camera'
                           for folder in {path.parent for path in images}}
        self.cameras = sorted(self._camera_of.values())

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __iter__(self) -> Iterator[RecordedFrame]:
        """Read the images, one at a time."""
        for path, name in zip(self._images, _names(self._images)):
            camera = self._camera_of[path.parent]
            try:
                yield RecordedFrame(name, camera, (0, 0), rgb_from_compressed(path.read_bytes()))
            except (FrameError, OSError) as error:
                yield RecordedFrame(name, camera, (0, 0), None, as_text(str(error)))


def _names(images: Sequence[Path]) -> list[str]:
    """Name frames after their files, with the ending where two differ in that only."""
    count = Counter(path.stem for path in images)
    unique = UniqueNames()
    return [unique(as_text(path.stem if count[path.stem] == 1 else path.name.replace('.', '_')))
            for path in images]
