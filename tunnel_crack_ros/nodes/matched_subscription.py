# SPDX-License-Identifier: Apache-2.0
"""A subscription that takes on the quality of service of whoever publishes."""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind
from rclpy.subscription import Subscription

from tunnel_crack_ros.nodes.qos import to_match_publishers

try:
    from rclpy import event_handler as events
except ImportError:  # Humble's name of the module
    from rclpy import qos_event as events  # type: ignore[no-redef]

_AGAIN_S = 5.0  # from a subscription that failed to the next try: the middleware tells each


class MatchedSubscription:
    """A subscription made once somebody publishes, and anew when the publishers ask for another.

    To subscribe before would mean to guess, and to lose frames while the guess is put right.
    """

    def __init__(self, node: Node, kind: type[Any], topic: str,
                 callback: Callable[[Any], None],
                 on_lost: Callable[[int], None] | None = None, depth: int = 10) -> None:
        """Subscribe.

        :param kind: type of the messages.
        :param topic: relative name.
        :param on_lost: called with the number of messages the middleware lost.
        :param depth: messages that may wait for the node.
        """
        self.topic = node.resolve_topic_name(topic)
        self._name = topic  # what rclpy takes: it applies remappings itself, and only once
        self._node, self._kind, self._callback, self._on_lost = node, kind, callback, on_lost
        self._depth = depth
        self._qos = to_match_publishers(node, topic, depth)
        self._subscription: Subscription | None = None
        self._destroyed = False
        self._not_before_s = 0.0
        self.match()

    def match(self) -> None:
        """Look at the publishers and subscribe (anew) if they ask for it. Call it now and then.

        A subscription that fails, such as one of another type than the topic has in this process,
        is told in the log and tried again.
        """
        if self._destroyed or not self.publishers or time.monotonic() < self._not_before_s:
            return
        qos = to_match_publishers(self._node, self._name, self._depth)
        same = (qos.reliability, qos.durability) == (self._qos.reliability, self._qos.durability)
        if self._subscription is not None and same:
            return
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self._qos = qos
        try:
            self._subscription = self._subscribe()
        except Exception as error:  # noqa: B902 out of a timer it would end the node
            self._not_before_s = time.monotonic() + _AGAIN_S
            package, name = self._kind.__module__.split('.')[0], self._kind.__name__
            self._node.get_logger().error(
                f'cannot subscribe to {self.topic} as {package}/{name}: {error}')

    def destroy(self) -> None:
        """Stop receiving."""
        self._destroyed = True
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    @property
    def publishers(self) -> int:
        """Return how many publishers the topic has."""
        return int(self._node.count_publishers(self.topic))

    def _subscribe(self) -> Subscription:
        callbacks = events.SubscriptionEventCallbacks(
            incompatible_qos=self._warn_incompatible, message_lost=self._lost,
            use_default_callbacks=False)
        try:
            return self._node.create_subscription(
                self._kind, self._name, self._callback, self._qos, event_callbacks=callbacks)
        except events.UnsupportedEventTypeError:  # not every middleware reports lost messages
            return self._node.create_subscription(
                self._kind, self._name, self._callback, self._qos)

    def _warn_incompatible(self, event: events.QoSRequestedIncompatibleQoSInfo) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self._node.get_logger().warning(
            f"{self.topic}: a publisher's {policy} does not fit what this node asks for "
            f'({self._qos.reliability.name}, {self._qos.durability.name}): '
            'none of its messages arrive')

    def _lost(self, event: events.QoSMessageLostInfo) -> None:
        if self._on_lost is not None:
            self._on_lost(event.total_count_change)
