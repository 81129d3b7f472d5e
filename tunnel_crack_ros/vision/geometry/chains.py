# SPDX-License-Identifier: Apache-2.0
"""A skeleton as a graph: chains of pixels between ends and junctions, without spurs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.thinning import Skeleton

Indices = npt.NDArray[np.int64]
FREE = -1
_SPUR_DEPTHS = 1.5   # a spur to the corner of a square end is 1.41 half widths long
_SPUR_PX = 2.0       # what noise on the edge of a hairline makes
_ROUNDS = 4          # spurs on spurs


@dataclass(frozen=True)
class Chains:
    """Chains of all pieces of a frame. Chain k has the pixels order[edges[k]:edges[k + 1]]."""

    order: Indices
    """Indices into the skeleton, chain after chain, each from its start to its end."""
    edges: Indices
    """K + 1."""
    nodes: Indices
    """K x 2, the junction at start and end, FREE where there is none."""
    closed: npt.NDArray[np.bool_]
    """K, a ring without a junction."""
    node_points: npt.NDArray[np.float64]
    """J x 2, x and y of the junctions, px."""
    node_depths: npt.NDArray[np.float64]
    """J, half the width there, about, px."""
    node_labels: npt.NDArray[np.int32]
    """J, piece of each junction."""


def trace_chains(skeleton: Skeleton) -> tuple[Skeleton, Chains]:
    """Trace the chains and drop spurs: side chains no longer than the crack is wide there.

    :return: the skeleton without the spurs' pixels, and its chains.
    """
    chains = _trace(skeleton)
    for _ in range(_ROUNDS):
        spur = _spurs(chains)
        if not spur.any():
            break
        keep = np.ones(skeleton.rows.size, bool)
        keep[chains.order[np.repeat(spur, np.diff(chains.edges))]] = False
        skeleton = Skeleton(skeleton.rows[keep], skeleton.columns[keep], skeleton.labels[keep],
                            skeleton.depths[keep])
        chains = _trace(skeleton)
    return skeleton, chains


def _spurs(chains: Chains) -> npt.NDArray[np.bool_]:
    """Return which chains end freely and are short against the width where they begin."""
    attached = chains.nodes != FREE
    one_end = attached.sum(axis=1) == 1
    if not one_end.any():
        return one_end
    node = np.where(attached[:, 0], chains.nodes[:, 0], chains.nodes[:, 1])
    limit = _SPUR_DEPTHS * chains.node_depths[np.maximum(node, 0)] + _SPUR_PX \
        if chains.node_depths.size else np.zeros(node.size)
    return one_end & (np.diff(chains.edges) <= limit)


def _trace(skeleton: Skeleton) -> Chains:
    links = _links(skeleton)
    at = np.flatnonzero((links > 0).sum(axis=0, dtype=np.uint8) >= 3)
    junctions = at.tolist()
    clusters, count = _clusters(links, junctions)
    found = np.array([clusters[junction] for junction in junctions], np.int64)
    members = np.bincount(found, minlength=count)
    points = np.column_stack([np.bincount(found, skeleton.columns[at], count),
                              np.bincount(found, skeleton.rows[at], count)]) / members[:, None]
    depths = np.zeros(count)
    np.maximum.at(depths, found, skeleton.depths[at])
    labels = np.zeros(count, np.int32)
    labels[found] = skeleton.labels[at]
    # where a pixel has at most two neighbours, one is the largest, the other the rest of the sum
    one = links.max(axis=0, initial=0)
    other = links.sum(axis=0) - one
    is_junction = np.zeros(one.size + 1, bool)
    is_junction[at + 1] = True
    other[at] = one[at] = 0
    ends = np.flatnonzero(((other == 0) | is_junction[one] | is_junction[other])
                          & ~is_junction[1:])
    return Chains(*_walked(one.tolist(), other.tolist(), clusters, junctions, ends.tolist()),
                  points, depths, labels)


def _links(skeleton: Skeleton) -> npt.NDArray[np.int64]:
    """Link neighbouring pixels; diagonally only where no path round the corner exists.

    :return: 8 x N, 1 + index of each pixel's neighbour in each direction, 0 where there is none.
    """
    pitch = int(skeleton.columns.max(initial=0)) + 3
    flat = (skeleton.rows + 1) * pitch + skeleton.columns + 1
    size = flat.size
    links = np.zeros((8, size), np.int64)
    if size == 0:
        return links
    behind = np.append(flat, [-1, -1, -1])  # the pixels are in order: the next below is close by
    right = behind[1:size + 1] == flat + 1
    left = np.append([False], right[:-1])
    first = np.searchsorted(flat, flat + pitch - 1)
    below_left = behind[first] == flat + pitch - 1
    second = first + below_left
    below = behind[second] == flat + pitch
    third = second + below
    below_right = (behind[third] == flat + pitch + 1) & ~(right | below)
    below_left &= ~(left | below)
    for way, (there, found) in enumerate((
            (right, np.arange(1, size + 1)), (below, second), (below_right, third),
            (below_left, first))):
        have = np.flatnonzero(there)
        links[way, have] = found[have] + 1
        links[way + 4, found[have]] = have + 1
    return links


def _clusters(links: npt.NDArray[np.int64], junctions: list[int]) -> tuple[list[int], int]:
    """Put pixels with three neighbours and more that touch each other together to junctions.

    :param junctions: indices of those pixels.
    :return: number of each pixel's junction, FREE where it is none; how many junctions.
    """
    clusters = [FREE] * links.shape[1]
    to_sort = set(junctions)
    count = 0
    for begin in junctions:
        if begin not in to_sort:
            continue
        to_sort.remove(begin)
        stack = [begin]
        while stack:
            here = stack.pop()
            clusters[here] = count
            for neighbour in links[:, here].tolist():
                if neighbour - 1 in to_sort:
                    to_sort.remove(neighbour - 1)
                    stack.append(neighbour - 1)
        count += 1
    return clusters, count


def _walked(one: list[int], other: list[int], clusters: list[int], junctions: list[int],
            ends: list[int]) -> tuple[Indices, Indices, Indices, npt.NDArray[np.bool_]]:
    """Walk along every chain from pixel to pixel.

    :param one: 1 + index of each pixel's neighbour, 0: none; nothing is asked of junctions.
    :param other: the same of its second neighbour.
    :param clusters: number of each pixel's junction, FREE where it is none.
    :param junctions: indices of their pixels.
    :param ends: indices of the other pixels beside a junction or without a second neighbour.
    :return: order, edges, nodes and closed, as in Chains.
    """
    size = len(clusters)
    # place 0 stands for no pixel, so that indices of neighbours can be used as they are
    one, other, node = [0, *one], [0, *other], [FREE, *clusters]
    todo = bytearray(b'\1') * (size + 1)
    todo[0] = 0
    for junction in junctions:
        todo[junction + 1] = 0
    order: list[int] = []
    edges, nodes = [0], []

    def walk(here: int, before: int) -> None:
        """Go on from a pixel to the end of its chain."""
        behind = before
        while todo[here]:
            todo[here] = 0
            order.append(here - 1)
            following = one[here]
            if following == before:
                following = other[here]
            before, here = here, following
        nodes.append((node[behind], node[here]))
        edges.append(len(order))
    for begin in ends:
        begin += 1
        if todo[begin]:
            walk(begin, one[begin] if node[one[begin]] != FREE else other[begin])
    chains = len(nodes)
    begin = todo.find(1)
    while begin >= 0:  # what is left has no end: rings
        walk(begin, one[begin])
        nodes[-1] = (FREE, FREE)
        begin = todo.find(1, begin)
    closed = np.arange(len(nodes)) >= chains
    return (np.array(order, np.int64), np.array(edges, np.int64),
            np.array(nodes, np.int64).reshape(-1, 2), closed)
