# SPDX-License-Identifier: Apache-2.0
"""What the C library does with the memory of large frames. Without glibc: nothing."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_large_buffers() -> bool:
    """Let glibc keep the memory of large frames instead of giving it back after each.

    Page faults of fresh memory are two thirds of the cost of receiving an image.

    :return: whether the C library took the setting.
    """
    libc = _libc()
    return libc is not None and bool(libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
                                     and libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1))


def give_back_memory() -> None:
    """Hand what glibc kept and nobody uses back to the system, e.g. after a model went."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL('libc.so.6')
        return libc if libc.mallopt and libc.malloc_trim else None
    except (OSError, AttributeError):
        return None
