# SPDX-License-Identifier: Apache-2.0
"""One frame of a recording, and what all recordings have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
import os
from typing import Protocol

from tunnel_crack_ros.vision import RgbFrame
from tunnel_crack_ros.vision.frame_measures import Sensed


class SourceError(ValueError):
    """A recording cannot be read; the message names it and says what was expected."""


@dataclass(frozen=True)
class RecordedFrame:
    """One frame as it was recorded."""

    name: str
    """Unique within the recording; fit for a file name."""
    camera: str
    stamp: tuple[int, int]
    """Seconds and nanoseconds of the frame's header, or of its place in a video; else 0, 0."""
    rgb: RgbFrame | None
    """uint8, H x W x 3, RGB; None when it cannot be read."""
    error: str = ''
    """Why it cannot be read."""
    sensed: Sensed = field(default_factory=Sensed)
    """What the recording's sensors say of its moment."""


def as_text(name: str) -> str:
    """Return a name that any file can hold: bytes in a path that are not UTF-8 are replaced."""
    return os.fsencode(name).decode('utf-8', 'replace')


class UniqueNames:
    """Gives each name once; one that is taken gets a number."""

    def __init__(self) -> None:
        """Begin with none."""
        self._count: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        """Return the name, or the name with `_2`, `_3`, ... behind it."""
        found = name
        while found in self._count:
            self._count[name] += 1
            found = f'{name}_{self._count[name]}'
        self._count[found] = 1
        return found


class FrameSource(Protocol):
    """A recording: its cameras, how many frames it has, and the frames in order."""

    @property
    def cameras(self) -> Sequence[str]:
        """Return the names of the cameras that frames may be of."""

    def __len__(self) -> int:
        """Return the number of frames (a video's is what its header says)."""

    def __iter__(self) -> Iterator[RecordedFrame]:
        """Read the frames, one at a time."""
