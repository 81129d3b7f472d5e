# SPDX-License-Identifier: Apache-2.0
"""How much slower the segmenter is while the explainer works as hard as it can beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
import tempfile
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.action import ActionClient
from rclpy.node import Node
from sensor_msgs.msg import Image
from tunnel_crack_msgs.action import Explain

from tunnel_crack_ros.bench.latency import BenchError
from tunnel_crack_ros.nodes.image_bridge import cv2_to_imgmsg
from tunnel_crack_ros.nodes.node_processes import running, share_folder, use_private_domain
from tunnel_crack_ros.nodes.node_table import Camera, node_table, Settings
from tunnel_crack_ros.nodes.qos import RESULTS
from tunnel_crack_ros.nodes.run_node import keep_large_buffers
from tunnel_crack_ros.vision import RgbFrame

_CAMERA = 'camera'
_PATIENCE_S = 120.0
_WAITING = 2        # frames under way: the segmenter never waits for the next one
_WARM_UP = 4


@dataclass(frozen=True)
class BesideExplainer:
    """What was measured, in turns without and with a goal under way."""

    frames: int
    """Of each turn."""
    alone: list[float]
    """Frames a second of each turn without."""
    beside: list[float]
    """With the explainer at full load."""
    explainer_passes: int
    """That the explainer made in the turns with load."""

    @property
    def loss(self) -> float:
        """Return the share of the throughput that is lost, of the medians."""
        return 1.0 - float(np.median(self.beside) / np.median(self.alone))

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {'frames_per_turn': self.frames, 'alone_frames_per_s': self.alone,
                'beside_frames_per_s': self.beside, 'loss': self.loss,
                'explainer_passes': self.explainer_passes}


class _Probe(Node):
    """Keeps the segmenter busy, and the explainer when told to."""

    def __init__(self) -> None:
        super().__init__('beside_explainer_probe')
        self._frames = self.create_publisher(Image, f'{_CAMERA}/flagged', RESULTS)
        self.create_subscription(Image, f'{_CAMERA}/mask', self._on_mask, RESULTS)
        self._explain = ActionClient(self, Explain, '/explainer/explain')
        self._under_way: set[tuple[int, int]] = set()
        self._handle: Any = None
        self.passes = 0

    def ready(self) -> bool:
        """Return whether both nodes are there."""
        return (self._frames.get_subscription_count() >= 2
                and self.count_publishers(f'{_CAMERA}/mask') > 0
                and self._explain.server_is_ready())

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Spin until something holds.

        :raises BenchError: it did not in time.
        """
        end = time.monotonic() + _PATIENCE_S
        while not done():
            if time.monotonic() > end:
                raise BenchError(f'waited {_PATIENCE_S:.0f} s for {what}')
            rclpy.spin_once(self, timeout_sec=0.05)

    def frames_per_second(self, messages: Sequence[Image]) -> float:
        """Send frames as fast as their masks come."""
        start = time.perf_counter()
        for message in messages:
            self.wait(lambda: len(self._under_way) < _WAITING, 'a mask')
            message.header.stamp = self.get_clock().now().to_msg()
            self._under_way.add((message.header.stamp.sec, message.header.stamp.nanosec))
            self._frames.publish(message)
        self.wait(lambda: not self._under_way, 'the last mask')
        return len(messages) / (time.perf_counter() - start)

    def start_explaining(self, message: Image) -> None:
        """Ask for all layers of a frame, exactly: more than a turn's work."""
        before = self.passes
        sent = self._explain.send_goal_async(
            Explain.Goal(image=message, method=Explain.Goal.METHOD_EXACT,
                         layers=['layer2', 'layer4', 'decoder']),
            feedback_callback=self._on_feedback)
        self.wait(sent.done, 'the goal to be accepted')
        self._handle = sent.result()
        self.wait(lambda: self.passes > before, "the explainer's first pass")

    def stop_explaining(self) -> None:
        """Cancel the goal.

        :raises BenchError: it had come to its end before: the load was not full.
        """
        result = self._handle.get_result_async()
        if result.done():
            raise BenchError('the explainer was done before the turn was: use fewer frames')
        self._handle.cancel_goal_async()
        self.wait(result.done, 'the goal to end')
        if result.result().result.success:
            raise BenchError('the explainer was done before the turn was: use fewer frames')

    def _on_feedback(self, message: Any) -> None:
        self.passes += 1

    def _on_mask(self, message: Image) -> None:
        self._under_way.discard((message.header.stamp.sec, message.header.stamp.nanosec))


def measure_beside_explainer(frames: Sequence[RgbFrame], turns: int) -> BesideExplainer:
    """Measure with the real nodes, as processes of one session, as `launch` starts them.

    :param frames: RGB; sent in every turn.
    :param turns: without load and with, one after the other, so often.
    :raises BenchError: the nodes did not start, or the explainer had too little to do.
    """
    use_private_domain()
    keep_large_buffers()
    table = node_table(Settings(cameras=(Camera(_CAMERA),), explainer=True), share_folder())
    nodes = [replace(process, parameters={**process.parameters, 'queue_depth': _WAITING})
             for process in table if process.name != 'classifier']
    rclpy.init()
    probe = _Probe()
    alone, beside, passes = [], [], 0
    try:
        with tempfile.TemporaryDirectory() as logs, running(nodes, Path(logs)):
            probe.wait(probe.ready, 'the nodes')
            messages = [cv2_to_imgmsg(frame, 'rgb8') for frame in frames]
            probe.frames_per_second(messages[:_WARM_UP])
            for _ in range(turns):
                alone.append(probe.frames_per_second(messages))
                probe.start_explaining(messages[0])
                before = probe.passes
                beside.append(probe.frames_per_second(messages))
                passes += probe.passes - before
                probe.stop_explaining()
    finally:
        probe.destroy_node()
        rclpy.shutdown()
    return BesideExplainer(len(frames), alone, beside, passes)
