# SPDX-License-Identifier: Apache-2.0
"""How frames travel: image_transport's two usual ways and their topic names."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import CompressedImage, Image

TRANSPORTS = ('raw', 'compressed')


def frame_type(transport: str) -> type[Any]:
    """Return the message type of a transport."""
    return CompressedImage if transport == 'compressed' else Image


def frame_topic(base: str, transport: str) -> str:
    """Return the topic of a transport: `<base>`, or `<base>/compressed`."""
    return f'{base}/compressed' if transport == 'compressed' else base
