# SPDX-License-Identifier: Apache-2.0
"""How frames travel: image_transport's two usual ways and their topic names."""

from __future__ import annotations

TRANSPORTS = ('raw', 'compressed')


def frame_topic(base: str, transport: str) -> str:
    """Return the topic of a transport: `<base>`, or `<base>/compressed`."""
    return f'{base}/compressed' if transport == 'compressed' else base
