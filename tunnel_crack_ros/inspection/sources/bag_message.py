# SPDX-License-Identifier: Apache-2.0
"""The messages of a bag one after the other, broken ones among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection

from tunnel_crack_ros.inspection.sources.recorded_frame import SourceError


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


def _message(reader: AnyReader, data: bytes, connection: Connection) -> Any:
    try:
        return reader.deserialize(data, connection.msgtype)
    except Exception as error:  # whatever broken bytes make of code that rosbags writes itself
        return Unreadable(f'no {connection.msgtype}: {type(error).__name__}: {error}')
