# SPDX-License-Identifier: Apache-2.0
"""How long a frame takes from its publisher to its mask, and what share of that is inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
import tempfile
import time
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from tunnel_crack_ros.frame_topic import frame_topic
from tunnel_crack_ros.nodes.frame_type import frame_type
from tunnel_crack_ros.nodes.image_bridge import cv2_to_imgmsg
from tunnel_crack_ros.nodes.node_processes import running, share_folder, use_private_domain
from tunnel_crack_ros.nodes.node_table import Camera, node_table, Settings
from tunnel_crack_ros.nodes.qos import RESULTS
from tunnel_crack_ros.nodes.run_node import keep_large_buffers
from tunnel_crack_ros.vision import RgbFrame

_CAMERA = 'camera'
_PATIENCE_S = 60.0
_WARM_UP = 5  # frames before the clock runs


class BenchError(RuntimeError):
    """The measurement could not be made."""


@dataclass(frozen=True)
class Latency:
    """What was measured, ms: medians and 95th percentiles over the frames."""

    frames: int
    transport: str
    total_median: float
    total_p95: float
    """From publish() of the frame to the mask in the subscriber's callback."""
    inference_median: float
    """Classifier's and segmenter's own stages: resize, network, clean-up."""
    stages: dict[str, float]
    """Median of every stage of both nodes, ms."""

    @property
    def inference_share(self) -> float:
        """Return the share of the whole that is model inference, 0..1."""
        return self.inference_median / self.total_median

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {'frames': self.frames, 'transport': self.transport,
                'end_to_end_ms': {'median': self.total_median, 'p95': self.total_p95},
                'inference_ms': self.inference_median, 'inference_share': self.inference_share,
                'stages_ms': self.stages}


class _Probe(Node):
    """Publishes frames one by one and takes the time until their mask is there."""

    def __init__(self, transport: str) -> None:
        super().__init__('latency_probe')
        self._transport = transport
        topic = frame_topic(f'{_CAMERA}/image_raw', transport)
        self.frames = self.create_publisher(frame_type(transport), topic, RESULTS)
        self.create_subscription(Image, f'{_CAMERA}/mask', self._on_mask, RESULTS)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._arrived: dict[tuple[int, int], float] = {}
        self.stages: dict[str, float] = {}

    def ready(self) -> bool:
        """Return whether both nodes listen and the mask's publisher is known."""
        return (self.frames.get_subscription_count() > 0
                and self.count_subscribers(frame_topic(f'{_CAMERA}/flagged', self._transport)) > 0
                and self.count_publishers(f'{_CAMERA}/mask') > 0)

    def wait(self, done: Any, what: str, patience_s: float = _PATIENCE_S) -> None:
        """Spin until something holds.

        :raises BenchError: it did not in that time.
        """
        end = time.monotonic() + patience_s
        while not done():
            if time.monotonic() > end:
                raise BenchError(f'waited {patience_s:.0f} s for {what}')
            rclpy.spin_once(self, timeout_sec=0.05)

    def warm_up(self, message: Any) -> None:
        """Send a frame until its mask comes back: the nodes discover each other one by one.

        :raises BenchError: it never does.
        """
        for _ in range(10):
            try:
                self.measure(message, patience_s=3.0)
                return
            except BenchError:
                continue
        raise BenchError('no mask came back for any of 10 frames; are the nodes running?')

    def measure(self, message: Any, patience_s: float = _PATIENCE_S) -> float:
        """Send one frame; return the time until its mask arrived, s."""
        message.header.stamp = self.get_clock().now().to_msg()
        key = (message.header.stamp.sec, message.header.stamp.nanosec)
        start = time.perf_counter()
        self.frames.publish(message)
        self.wait(lambda: key in self._arrived, 'the mask of a frame', patience_s)
        return self._arrived.pop(key) - start

    def _on_mask(self, message: Image) -> None:
        self._arrived[message.header.stamp.sec, message.header.stamp.nanosec] = \
            time.perf_counter()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for value in status.values:
                if value.key.endswith(' median ms'):
                    stage = f"{status.name} {value.key.removesuffix(' median ms')}"
                    self.stages[stage] = float(value.value)


def measure_latency(frames: Sequence[RgbFrame], transport: str = 'raw') -> Latency:
    """Measure with the real nodes, as processes, one frame at a time.

    :param frames: RGB, all of one size; each is sent once. Every frame is flagged (threshold 0),
        so that both stages run on all of them.
    :param transport: raw or compressed.
    :raises BenchError: the nodes did not start or a frame got lost.
    """
    use_private_domain()
    keep_large_buffers()
    settings = Settings(cameras=(Camera(_CAMERA),), transport=transport)
    table = node_table(settings, share_folder())
    table[0] = replace(table[0], parameters={
        **table[0].parameters, 'threshold': 0.0, 'min_brightness': 0.0,
        'max_brightness': 255.0, 'max_saturated': 1.0, 'max_blur': 1.0})
    rclpy.init()
    probe = _Probe(transport)
    try:
        with tempfile.TemporaryDirectory() as logs, running(table, Path(logs)):
            probe.wait(probe.ready, 'the nodes')
            messages = [_message(frame, transport) for frame in frames]
            for message in messages[:_WARM_UP]:
                probe.warm_up(message)
            seconds = [probe.measure(message) for message in messages]
            probe.stages.clear()
            probe.wait(lambda: {'classifier classify', 'segmenter segment'} <= set(probe.stages),
                       'diagnostics')
            stages = dict(probe.stages)
    finally:
        probe.destroy_node()
        rclpy.shutdown()
    milliseconds = np.array(seconds) * 1e3
    return Latency(len(frames), transport, float(np.median(milliseconds)),
                   float(np.percentile(milliseconds, 95)),
                   stages['classifier classify'] + stages['segmenter segment'], stages)


def _message(frame: RgbFrame, transport: str) -> Any:
    if transport == 'raw':
        return cv2_to_imgmsg(frame, 'rgb8')
    message = CompressedImage(format='jpeg')
    _, encoded = cv2.imencode('.jpg', cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    message.data.frombytes(encoded.tobytes())
    return message
