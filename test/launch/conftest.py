# SPDX-License-Identifier: Apache-2.0
"""Watch the system's topics from a node of the test's own."""

from collections.abc import Callable, Iterator
import time
from typing import Any

import pytest


class Observer:
    """A node that publishes frames and keeps what comes back."""

    def __init__(self, rclpy: Any) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('observer', context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def receive(self, kind: type, topic: str) -> list:
        """Subscribe and return the list that the messages go to."""
        received: list = []
        self.node.create_subscription(kind, topic, received.append, 10)
        return received

    def wait_for(self, what: str, condition: Callable[[], object]) -> None:
        """Take messages until the condition holds; give up after 20 s."""
        end = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < end, f'{what}: not within 20 s'
            self.executor.spin_once(timeout_sec=0.05)

    def wait_for_listener(self, topic: str) -> None:
        """Wait until the nodes subscribe reliably: for good, having seen who publishes."""
        from rclpy.qos import ReliabilityPolicy
        self.wait_for(f'a reliable subscription of {topic}', lambda: any(
            info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
            for info in self.node.get_subscriptions_info_by_topic(topic)))

    def send_until(self, what: str, send: Callable[[], None],
                   condition: Callable[[], object]) -> None:
        """Send again and again until the condition holds.

        That two nodes know each other cannot be seen from a third: only that data passes.
        """
        again = 0.0

        def sent_and_done() -> object:
            nonlocal again
            if not condition() and time.monotonic() > again:
                again = time.monotonic() + 0.5
                send()
            return condition()

        self.wait_for(what, sent_and_done)

    def drain(self, *received: list) -> None:
        """Take what is still on its way, until nothing came for half a second; then forget it."""
        quiet = time.monotonic()
        while time.monotonic() < quiet + 0.5:
            before = sum(map(len, received))
            self.executor.spin_once(timeout_sec=0.05)
            if sum(map(len, received)) > before:
                quiet = time.monotonic()
        for messages in received:
            messages.clear()

    def close(self) -> None:
        """Take the node down."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()


@pytest.fixture
def observer() -> Iterator[Observer]:
    rclpy = pytest.importorskip('rclpy', reason='rclpy is not installed')
    pytest.importorskip('rclpy.executors')
    watching = Observer(rclpy)
    yield watching
    watching.close()
