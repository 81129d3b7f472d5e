# SPDX-License-Identifier: Apache-2.0
"""A subscription that takes on the quality of service of whoever publishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind
from rclpy.subscription import Subscription

from tunnel_crack_ros.nodes.lost_messages import LostMessages
from tunnel_crack_ros.nodes.qos import DEPTH, to_match_publishers

try:
    from rclpy import event_handler as events
except ImportError:  # Humble's name of the module
    from rclpy import qos_event as events  # type: ignore[no-redef]

_AGAIN_S = 5.0  # from a subscription that failed to the next try: the middleware tells each


class MatchedSubscription:
    """A subscription made once somebody publishes, and anew when the publishers ask for another.

    To subscribe before would mean to guess, and to lose frames while the guess is put right.
    Publishers of another type are told of, and count for nothing else.
    """

    def __init__(self, node: Node, kind: type[Any], topic: str,
                 callback: Callable[[Any], None],
                 on_lost: Callable[[int], None] | None = None, depth: int = DEPTH,
                 hint: str = '') -> None:
        """Subscribe.

        :param kind: type of the messages.
        :param topic: relative name.
        :param on_lost: called with the number of messages that were lost, each told once.
        :param depth: messages that may wait for the node.
        :param hint: what to look at when the topic has another type.
        """
        self.topic = node.resolve_topic_name(topic)
        self.mismatch = ''
        """What is wrong with the type of some publisher; '' when nothing is."""
        self._name = topic  # what rclpy takes: it applies remappings itself, and only once
        self._node, self._kind, self._callback, self._on_lost = node, kind, callback, on_lost
        self._depth, self._hint = depth, hint
        self._type = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        self._qos = to_match_publishers([], depth)
        self._subscription: Subscription | None = None
        self._publishers: list[Any] = []
        self._lost = LostMessages()
        self._destroyed = False
        self._not_before_s = 0.0
        self.match()

    def match(self) -> None:
        """Look at the publishers and subscribe (anew) if they ask for it. Call it now and then.

        A subscription that fails, such as one of another type than the topic has in this process,
        is told in the log and tried again.
        """
        if self._destroyed:
            return
        self._look()
        if not self._publishers or time.monotonic() < self._not_before_s:
            return
        qos = to_match_publishers([info.qos_profile for info in self._publishers], self._depth)
        same = (qos.reliability, qos.durability) == (self._qos.reliability, self._qos.durability)
        if self._subscription is not None and same:
            return
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self._qos = qos
        self._lost.begin_anew()
        try:
            self._subscription = self._subscribe()
        except Exception as error:  # noqa: B902 out of a timer it would end the node
            self._not_before_s = time.monotonic() + _AGAIN_S
            self._node.get_logger().error(
                f'cannot subscribe to {self.topic} as {self._type}: {error}')

    def destroy(self) -> None:
        """Stop receiving."""
        self._destroyed = True
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    @property
    def publishers(self) -> int:
        """Return how many publishers of its type the topic had at the last look."""
        return len(self._publishers)

    def _look(self) -> None:
        """Find the publishers, and those of another type."""
        found = self._node.get_publishers_info_by_topic(self._name)
        fitting = [info for info in found if info.topic_type == self._type]
        if len(self._publishers) > 1 or _identities(fitting) - _identities(self._publishers):
            self._lost.begin_anew()     # not when one leaves: its last ones may still wait
        self._publishers = fitting
        others = sorted({info.topic_type for info in found} - {self._type})
        mismatch = '' if not others else (
            f"{self.topic} is published as {', '.join(others)}, expected {self._type}"
            f"{self._hint and ': ' + self._hint}")
        if mismatch and mismatch != self.mismatch:
            self._node.get_logger().warning(mismatch)
        self.mismatch = mismatch

    def _subscribe(self) -> Subscription:
        # rclpy looks whether a callback takes one argument or two
        callback: Any = self._callback if self._on_lost is None else self._receive
        callbacks = events.SubscriptionEventCallbacks(
            incompatible_qos=self._warn_incompatible, message_lost=self._on_lost_event,
            use_default_callbacks=False)
        try:
            return self._node.create_subscription(
                self._kind, self._name, callback, self._qos, event_callbacks=callbacks)
        except events.UnsupportedEventTypeError:  # not every middleware reports lost messages
            return self._node.create_subscription(self._kind, self._name, callback, self._qos)

    def _receive(self, message: Any, info: Mapping[str, Any]) -> None:
        # each publisher counts for itself, and nothing says whose message this is
        if self._node.count_publishers(self.topic) <= 1:
            # not every middleware, and not Humble, tells the number
            self._tell_lost(self._lost.came(info.get('publication_sequence_number')))
        else:
            self._lost.begin_anew()
        self._callback(message)

    def _warn_incompatible(self, event: events.QoSRequestedIncompatibleQoSInfo) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self._node.get_logger().warning(
            f"{self.topic}: a publisher's {policy} does not fit what this node asks for "
            f'({self._qos.reliability.name}, {self._qos.durability.name}): '
            'none of its messages arrive')

    def _on_lost_event(self, event: events.QoSMessageLostInfo) -> None:
        self._tell_lost(self._lost.reported(event.total_count_change))

    def _tell_lost(self, count: int) -> None:
        if count and self._on_lost is not None:
            self._on_lost(count)


def _identities(publishers: list[Any]) -> set[tuple[int, ...]]:
    return {tuple(info.endpoint_gid) for info in publishers}
