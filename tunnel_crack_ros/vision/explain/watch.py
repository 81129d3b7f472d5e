# SPDX-License-Identifier: Apache-2.0
"""Ends a run of the network that lasts too long, or that nobody wants any more."""

from __future__ import annotations

import threading
from types import TracebackType

from tunnel_crack_ros.vision.explain.timing import Timing
from tunnel_crack_ros.vision.model import Model

_LOOK_S = 0.05      # between two looks


class Watch:
    """Looks at the time while another thread runs the network; a context manager.

    Beside a load on all cores one pass of a process that gives way may take a minute.
    """

    def __init__(self, model: Model, timing: Timing) -> None:
        """Prepare; the thread starts on entering."""
        self._model, self._timing = model, timing
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name='watch')

    def __enter__(self) -> Watch:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Look no more."""
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(_LOOK_S):
            if self._timing.overdue:
                self._model.stop_runs()
