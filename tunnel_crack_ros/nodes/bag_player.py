# SPDX-License-Identifier: Apache-2.0
"""Publish a bag's messages at their own rate, as `ros2 bag play` does, without rosbag2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import importlib
from pathlib import Path
import threading
import time
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import (
    get_current_signal_handlers_options,
    SignalHandlerOptions,
    uninstall_signal_handlers,
)
from rosbags.interfaces import Connection, Qos, QosDurability, QosReliability
from rosbags.rosbag2 import Reader
from rosgraph_msgs.msg import Clock

from tunnel_crack_ros.inspection.sources.bag_files import (
    bag_below,
    BagFiles,
    files_of,
    has_metadata,
)
from tunnel_crack_ros.inspection.sources.bag_message import unpacked

_SLICE_S = 0.05         # longest sleep at a stretch, so that an end is noticed
_OTHERS_S = 5.0         # how long topics without images may take to find a subscriber
_LAST_WORDS_S = 5.0     # how long the last reliable messages may take to arrive
_IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')


class BagError(ValueError):
    """A bag cannot be played; one line says what was found and what was expected."""


@dataclass(frozen=True)
class PlayResult:
    """How a replay went.

    :param published: messages published, without ``/clock``.
    :param seconds: time it took, s.
    :param latest_ms: how much too late the latest message was published, ms.
    :param interrupted: True when it was ended before the bag was.
    """

    published: int
    seconds: float
    latest_ms: float
    interrupted: bool


def play(
    bag: Path, rate: float = 1.0, clock_hz: float | None = None, loop: bool = False,
    topics: Sequence[str] | None = None, start_delay: float = 0.0,
    wait_for_subscribers: bool = False, ros_args: Sequence[str] | None = None,
) -> PlayResult:
    """Publish a bag's messages as serialised bytes, each at its time in the bag.

    Ctrl-C, SIGTERM or a shutdown of the context end it and are no error.

    :param bag: folder of a rosbag2 bag, its MCAP or SQLite3 file, or a folder that holds one in
        `bag/`, as `tunnel_crack simulate` writes it.
    :param rate: how many times faster than recorded, > 0.
    :param clock_hz: publish the bag's time on ``/clock`` so often, Hz of real time, > 0.
    :param loop: start again at the end, until interrupted.
    :param topics: publish only these topics of the bag; None: all.
    :param start_delay: wait so long before the first message, s, >= 0.
    :param wait_for_subscribers: start when every image topic has a subscriber, and every other
        one, too, or five seconds have passed; in a bag without images, when every topic has one.
    :param ros_args: arguments for rclpy, such as ``['--ros-args', '-r', '/a:=/b']``.
    :raises BagError: the bag is missing, empty or broken, or a type of its is not installed.
    :raises ValueError: a number is out of its range.
    """
    for name, value, allowed in (
            ('rate', rate, rate > 0), ('clock_hz', clock_hz, clock_hz is None or clock_hz > 0),
            ('start_delay', start_delay, start_delay >= 0)):
        if not allowed:
            least = '0 or more' if name == 'start_delay' else 'more than 0'
            raise ValueError(f'{name}: {value:g} is out of range: expected {least}')
    with _opened(bag) as reader:
        chosen = _chosen(reader, bag, topics, clock_hz is not None)
        types = {connection.msgtype: _message_class(connection, bag) for connection in chosen}
        context = Context()
        # A context of one's own is not ended by signals unless asked for; SIGTERM counts too.
        before = get_current_signal_handlers_options()
        catch = before == SignalHandlerOptions.NO and (
            threading.current_thread() is threading.main_thread())
        rclpy.init(
            args=list(ros_args) if ros_args else [], context=context,
            signal_handler_options=SignalHandlerOptions.ALL if catch else SignalHandlerOptions.NO)
        player = None
        try:
            player = BagPlayer(chosen, types, context)
            player.wait(start_delay)
            if wait_for_subscribers:
                player.wait_for_subscribers()
            while True:
                player.play_once(reader, rate, clock_hz)
                if not loop:
                    break
            player.finish()
        except (KeyboardInterrupt, ExternalShutdownException):
            return _result(player, interrupted=True)
        except Exception as error:
            # A signal takes the context away from under the publisher: an end, no failure.
            if context.ok():
                raise _told(bag, error) from error
            return _result(player, interrupted=True)
        finally:
            if player is not None and context.ok():
                player.node.destroy_node()
            context.try_shutdown()
            if catch:
                uninstall_signal_handlers()
        return _result(player, interrupted=False)


class BagPlayer:
    """A node with a publisher for each topic of a bag, and the schedule."""

    def __init__(
        self, connections: Sequence[Connection], types: dict[str, type], context: Context,
    ) -> None:
        """Make the publishers.

        :param connections: what to publish.
        :param types: message class of each type name.
        :param context: where rclpy runs.
        """
        self._context = context
        self.node = Node('bag_player', context=context, enable_rosout=False,
                         start_parameter_services=False)
        self._connections = list(connections)
        by_topic: dict[str, list[Connection]] = {}
        for connection in connections:
            by_topic.setdefault(connection.topic, []).append(connection)
        self._publishers: dict[str, Publisher] = {
            topic: self.node.create_publisher(
                types[same[0].msgtype], topic,
                offered_profile([
                    qos for each in same
                    for qos in getattr(each.ext, 'offered_qos_profiles', [])]))
            for topic, same in by_topic.items()}
        self._images = {c.topic for c in connections if c.msgtype in _IMAGES}
        self._clock: Publisher | None = None
        self._began = time.monotonic()
        self.published = 0
        self.latest_s = 0.0

    @property
    def seconds(self) -> float:
        """Time since the player was made, s."""
        return time.monotonic() - self._began

    def wait(self, seconds: float) -> None:
        """Sleep, but end when the context does."""
        self._wait_until(time.monotonic() + seconds)

    def wait_for_subscribers(self) -> None:
        """Wait until every image topic, or without images every topic, has a subscriber.

        Whoever takes the images may want calibration, range and odometry as well and find them a
        moment later: frames before that would have no scale. But a bag may hold what nobody wants.
        """
        awaited = [publisher for topic, publisher in self._publishers.items()
                   if topic in self._images or not self._images]
        while not all(publisher.get_subscription_count() for publisher in awaited):
            self.wait(_SLICE_S)
        end = time.monotonic() + _OTHERS_S
        while time.monotonic() < end and not all(
                publisher.get_subscription_count() for publisher in self._publishers.values()):
            self.wait(_SLICE_S)

    def play_once(self, reader: Reader, rate: float, clock_hz: float | None) -> None:
        """Publish all messages, once.

        Every wait is until a time on the monotonic clock that is reckoned from the first
        message, so that being late once does not make all that follows late.

        :param reader: an open bag.
        :param rate: how many times faster than recorded.
        :param clock_hz: publish ``/clock`` so often, Hz of real time.
        """
        if clock_hz is not None and self._clock is None:
            self._clock = self.node.create_publisher(
                Clock, '/clock', QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
        ticks = 0
        first: int | None = None
        begin = 0.0
        for connection, stamp, data in reader.messages(self._connections):
            if first is None:
                first, begin = stamp, time.monotonic()
            due = begin + (stamp - first) / 1e9 / rate
            while clock_hz is not None and begin + ticks / clock_hz <= due:
                self._wait_until(begin + ticks / clock_hz)
                self._publish_clock(first + round(ticks / clock_hz * rate * 1e9))
                ticks += 1
            self._wait_until(due)
            # A copy: a reader may hand out a view of its file, publish() wants bytes.
            self._publishers[connection.topic].publish(bytes(unpacked(data)))
            self.latest_s = max(self.latest_s, time.monotonic() - due)
            self.published += 1

    def finish(self) -> None:
        """Give the last messages the time to arrive."""
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=_LAST_WORDS_S))

    def _publish_clock(self, stamp: int) -> None:
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(stamp, 10**9)
        assert self._clock is not None
        self._clock.publish(message)

    def _wait_until(self, due: float) -> None:
        while True:
            if not self._context.ok():
                raise ExternalShutdownException
            left = due - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _SLICE_S))


def offered_profile(recorded: Sequence[Qos]) -> QoSProfile:
    """Return the profile to publish with, from those that were recorded.

    When a topic had several publishers the stronger promise is made, which serves subscribers of
    either. A bag that tells nothing is played reliably. Deadline and lifespan are left out: they
    held for the rate of the recording.

    :param recorded: the profiles offered when the bag was recorded; may be empty.
    """
    best_effort = bool(recorded) and all(
        qos.reliability is QosReliability.BEST_EFFORT for qos in recorded)
    local = any(qos.durability is QosDurability.TRANSIENT_LOCAL for qos in recorded)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        # Depth 0 and 1 are often recorded for "unknown"; a burst needs some room.
        depth=min(max([10, *(qos.depth for qos in recorded)]), 1000),
        reliability=(ReliabilityPolicy.BEST_EFFORT if best_effort
                     else ReliabilityPolicy.RELIABLE),
        durability=DurabilityPolicy.TRANSIENT_LOCAL if local else DurabilityPolicy.VOLATILE)


@contextmanager
def _opened(bag: Path) -> Iterator[Reader]:
    """Open a bag; whatever is wrong with it becomes one line."""
    if not bag.exists():
        raise BagError(f'{bag}: no such bag: expected the folder of a rosbag2 bag or its file')
    try:
        found = bag if bag.is_file() else bag_below(bag)
        if found is None:
            raise BagError(f'{bag}: no metadata.yaml in it: expected the folder of a rosbag2 bag')
        files = BagFiles(found)
        path, *others = files.paths
        if others:      # nothing says how they belong together
            why = ('not all of its files can be read as they are' if has_metadata(found)
                   else 'no metadata.yaml in it')
            raise BagError(f'{bag}: {why}: expected one of its files, '
                           f"{', '.join(each.name for each in files_of(found))}")
        reader = Reader(path)
        reader.open()
    except Exception as error:      # rosbags raises what its parsers raise
        raise _told(bag, error) from error
    try:
        yield reader
    finally:
        reader.close()


def _told(bag: Path, error: Exception) -> Exception:
    """Return an error that names the bag, when it is the bag's own fault."""
    if isinstance(error, BagError) or type(error).__module__.startswith('rclpy'):
        return error
    return BagError(f'{bag}: broken: {str(error).splitlines()[0] if str(error) else error!r}')


