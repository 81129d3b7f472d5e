# SPDX-License-Identifier: Apache-2.0
"""Where frames wait for the worker: the newest of each camera, cameras served in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
import threading
from typing import Generic, TypeVar

Item = TypeVar('Item')


class FrameSlots(Generic[Item]):
    """One short queue a camera. A full one loses its oldest frame, never its newest."""

    def __init__(self, cameras: Sequence[str], depth: int = 1) -> None:
        """Make an empty slot for each camera.

        :param cameras: names.
        :param depth: frames that may wait for each camera, >= 1; 1 keeps the newest only.
        """
        self._waiting: dict[str, deque[Item]] = {camera: deque() for camera in cameras}
        self._turns = deque(cameras)
        self._depth = depth
        self._changed = threading.Condition()
        self._closed = False

    def put(self, camera: str, item: Item) -> int:
        """Leave a frame for the worker.

        :return: how many older frames of this camera were dropped for it.
        """
        with self._changed:
            waiting = self._waiting[camera]
            waiting.append(item)
            dropped = max(0, len(waiting) - self._depth)
            for _ in range(dropped):
                waiting.popleft()
            self._changed.notify()
            return dropped

    def take(self) -> tuple[str, Item] | None:
        """Wait for a frame and take it; the cameras take turns.

        :return: camera and frame; None once the slots are closed.
        """
        with self._changed:
            while not self._closed:
                for _ in range(len(self._turns)):
                    camera = self._turns[0]
                    self._turns.rotate(-1)
                    if self._waiting[camera]:
                        return camera, self._waiting[camera].popleft()
                self._changed.wait()
            return None

    def close(self) -> dict[str, int]:
        """Send the worker home.

        :return: how many frames of each camera were still waiting and are dropped.
        """
        with self._changed:
            self._closed = True
            left = {camera: len(waiting) for camera, waiting in self._waiting.items()}
            self._changed.notify_all()
            return left
