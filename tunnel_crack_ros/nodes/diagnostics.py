# SPDX-License-Identifier: Apache-2.0
"""What a camera node says in /diagnostics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from tunnel_crack_ros.nodes.counters import CameraCounters
from tunnel_crack_ros.nodes.matched_subscription import MatchedSubscription

if TYPE_CHECKING:
    from tunnel_crack_ros.nodes.camera_node import CameraNode


def diagnostic_array(node: CameraNode, inputs: Sequence[MatchedSubscription]) -> DiagnosticArray:
    """Tell how a node does: one status for the node, one for each camera.

    Stamped with the node's clock, so that a replayed bag's diagnostics carry the bag's time.
    """
    array = DiagnosticArray(status=[_node_status(node)])
    array.header.stamp = node.get_clock().now().to_msg()
    topics = dict(zip(node.parameters.cameras, inputs))
    array.status += [_camera_status(node, camera, counters, topics.get(camera))
                     for camera, counters in node.counters.items()]
    return array


def _node_status(node: CameraNode) -> DiagnosticStatus:
    status = DiagnosticStatus(name=node.get_fully_qualified_name().lstrip('/'),
                              level=DiagnosticStatus.OK, hardware_id='')
    if node.problem:
        status.level, status.message = DiagnosticStatus.ERROR, node.problem
    elif node.model is None:
        status.level, status.message = DiagnosticStatus.WARN, 'not configured'
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


def _camera_status(node: CameraNode, camera: str, counters: CameraCounters,
                   subscription: MatchedSubscription | None) -> DiagnosticStatus:
    status = DiagnosticStatus(name=f"{node.get_fully_qualified_name().lstrip('/')}: {camera}",
                              level=DiagnosticStatus.OK, message='ok', hardware_id=camera)
    status.level, status.message = _judge(node, camera, counters, subscription)
    values: list[tuple[str, object]] = [
        ('frames in', counters.received), ('done', counters.done), ('unknown', counters.unknown),
        ('dropped', sum(counters.dropped.values())),
        *((f'dropped: {reason}', count) for reason, count in sorted(counters.dropped.items())),
        ('lost on the way', counters.lost_on_the_way)]
    if subscription is not None:
        values += [('topic', subscription.topic), ('publishers', subscription.publishers)]
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values]
    return status


def _judge(node: CameraNode, camera: str, counters: CameraCounters,
           subscription: MatchedSubscription | None) -> tuple[bytes, str]:
    bad = sum(count for reason, count in counters.dropped.items() if reason not in
              ('overtaken', 'deactivated'))
    if subscription is None:
        return DiagnosticStatus.OK, 'not active'
    if bad > node.diagnosed_bad.get(camera, 0):
        node.diagnosed_bad[camera] = bad
        return DiagnosticStatus.ERROR, f'{bad} frames could not be worked on'
    if not subscription.publishers:
        return DiagnosticStatus.WARN, f'nobody publishes {subscription.topic}'
    if not counters.received:
        return DiagnosticStatus.WARN, f'no frame on {subscription.topic} yet'
    if counters.lost_on_the_way:
        return DiagnosticStatus.WARN, (f'{counters.lost_on_the_way} frames lost on the way: '
                                       'see the Fast DDS profile in the README')
    return DiagnosticStatus.OK, 'ok'
