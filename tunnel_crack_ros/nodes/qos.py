# SPDX-License-Identifier: Apache-2.0
"""The one home of quality-of-service profiles."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

RESULTS = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST,
                     reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.VOLATILE)
"""Verdicts, flagged frames, masks, cracks: what a recorder must not miss."""

DEPTH = 10
"""Messages that may wait between the middleware and a node, where nothing else is said."""


def to_match_publishers(offers: Sequence[QoSProfile], depth: int = DEPTH) -> QoSProfile:
    """Return the profile that receives from every publisher a topic has.

    Reliable only where all publishers offer it (large frames arrive whole that way), else best
    effort, which fits any publisher. The same for transient local. Without a publisher: as
    sensor data.

    :param offers: how each of them publishes.
    :param depth: messages that may wait for the node.
    """
    reliable = bool(offers) and all(
        offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
    local = bool(offers) and all(
        offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
    return QoSProfile(
        depth=depth, history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if local else DurabilityPolicy.VOLATILE)
