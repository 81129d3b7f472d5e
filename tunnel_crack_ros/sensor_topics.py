# SPDX-License-Identifier: Apache-2.0
"""Which topic is which camera's sensor, as users write it: `left=/a,right=/b`, or one for all."""

from __future__ import annotations

from collections.abc import Sequence


def sensor_topics(name: str, text: str, cameras: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read pairs of camera and topic.

    :param name: of the argument, for the error.
    :param text: `camera=topic` with commas between, or one topic, which is that of all cameras.
    :param cameras: names of all cameras; empty: they are not known here, any name will do.
    :raises ValueError: it is not said of which camera, there is no such camera, or one has two.
    """
    pairs: list[tuple[str, str]] = []
    for part in filter(None, (part.strip() for part in text.split(','))):
        camera, equals, topic = part.partition('=')
        of = [camera] if equals else list(cameras)
        if not equals:
            topic = part
        if not topic or not of or not all(each and each in (cameras or of) for each in of):
            raise ValueError(f"{name}: '{part}', expected camera=topic, the camera one of "
                             f"{', '.join(cameras) or 'those in the parameter file'}")
        pairs += [(each, topic) for each in of]
    found = [camera for camera, _ in pairs]
    if len(set(found)) < len(found):
        raise ValueError(f"{name}: '{text}' names two topics for one camera")
    return tuple(pairs)
