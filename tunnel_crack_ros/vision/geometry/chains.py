# SPDX-License-Identifier: Apache-2.0
"""A skeleton as a graph: chains of pixels between ends and junctions, without spurs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

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
    size = skeleton.rows.size
    a, b = _links(skeleton)
    degree = np.bincount(a, minlength=size) + np.bincount(b, minlength=size)
    junction = degree >= 3
    clusters = np.full(size, FREE, np.int64)
    inner = junction[a] & junction[b]
    at = np.flatnonzero(junction)
    place = np.cumsum(junction) - 1
    count, found = connected_components(
        _graph(place[a[inner]], place[b[inner]], at.size), directed=False) \
        if at.size else (0, at)
    clusters[at] = found
    members = np.maximum(np.bincount(found, minlength=count), 1)
    points = np.column_stack([np.bincount(found, skeleton.columns[at], count),
                              np.bincount(found, skeleton.rows[at], count)]) / members[:, None]
    depths = np.zeros(count)
    np.maximum.at(depths, found, skeleton.depths[at])
    labels = np.zeros(count, np.int32)
    labels[found] = skeleton.labels[at]

    along = ~junction[a] & ~junction[b]
    in_chain = np.flatnonzero(~junction)
    place = np.cumsum(~junction) - 1
    a_in, b_in = place[a[along]], place[b[along]]
    graph = _graph(a_in, b_in, in_chain.size) if in_chain.size else None
    count, chain = connected_components(graph, directed=False) if in_chain.size \
        else (0, in_chain)
    inner_degree = np.bincount(a_in, minlength=in_chain.size) + \
        np.bincount(b_in, minlength=in_chain.size)
    # rings have no end: cut each before its first pixel
    ends = np.flatnonzero(inner_degree <= 1)
    has_end = np.zeros(count, bool)
    has_end[chain[ends]] = True
    _, first = np.unique(chain, return_index=True)
    ring_starts = first[~has_end]
    starts = ends[np.unique(chain[ends], return_index=True)[1]]
    if ring_starts.size:
        touching = np.isin(a_in, ring_starts) | np.isin(b_in, ring_starts)
        owner = np.where(np.isin(a_in, ring_starts), a_in, b_in)
        _, one = np.unique(np.where(touching, owner, -1), return_index=True)
        cut = one[touching[one]]
        a_in, b_in = np.delete(a_in, cut), np.delete(b_in, cut)
        starts = np.concatenate([starts, ring_starts])
        graph = _graph(a_in, b_in, in_chain.size)
    distance = dijkstra(graph, directed=False, unweighted=True, indices=starts,
                        min_only=True) if in_chain.size else np.zeros(0)
    ranked = np.lexsort((distance, chain))
    edges = np.searchsorted(chain[ranked], np.arange(count + 1))
    order = in_chain[ranked]

    nodes = np.full((count, 2), FREE, np.int64)
    for one, other in ((a, b), (b, a)):
        link = np.flatnonzero(~junction[one] & junction[other])
        for_chain = chain[place[one[link]]]
        at_start = order[edges[for_chain]] == one[link]
        at_end = order[edges[for_chain + 1] - 1] == one[link]
        # a chain of one pixel has both ends there: the second link is its end
        taken = nodes[for_chain, 0] != FREE
        single = at_start & at_end
        repeated = np.zeros(link.size, bool)
        if single.any():
            _, once = np.unique(for_chain, return_index=True)
            repeated[single] = True
            repeated[once] = False
        to_end = np.where(single, taken | repeated, at_end)
        nodes[for_chain, to_end.astype(int)] = clusters[other[link]]
    closed = np.zeros(count, bool)
    closed[~has_end] = True
    return Chains(order, edges, nodes, closed, points, depths, labels)


def _graph(a: Indices, b: Indices, size: int) -> csr_matrix:
    return csr_matrix((np.ones(a.size, np.int8), (a, b)), shape=(size, size))


def _links(skeleton: Skeleton) -> tuple[Indices, Indices]:
    """Link neighbouring pixels; diagonally only where no path round the corner exists."""
    pitch = int(skeleton.columns.max(initial=0)) + 3
    flat = (skeleton.rows + 1) * pitch + skeleton.columns + 1
    size = flat.size

    def at(step: int) -> Indices:
        found = np.searchsorted(flat, flat + step)
        inside = np.minimum(found, size - 1)
        return np.where(flat[inside] == flat + step, inside, -1)
    if size == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    right, below, left = at(1), at(pitch), at(-1)
    below_right, below_left = at(pitch + 1), at(pitch - 1)
    below_right = np.where((right >= 0) | (below >= 0), -1, below_right)
    below_left = np.where((left >= 0) | (below >= 0), -1, below_left)
    a, b = [], []
    for found in (right, below, below_right, below_left):
        have = np.flatnonzero(found >= 0)
        a.append(have)
        b.append(found[have])
    return np.concatenate(a), np.concatenate(b)
