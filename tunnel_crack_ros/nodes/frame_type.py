# SPDX-License-Identifier: Apache-2.0
"""The message type that frames of a transport travel in."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import CompressedImage, Image


def frame_type(transport: str) -> type[Any]:
    """Return the message type of a transport, `raw` or `compressed`."""
    return CompressedImage if transport == 'compressed' else Image
