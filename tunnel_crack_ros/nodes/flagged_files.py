# SPDX-License-Identifier: Apache-2.0
"""Flagged frames kept as files: stage 1 "selects and saves" (Feng et al., section 2.1)."""

from __future__ import annotations

import math
import os
from pathlib import Path
import time
import uuid

import cv2

from tunnel_crack_ros.vision import RgbFrame

_COUNT_EVERY_S = 5.0     # a full folder, anew: it may hold very many files


class FlaggedFiles:
    """A folder of flagged frames that never grows over its limit. Nothing in it is deleted.

    Several processes may share one. Each keeps its own files to the limit, with those that were
    there when it last counted: at start, and while it is full.
    """

    def __init__(self, folder: Path, limit_mb: int) -> None:
        """Make the folder.

        :param folder: made if missing.
        :param limit_mb: all its frames together, MB (10^6 bytes); those already there count.
        :raises OSError: the folder cannot be made or written to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._own = uuid.uuid4().hex     # no process id: containers count theirs each from 1
        probe = folder / f'.{self._own}.writable'
        probe.touch()
        probe.unlink()
        self._folder, self._limit = folder, limit_mb * 1_000_000
        self._bytes = _bytes_in(folder)
        self._counted_s = -math.inf     # when it was last found full
        self._again: dict[str, int] = {}    # name -> frames of this name, where there are several
        self._full = False
        self.refused = 0
        """Frames not saved because the folder is full: since one did not fit."""

    def save(self, camera: str, stamp: tuple[int, int], frame: RgbFrame,
             compressed: bytes | None = None) -> bool:
        """Save one frame as `<camera>_<seconds>_<nanoseconds>.jpg`, or .png where it came raw.

        Another one of the same stamp gets `_2`, `_3`, ... behind it.

        :param camera: name of the camera.
        :param stamp: seconds and nanoseconds of the frame's header.
        :param frame: uint8, H x W x 3, RGB.
        :param compressed: the frame's file as it came, kept as it is; None: it came raw.
        :return: False when the folder is full.
        :raises OSError: the file cannot be written.
        """
        if self._full and not self._count_is_due():     # before one is encoded for nothing
            self.refused += 1
            return False
        if compressed is None:
            _, encoded = cv2.imencode('.png', cv2.cvtColor(frame, cv2.COLOR_RGB2BGR),
                                      [cv2.IMWRITE_PNG_COMPRESSION, 1])
            data, ending = encoded.tobytes(), '.png'
        else:
            data = compressed
            ending = '.png' if compressed[:4] == b'\x89PNG' else '.jpg'
        if not self._fits(len(data)):
            self._full = True
            self.refused += 1
            return False
        self._full, self.refused = False, 0
        plain = camera.strip('/').replace('/', '_')
        name = f'{plain}_{stamp[0]}_{stamp[1]:09d}'
        # under its own name only when it is whole: a disk may be full, or the power go
        part = self._folder / f'.{self._own}.part'
        try:
            part.write_bytes(data)
            while not _rename(part, self._free(name, ending)):
                pass    # another process has just taken the name
        finally:
            part.unlink(missing_ok=True)
        self._bytes += len(data)
        return True

    def _count_is_due(self) -> bool:
        return time.monotonic() - self._counted_s >= _COUNT_EVERY_S

    def _fits(self, size: int) -> bool:
        """Return whether the folder takes so many bytes more; somebody may have emptied it."""
        if self._bytes + size > self._limit and self._count_is_due():
            self._bytes, self._counted_s = _bytes_in(self._folder), time.monotonic()
        return self._bytes + size <= self._limit

    def _free(self, name: str, ending: str) -> Path:
        path = self._folder / f'{name}{ending}'
        while path.exists():
            self._again[name] = self._again.get(name, 1) + 1
            path = self._folder / f'{name}_{self._again[name]}{ending}'
        return path


def _bytes_in(folder: Path) -> int:
    """Return the size of a folder's files without the hidden ones.

    Those are what another process is about to write, and rename.
    """
    size = 0
    for file in os.scandir(folder):     # asks half as much of the disk as Path.iterdir
        try:
            size += 0 if file.name.startswith('.') or not file.is_file() else file.stat().st_size
        except FileNotFoundError:   # somebody is just emptying it
            pass
    return size


def _rename(part: Path, path: Path) -> bool:
    """Give a file its name, unless another one has it.

    :return: whether it got it.
    """
    try:
        os.link(part, path)     # unlike a rename, never in place of another file
    except FileExistsError:
        return False
    except OSError:     # a file system without links: take the name first
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        part.replace(path)
    return True
