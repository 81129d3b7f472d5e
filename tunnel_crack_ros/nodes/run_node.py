# SPDX-License-Identifier: Apache-2.0
"""Start a node as a process: allocator, rclpy, spin, clean end."""

from __future__ import annotations

from collections.abc import Callable
import signal

import rclpy
from rclpy.executors import (
    ExternalShutdownException,
    MultiThreadedExecutor,
    SingleThreadedExecutor,
)
from rclpy.node import Node

from tunnel_crack_ros.nodes.allocator import keep_large_buffers


def run_node(make: Callable[[], Node], threads: int = 1) -> None:
    """Run a node until it is told to stop: SIGINT and SIGTERM are a good end, exit code 0.

    :param make: makes the node once rclpy runs.
    :param threads: of the executor; more than one for a node whose callbacks take long.
    """
    keep_large_buffers()
    # rclpy's own handler ends the spin and then calls this one; Python's would raise a
    # KeyboardInterrupt besides, in whatever line or destructor is running
    signal.signal(signal.SIGINT, lambda number, stack: None)
    rclpy.init()
    node = executor = None
    try:
        node = make()
        executor = SingleThreadedExecutor() if threads == 1 else MultiThreadedExecutor(threads)
        executor.add_node(node)
        executor.spin()
    except ExternalShutdownException:
        pass
    except Exception:
        # a signal takes the context away from under whatever callback is running
        if rclpy.ok():
            raise
    finally:
        # Ctrl+C comes twice under ros2 launch: from the terminal and from launch itself
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if executor is not None and threads > 1:
            executor.shutdown()     # its threads may be at work on the node
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # rclpy put back what was before it
