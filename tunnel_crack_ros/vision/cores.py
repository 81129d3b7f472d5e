# SPDX-License-Identifier: Apache-2.0
"""How many cores this process may compute on."""

from __future__ import annotations

import os
from pathlib import Path

_CPUS = Path('/sys/devices/system/cpu')


def allowed_cores(cpus: Path = _CPUS) -> int:
    """Return how many cores this process may use, at least 1.

    Two hyperthreads of one core count once: they share its arithmetic. `taskset` and a container's
    set of CPUs are heeded.

    :param cpus: folder in which Linux describes its CPUs; what it does not describe is taken for a
        core.
    """
    if not hasattr(os, 'sched_getaffinity'):    # not Linux
        return os.cpu_count() or 1
    return len({_core_of(number, cpus) for number in os.sched_getaffinity(0)})


def _core_of(number: int, cpus: Path) -> str:
    """Return the numbers of all CPUs that are one core with this one, e.g. `0,4`."""
    try:
        return (cpus / f'cpu{number}' / 'topology' / 'thread_siblings_list').read_text().strip()
    except OSError:
        return str(number)
