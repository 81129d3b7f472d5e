# SPDX-License-Identifier: Apache-2.0
"""What a camera node says in /diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import time
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from tunnel_crack_ros.nodes.counters import Counts
from tunnel_crack_ros.nodes.matched_subscription import MatchedSubscription

if TYPE_CHECKING:
    from tunnel_crack_ros.nodes.camera_node import CameraNode

_HARMLESS = ('overtaken', 'deactivated')  # dropped for a reason that is no fault of the frame
_STALLED_S = 5.0    # so long without a frame, a camera's driver hangs


class Diagnostics:
    """Tells in /diagnostics how a node does: one status for the node, one for each camera.

    Counts are since the node was configured; a level and its message are about what is new since
    the report before.
    """

    def __init__(self, node: CameraNode) -> None:
        """Make the publisher."""
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._before: dict[str, Counts] = {}
        self._fed: dict[str, float] = {}    # camera -> when its frames were last seen to grow, s

    def publish(self, inputs: Sequence[MatchedSubscription]) -> None:
        """Publish one report, stamped with the node's clock: a replayed bag's time.

        :param inputs: the cameras' subscriptions, in the cameras' order; empty when not active.
        """
        node = self._node
        topics = dict(zip(node.parameters.cameras, inputs))
        counts = {camera: counters.counts() for camera, counters in node.counters.items()}
        array = DiagnosticArray(status=[_node_status(node)])
        array.header.stamp = node.get_clock().now().to_msg()
        name = node.get_fully_qualified_name().lstrip('/')
        array.status += [
            _camera_status(f'{name}: {camera}', camera, now, news(now, self._before.get(camera)),
                           topics.get(camera), self._quiet_s(camera, now, camera in topics),
                           node.remark(camera), node.longest_frame_s)
            for camera, now in counts.items()]
        self._before = counts
        self._publisher.publish(array)

    def _quiet_s(self, camera: str, now: Counts, active: bool) -> float | None:
        """Return for how long no frame came, s; None: that is no fault of this node's input."""
        if self._node.input_rests:
            return None
        clock, before = time.monotonic(), self._before.get(camera)
        if not active or before is None or before.received != now.received:
            self._fed[camera] = clock
        return clock - self._fed[camera]


def news(now: Counts, before: Counts | None) -> Mapping[str, int]:
    """Return what was dropped, by reason, or lost (`lost`) since the report before.

    :param before: counts of the report before; None, or larger ones of an earlier life: of none.
    """
    if before is None or before.received > now.received:
        return now.dropped | {'lost': now.lost_on_the_way}
    return {reason: count - before.dropped.get(reason, 0)
            for reason, count in now.dropped.items()} | {
                'lost': now.lost_on_the_way - before.lost_on_the_way}


def _node_status(node: CameraNode) -> DiagnosticStatus:
    status = DiagnosticStatus(name=node.get_fully_qualified_name().lstrip('/'),
                              level=DiagnosticStatus.OK, hardware_id='')
    if node.problem:
        status.level, status.message = DiagnosticStatus.ERROR, node.problem
    elif node.model is None:
        status.level, status.message = DiagnosticStatus.WARN, 'not configured'
    elif node.model.fallback:
        status.level, status.message = DiagnosticStatus.WARN, node.model.fallback
    else:
        status.message = 'running' if node.active else 'configured, not active'
    values: list[tuple[str, object]] = []
    if node.model is not None:
        values += [('model', node.model.card.identity), ('provider', node.model.provider),
                   ('precision', node.model.card.precision)]
    for stage, (median, p95) in node.times.summary().items():
        values += [(f'{stage} median ms', f'{median:.1f}'), (f'{stage} p95 ms', f'{p95:.1f}')]
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values]
    return status


def _camera_status(name: str, camera: str, counts: Counts, new: Mapping[str, int],
                   subscription: MatchedSubscription | None, quiet_s: float | None,
                   remark: str, longest_s: float) -> DiagnosticStatus:
    level, message = _judge(counts, new, subscription, quiet_s, remark, longest_s)
    values: list[tuple[str, object]] = [
        ('frames in', counts.received), ('done', counts.done), ('unknown', counts.unknown),
        ('waiting', counts.waiting), ('dropped', sum(counts.dropped.values())),
        *((f'dropped: {reason}', count) for reason, count in sorted(counts.dropped.items())),
        ('lost on the way', counts.lost_on_the_way)]
    if subscription is not None:
        values += [('topic', subscription.topic), ('publishers', subscription.publishers)]
    return DiagnosticStatus(name=name, level=level, message=message, hardware_id=camera,
                            values=[KeyValue(key=key, value=str(value)) for key, value in values])


def _judge(counts: Counts, new: Mapping[str, int], subscription: MatchedSubscription | None,
           quiet_s: float | None, remark: str, longest_s: float) -> tuple[bytes, str]:
    if counts.busy_s > longest_s:
        return DiagnosticStatus.ERROR, f'one frame has been worked on for {counts.busy_s:.0f} s'
    bad = {reason: count for reason, count in new.items()
           if count and reason not in (*_HARMLESS, 'lost')}
    if bad:
        return DiagnosticStatus.ERROR, 'frames dropped: ' + ', '.join(
            f'{count} {reason}' for reason, count in sorted(bad.items()))
    if subscription is None:
        return DiagnosticStatus.OK, 'not active'
    if not subscription.publishers and subscription.mismatch:
        return DiagnosticStatus.WARN, subscription.mismatch
    if not subscription.publishers:
        return DiagnosticStatus.WARN, f'nobody publishes {subscription.topic}'
    if not counts.received:
        return (DiagnosticStatus.OK if quiet_s is None else DiagnosticStatus.WARN,
                f'no frame on {subscription.topic} yet')
    if new['lost']:
        return DiagnosticStatus.WARN, (
            f"{new['lost']} frames lost on the way: more at once than queue_depth, or too large "
            'for the middleware (see the Fast DDS profile in the README)')
    if new.get('overtaken'):
        return DiagnosticStatus.WARN, (f"{new['overtaken']} frames overtaken by newer ones: "
                                       'the camera is faster than this node')
    if quiet_s is not None and quiet_s >= _STALLED_S:
        return DiagnosticStatus.WARN, f'no frame on {subscription.topic} for {quiet_s:.0f} s'
    if remark:
        return DiagnosticStatus.WARN, remark
    return DiagnosticStatus.OK, 'ok'