def _chosen(
    reader: Reader, bag: Path, topics: Sequence[str] | None, own_clock: bool,
) -> list[Connection]:
    """Return what is to be published; a recorded ``/clock`` gives way to one of our own."""
    if not reader.message_count:
        raise BagError(f'{bag}: empty: expected at least one message')
    there = {connection.topic for connection in reader.connections}
    missing = sorted(set(topics or ()) - there)
    if missing:
        raise BagError(
            f'{bag}: no topic {", ".join(missing)}: it has {", ".join(sorted(there))}')
    chosen = [
        connection for connection in reader.connections
        if (not topics or connection.topic in topics)
        and not (own_clock and connection.topic == '/clock')]
    if not chosen:
        raise BagError(f'{bag}: nothing to play but /clock')
    types: dict[str, str] = {}
    for connection in chosen:
        before = types.setdefault(connection.topic, connection.msgtype)
        if before != connection.msgtype:
            raise BagError(
                f'{bag}: {connection.topic} has two types, {before} and {connection.msgtype}: '
                'expected one')
    return chosen


def _message_class(connection: Connection, bag: Path) -> type:
    """Import a message class by the name that the bag gives it."""
    parts = connection.msgtype.split('/')
    try:
        if len(parts) != 3:
            raise AttributeError
        found: Any = getattr(importlib.import_module('.'.join(parts[:2])), parts[2])
    except (ImportError, AttributeError):
        raise BagError(
            f'{bag}: {connection.topic} has the type {connection.msgtype}, which is not '
            f'installed: install the package {parts[0]}, or choose other topics') from None
    message_class: type = found
    return message_class


def _result(player: BagPlayer | None, interrupted: bool) -> PlayResult:
    if player is None:
        return PlayResult(0, 0.0, 0.0, interrupted)
    return PlayResult(player.published, player.seconds, 1000 * player.latest_s, interrupted)
