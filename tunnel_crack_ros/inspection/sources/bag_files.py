# SPDX-License-Identifier: Apache-2.0
"""The files of a bag, those of a recording that never ended among them.

`ros2 bag record` writes a file's index and `metadata.yaml` last: power that fails before leaves
neither. What was recorded until then is whole.
"""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path, PurePath
import struct
from typing import Any, BinaryIO, cast

_LOG = logging.getLogger(__name__)
_ENDINGS = ('.mcap', '.db3')
_METADATA = 'metadata.yaml'
# https://mcap.dev/spec: a file is magic, records of an opcode, a length and so many bytes, magic
_MAGIC = b'\x89MCAP0\r\n'
_RECORD = struct.Struct('<BQ')
_FOOTER, _FOOTER_BYTES = 0x02, 20
# a footer that knows of no summary: whoever reads it looks through the records
_END = _RECORD.pack(_FOOTER, _FOOTER_BYTES) + bytes(_FOOTER_BYTES) + _MAGIC


def bag_below(path: Path) -> Path | None:
    """Return what is to be opened if a path is a bag, a bag's file, or holds a bag in `bag/`.

    :return: the bag's folder, or the file where no folder says to which bag it belongs.
    """
    if path.is_file():
        if path.suffix not in _ENDINGS:
            return None
        return path.parent if (path.parent / _METADATA).is_file() else path
    for folder in (path, path / 'bag'):
        if (folder / _METADATA).is_file() or _files(folder):
            return folder
    return None


def readable_paths(bag: Path) -> list[Path]:
    """Return what `AnyReader` opens: the bag's folder, or its files where their ends are missing.

    What is left out of a file that was cut off is logged.

    :param bag: what `bag_below` found.
    :raises OSError: a file cannot be read.
    """
    files = [bag] if bag.is_file() else _files(bag)
    cut_off = {file: length for file in files if (length := whole_part(file)) is not None}
    if not cut_off and (bag / _METADATA).is_file():
        return [bag]
    for file, length in cut_off.items():
        _LOG.warning('%s: cut off, as by a loss of power; read up to byte %d of %d', file, length,
                     file.stat().st_size)
    # rosbags asks no more of a path than CutOffMcap has
    return [cast(Path, CutOffMcap(file, cut_off[file])) if file in cut_off else file
            for file in files] or [bag]


def whole_part(file: Path) -> int | None:
    """Return how much of an MCAP file is whole records.

    :return: bytes; None for a file that has its end, or is no MCAP file at all.
    :raises OSError: it cannot be read.
    """
    size = file.stat().st_size
    if file.suffix != '.mcap' or size <= len(_MAGIC):
        return None
    with file.open('rb') as content:
        begins_well = content.read(len(_MAGIC)) == _MAGIC
        content.seek(-len(_MAGIC), os.SEEK_END)
        if not begins_well or content.read() == _MAGIC:
            return None
        whole = len(_MAGIC)
        while True:
            content.seek(whole)
            head = content.read(_RECORD.size)
            if len(head) < _RECORD.size:
                return whole
            opcode, length = _RECORD.unpack(head)
            end = whole + _RECORD.size + length
            if opcode == _FOOTER or end > size:
                return whole
            whole = end


class CutOffMcap:
    """An MCAP file without its end, as a path whose content reads as if it had one."""

    suffix = '.mcap'

    def __init__(self, file: Path, length: int) -> None:
        """Take the first `length` bytes of a file, which are whole records."""
        self._file, self._length = file, length
        self.name, self.stem = file.name, file.stem

    def __str__(self) -> str:
        """Return the file's own path."""
        return str(self._file)

    def __truediv__(self, key: str | PurePath) -> Path:
        """Return a path below."""
        return self._file / key

    def exists(self) -> bool:
        """Return whether it is there."""
        return self._file.exists()

    def is_dir(self) -> bool:
        """Return False: it is a file."""
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return what the system says of the file."""
        return self._file.stat(follow_symlinks=follow_symlinks)

    def open(self, *_: Any, **__: Any) -> BinaryIO:
        """Open it for reading bytes."""
        return io.BufferedReader(_Completed(self._file, self._length))


class _Completed(io.RawIOBase):
    """The first bytes of a file, and an end after them."""

    def __init__(self, file: Path, length: int) -> None:
        self._content = file.open('rb')
        self._length, self._place = length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place,
                 os.SEEK_END: self._length + len(_END)}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        if self._place < self._length:
            self._content.seek(self._place)
            found = self._content.read(min(len(buffer), self._length - self._place))
        else:
            start = self._place - self._length
            found = _END[start:start + len(buffer)]
        buffer[:len(found)] = found
        self._place += len(found)
        return len(found)

    def close(self) -> None:
        self._content.close()
        super().close()


def _files(folder: Path) -> list[Path]:
    return sorted(file for ending in _ENDINGS for file in folder.glob(f'*{ending}'))
