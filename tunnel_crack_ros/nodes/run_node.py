# SPDX-License-Identifier: Apache-2.0
"""Start a node as a process: allocator, rclpy, spin, clean end."""

from __future__ import annotations

from collections.abc import Callable
import ctypes

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_large_buffers() -> bool:
    """Let glibc keep the memory of large frames instead of giving it back after each.

    Page faults of fresh memory are two thirds of the cost of receiving an image.

    :return: whether the C library took the setting.
    """
    try:
        libc = ctypes.CDLL('libc.so.6')
        return bool(libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
                    and libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1))
    except (OSError, AttributeError):  # no glibc
        return False


def run_node(make: Callable[[], Node]) -> None:
    """Run a node until it is told to stop.

    :param make: makes the node once rclpy runs.
    """
    keep_large_buffers()
    rclpy.init()
    node = make()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
