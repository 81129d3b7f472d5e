# SPDX-License-Identifier: Apache-2.0
"""An MCAP file whose recording never ended, read as if it had (https://mcap.dev/spec).

A file is magic, records of an opcode, a length and so many bytes, and magic. Messages lie in
chunks; what is written last, and missing here, is the summary that tells where the chunks are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
import io
import logging
import os
from pathlib import Path, PurePath
import struct
from typing import Any, BinaryIO

from tunnel_crack_ros.inspection.sources import zstd

_LOG = logging.getLogger(__name__)
_MAGIC = b'\x89MCAP0\r\n'
_RECORD = struct.Struct('<BQ')
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _CHUNK_INDEX = 0x02, 0x03, 0x04, 0x05, 0x06, 0x08
_FOOTER_BODY = struct.Struct('<QQI')    # starts of the summary and its offsets, checksum
_CHUNK_HEAD = struct.Struct('<QQQII')   # first and last time, size, checksum, length of a name
_INDEX_HEAD, _INDEX_ENTRY = 15, 16      # bytes of a message index, and of each message in it


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
        for opcode, start, length in _records(content, whole, size):
            if opcode == _FOOTER:
                break
            whole = start + length
        return whole


class CutOffMcap:
    """The path of an MCAP file without its end, whose content reads as if it had one."""

    suffix = '.mcap'

    def __init__(self, file: Path, length: int) -> None:
        """Take the first `length` bytes of a file, which are whole records."""
        self._file, self._length = file, length
        self._end: bytes | None = None
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
        if self._end is None:       # made by reading all of the file: once is enough
            with self._file.open('rb') as content:
                self._end = _end(content, self._length)
        return io.BufferedReader(_Completed(self._file, self._length, self._end))


class _Completed(io.RawIOBase):
    """The first bytes of a file, and an end after them."""

    def __init__(self, file: Path, length: int, end: bytes) -> None:
        self._content, self._end = file.open('rb'), end
        self._length, self._place = length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place,
                 os.SEEK_END: self._length + len(self._end)}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        if self._place < self._length:
            self._content.seek(self._place)
            found = self._content.read(min(len(buffer), self._length - self._place))
        else:
            start = self._place - self._length
            found = self._end[start:start + len(buffer)]
        buffer[:len(found)] = found
        self._place += len(found)
        return len(found)

    def close(self) -> None:
        self._content.close()
        super().close()


@dataclass
class _Contents:
    """What a summary tells: records as they are, by number, and an index of each chunk."""

    schemas: dict[int, bytes] = field(default_factory=dict)
    channels: dict[int, bytes] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)

    def note(self, opcode: int, body: bytes) -> None:
        """Take a schema or channel; its number comes first."""
        known = {_SCHEMA: self.schemas, _CHANNEL: self.channels}.get(opcode)
        if known is not None:
            known[int.from_bytes(body[:2], 'little')] = _record(opcode, body)


def _end(content: BinaryIO, length: int) -> bytes:
    """Make the end of a file: a summary, the footer, magic.

    Without a summary whoever reads it looks through the records, and wants them in the order of
    time, which recorders do not promise. So it is left out only where it would not help.
    """
    found = _Contents()
    for opcode, start, size in _records(content, len(_MAGIC), length):
        if opcode == _CHUNK:
            content.seek(start)
            try:
                _note_chunk(found, start, content.read(size))
            except Exception as error:  # each compression has errors of its own
                _LOG.warning('%s: the chunk at byte %d is broken and left out: %s: %s',
                             content.name, start, type(error).__name__, error)
        elif opcode in (_SCHEMA, _CHANNEL):
            content.seek(start)
            found.note(opcode, content.read(size))
    summary = b''.join([*found.schemas.values(), *found.channels.values(), *found.chunks])
    where = length if found.chunks else 0
    return ((summary if found.chunks else b'')
            + _record(_FOOTER, _FOOTER_BODY.pack(where, 0, 0)) + _MAGIC)


def _note_chunk(found: _Contents, start: int, body: bytes) -> None:
    """Take what a chunk holds.

    :param start: of its body in the file.
    """
    first, last, size, _, letters = _CHUNK_HEAD.unpack_from(body)
    names = _CHUNK_HEAD.size
    kind = body[names:names + letters]
    packed = body[names + letters + 8:]
    inside = io.BytesIO(_unpacked(kind.decode(), packed))
    messages: Counter[int] = Counter()
    for opcode, place, length in _records(inside, 0, size):
        inside.seek(place)
        if opcode == _MESSAGE:
            messages[int.from_bytes(inside.read(2), 'little')] += 1
        else:
            found.note(opcode, inside.read(length))
    # readers count a channel's messages by the room that its index takes behind the chunk
    at, offsets = start + len(body), b''
    for channel, count in messages.items():
        offsets += struct.pack('<HQ', channel, at)
        at += _INDEX_HEAD + _INDEX_ENTRY * count
    begin = start - _RECORD.size
    found.chunks.append(_record(_CHUNK_INDEX, b''.join((
        struct.pack('<QQQQ', first, last, begin, _RECORD.size + len(body)),
        struct.pack('<I', len(offsets)), offsets, struct.pack('<Q', at - start - len(body)),
        struct.pack('<I', len(kind)), kind, struct.pack('<QQ', len(packed), size)))))


def _unpacked(kind: str, packed: bytes) -> bytes:
    """Return a chunk's records.

    :param kind: of compression.
    :raises ValueError: a kind that MCAP does not know.
    """
    if not kind:
        return packed
    if kind == 'lz4':
        import lz4.frame
        return bytes(lz4.frame.decompress(packed))
    if kind == 'zstd':
        return bytes(zstd.decompress(packed))
    raise ValueError(f"a chunk is compressed by '{kind}', expected lz4 or zstd")


def _records(content: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Give opcode, and start and length of the body, of every whole record between two places."""
    while start + _RECORD.size <= end:
        content.seek(start)
        opcode, length = _RECORD.unpack(content.read(_RECORD.size))
        start += _RECORD.size
        if start + length > end:
            return
        yield opcode, start, length
        start += length


def _record(opcode: int, body: bytes) -> bytes:
    return _RECORD.pack(opcode, len(body)) + body
