# SPDX-License-Identifier: Apache-2.0
"""Priorities of threads: who computes for others' convenience waits until nobody else computes.

Only ever lowered: without privileges Linux takes no thread back up. Elsewhere nothing is done but
what POSIX has, nice for the whole process. Priorities count among processes of one session, as
`launch` makes them: where the kernel groups tasks by session (autogroup), each session has its
share whatever they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import threading

_TASKS = Path('/proc/self/task')    # on Linux a priority is a thread's
_LOWEST = 19                        # nice value


def lower_process(nice: int) -> None:
    """Give all threads that this process has, and those they will make, a nice value, 0..19."""
    if not _TASKS.is_dir():
        os.nice(nice)
    for thread in _threads():       # libraries made some before main ran
        os.setpriority(os.PRIO_PROCESS, thread, nice)


def lower_this_thread() -> None:
    """Put the calling thread behind all others, yet never to a standstill: nice 19.

    SCHED_IDLE would stop it for seconds beside a load on all cores, and with it everybody who
    waits for Python's lock while it holds it.
    """
    if _TASKS.is_dir():
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)


@contextmanager
def native_threads_idle() -> Iterator[None]:
    """Let threads that libraries make within run only when nothing else wants the core.

    Those hold none of Python's locks: however long they stand still, the process answers.
    """
    before = _threads()
    try:
        yield
    finally:
        if hasattr(os, 'SCHED_IDLE'):
            python = {thread.native_id for thread in threading.enumerate()}
            for thread in _threads() - before - python:
                os.setpriority(os.PRIO_PROCESS, thread, _LOWEST)
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))


def _threads() -> set[int]:
    return {int(task.name) for task in _TASKS.iterdir()} if _TASKS.is_dir() else set()
