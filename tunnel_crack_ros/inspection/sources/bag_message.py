# SPDX-License-Identifier: Apache-2.0
"""The messages of a bag one after the other, broken ones among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.typesys import get_typestore, Stores
from rosbags.typesys.store import Typestore

from tunnel_crack_ros.inspection.sources import zstd
from tunnel_crack_ros.inspection.sources.recorded_frame import SourceError

# for types that the bag does not define; Humble's Range has no variance
_DISTRIBUTIONS = (Stores.ROS2_JAZZY, Stores.ROS2_HUMBLE)
_ZSTD = b'\x28\xb5\x2f\xfd'         # no message begins so: its first byte is 0


@dataclass(frozen=True)
class Unreadable:
    """A message whose bytes are not of its type."""

    error: str


def read_messages(bag: Path, reader: AnyReader, connections: Sequence[Connection],
                  ) -> Iterator[tuple[Connection, int, Any]]:
    """Read messages in the order they were recorded.

    :param bag: for the errors.
    :param reader: of the bag, open.
    :return: topic, time of recording in ns, and the message or, if it cannot be read, Unreadable.
    :raises SourceError: the bag itself is broken from here on.
    """
    try:
        for connection, recorded_ns, data in reader.messages(connections):
            yield connection, recorded_ns, _message(reader, data, connection)
    except Exception as error:  # the storage plugins raise types of their own
        raise SourceError(f'{bag}: broken, cannot be read any further: '
                          f'{type(error).__name__}: {error}') from error


def default_types() -> Typestore:
    """Return the types of a bag that defines none itself."""
    return _types(_DISTRIBUTIONS[0])


def unpacked(data: bytes) -> bytes:
    """Return a message's bytes, decompressed where the recorder compressed each by itself.

    Only `metadata.yaml` says that it did, and that is written last.

    :raises zstd.ZstdError: it is compressed, and broken.
    """
    return zstd.decompress(data) if bytes(data[:len(_ZSTD)]) == _ZSTD else data


def _message(reader: AnyReader, data: bytes, connection: Connection) -> Any:
    try:
        data = unpacked(data)
        return reader.deserialize(data, connection.msgtype)
    except Exception as error:  # whatever broken bytes make of code that rosbags writes itself
        found = None
        if connection.msgdef.format is MessageDefinitionFormat.NONE:
            found = _of_any_distribution(data, connection.msgtype)
        return found or Unreadable(f'no {connection.msgtype}: {type(error).__name__}: {error}')


def _of_any_distribution(data: bytes, kind: str) -> Any:
    """Read a message as one of another ROS distribution; None: it is none of theirs."""
    for store in _DISTRIBUTIONS:
        with suppress(Exception):   # as above
            return _types(store).deserialize_cdr(data, kind)
    return None


@cache
def _types(store: Stores) -> Typestore:
    return get_typestore(store)
