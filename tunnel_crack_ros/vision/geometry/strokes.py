# SPDX-License-Identifier: Apache-2.0
"""Chains to cracks: gaps bridged, a main line found, branches that go straight on joined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
import heapq
import math

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.chains import Chains, FREE
from tunnel_crack_ros.vision.geometry.thinning import Skeleton

Points = npt.NDArray[np.float64]
_BACK_PX = 12             # the direction of an end is taken over so many pixels
_STRAIGHT = math.cos(math.radians(40.0))  # branches on both sides of a line: one crossing crack
_MAX_CHAINS = 400         # a piece with more is no crack that a main line could describe
_NODE_DEPTHS, _NODE_PX = 1.4, 2.5  # so far around a junction no profile is a single crack's


@dataclass(frozen=True)
class Gaps:
    """Which gaps between two ends are bridged."""

    length_px: float = 15.0
    """Longest gap, px; 0: none is bridged."""
    angle: float = math.radians(30.0)
    """Largest angle between an end's direction and the way across, rad."""


@dataclass(frozen=True)
class Stroke:
    """One line of a crack, from end to end, as the skeleton has it."""

    points: Points
    """N x 2, x and y, px."""
    clear: npt.NDArray[np.bool_]
    """N, false in gaps and around junctions: nothing is measured there."""
    depths: Points
    """N, half the width, about, px."""
    free: tuple[bool, bool]
    """Whether its start and end are ends of the crack, not junctions."""
    closed: bool = False
    crack: int = 0
    """Number of the crack that it belongs to."""


@dataclass(frozen=True)
class Rest:
    """Chains too many to be lines of their own: only their pixels are counted."""

    length: float
    """From pixel to pixel, px."""
    depths: Points
    """N, half the width at each pixel, about, px."""


@dataclass(frozen=True)
class Network:
    """The lines of one crack."""

    pieces: list[int]
    """Numbers of the pieces of mask that it joins."""
    strokes: list[Stroke]
    """The main line first."""
    rest: Rest | None = None
    """What a map has beyond its longest chains."""


@dataclass(frozen=True)
class _Bridge:
    ends: tuple[tuple[int, int], tuple[int, int]]
    """Chain and side (0 start, 1 end), twice."""
    length: float


def find_networks(skeleton: Skeleton, chains: Chains, pieces: int,
                  gaps: Gaps | None = None) -> list[Network]:
    """Sort the chains of a frame into cracks.

    :param pieces: number of pieces of the mask.
    """
    xy = np.column_stack([skeleton.columns, skeleton.rows]).astype(np.float64)
    bridges = _find_bridges(xy, chains, skeleton, gaps or Gaps())
    groups = _Groups(pieces)
    chain_labels = skeleton.labels[chains.order[chains.edges[:-1]]]
    for bridge in bridges:
        groups.join(*(int(chain_labels[chain]) for chain, _ in bridge.ends))
    members: dict[int, list[int]] = defaultdict(list)
    for piece in range(pieces):
        members[groups.of(piece)].append(piece)
    of_crack: dict[int, list[int]] = defaultdict(list)
    for chain, label in enumerate(chain_labels.tolist()):
        of_crack[groups.of(label)].append(chain)
    across: dict[int, list[_Bridge]] = defaultdict(list)
    for bridge in bridges:
        across[groups.of(int(chain_labels[bridge.ends[0][0]]))].append(bridge)
    nodes: dict[int, list[int]] = defaultdict(list)
    for node, label in enumerate(chains.node_labels.tolist()):
        nodes[groups.of(label)].append(node)
    networks = []
    for crack, of in members.items():
        own, rest = of_crack[crack], None
        if len(own) > _MAX_CHAINS:
            own = sorted(own, key=lambda c: int(chains.edges[c] - chains.edges[c + 1]))
            own, rest = own[:_MAX_CHAINS], _rest(xy, chains, skeleton, own[_MAX_CHAINS:])
        networks.append(Network(of, _strokes(xy, chains, skeleton, own, across[crack],
                                             nodes[crack], crack, rest is not None), rest))
    return networks


def _rest(xy: Points, chains: Chains, skeleton: Skeleton, own: list[int]) -> Rest:
    pixels = np.concatenate([_pixels(chains, chain, 0) for chain in own])
    sizes = np.diff(chains.edges)[own]
    steps = np.hypot(*np.diff(xy[pixels], axis=0).T)
    steps[np.cumsum(sizes)[:-1] - 1] = 1.0  # each chain goes on for half a pixel either way
    return Rest(float(steps.sum()) + 1.0, skeleton.depths[pixels].astype(np.float64))


class _Groups:
    """Numbers joined into groups (union-find)."""

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def of(self, item: int) -> int:
        while self._parents[item] != item:
            self._parents[item] = self._parents[self._parents[item]]
            item = self._parents[item]
        return item

    def join(self, a: int, b: int) -> None:
        self._parents[self.of(a)] = self.of(b)


def _pixels(chains: Chains, chain: int, side: int) -> npt.NDArray[np.int64]:
    """Return a chain's pixels, beginning at its start (side 0) or its end (1)."""
    found = chains.order[chains.edges[chain]:chains.edges[chain + 1]]
    return found[::-1] if side else found


def _way_out(xy: Points, chains: Chains, chain: int, side: int, depth: float = 0.0) -> Points:
    """Return the unit vector that leads out of a chain at one side; zeros for a single pixel."""
    pixels = _pixels(chains, chain, side)
    back = xy[pixels[min(pixels.size - 1, _BACK_PX + int(depth))]]
    way = xy[pixels[0]] - back
    return way / max(float(np.hypot(*way)), 1e-9)


def _find_bridges(xy: Points, chains: Chains, skeleton: Skeleton, gaps: Gaps) -> list[_Bridge]:
    """Pair free ends that face each other, the closest first; each end is used once."""
    chain, side = np.nonzero((chains.nodes == FREE) & ~chains.closed[:, None])
    if gaps.length_px <= 0.0 or chain.size < 3:  # both ends of one chain are no pair
        return []
    sizes = np.diff(chains.edges)[chain]
    first = np.where(side == 0, chains.edges[chain], chains.edges[chain + 1] - 1)
    steps = np.minimum(sizes - 1, _BACK_PX) * np.where(side == 0, 1, -1)
    points = xy[chains.order[first]]
    ways = points - xy[chains.order[first + steps]]
    norms = np.hypot(*ways.T)
    ways /= np.maximum(norms, 1e-9)[:, None]
    # a skeleton ends about half a width before its crack does
    inset = skeleton.depths[chains.order[first]].astype(np.float64)
    usable = np.flatnonzero(norms >= 2.0)
    if usable.size < 2:
        return []
    one, other = _close_pairs(
        points[usable], gaps.length_px + 2 * min(float(inset.max()), 3 * gaps.length_px))
    if not one.size:
        return []
    i, j = usable[one], usable[other]
    across = points[j] - points[i]
    distance = np.hypot(*across.T)
    across /= np.maximum(distance, 1e-9)[:, None]
    least = math.cos(gaps.angle)
    # at 2 px an angle between pixels means nothing: there only the ends' own directions count
    near = distance < 3.0
    facing = ((((ways[i] * across).sum(axis=1) >= least) & ((ways[j] * across).sum(axis=1)
                                                            <= -least)) | near) \
        & ((ways[i] * ways[j]).sum(axis=1) <= -math.cos(2 * gaps.angle))
    good = facing & (distance - inset[i] - inset[j] <= gaps.length_px) & (chain[i] != chain[j])
    bridges: list[_Bridge] = []
    used: set[tuple[int, int]] = set()
    for k in np.flatnonzero(good)[np.argsort(distance[good], kind='stable')]:
        ends = ((int(chain[i[k]]), int(side[i[k]])), (int(chain[j[k]]), int(side[j[k]])))
        if not used.intersection(ends):
            used.update(ends)
            bridges.append(_Bridge(ends, float(distance[k])))
    return bridges


def _close_pairs(points: Points,
                 reach: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find all pairs of points that are at most so far apart.

    :param points: N x 2.
    :return: numbers of the points of each pair, the smaller in the first array.
    """
    # in strips of one reach a partner's strip is the same or the next, and in it x has bounds
    strips = np.floor(points[:, 1] / reach).astype(np.int64)
    strips -= strips.min()
    left = points[:, 0] - points[:, 0].min()
    pitch = float(left.max()) + 3 * reach
    keys = strips * pitch + left
    order = np.argsort(keys, kind='stable')
    of, keys = np.arange(order.size), keys[order]
    pairs = []
    for begin, end in ((of + 1, keys + reach),
                       (np.searchsorted(keys, keys + pitch - reach), keys + pitch + reach)):
        count = np.maximum(np.searchsorted(keys, end, side='right') - begin, 0)
        partner = np.arange(count.sum()) + np.repeat(begin - (np.cumsum(count) - count), count)
        pairs.append(np.column_stack([order[np.repeat(of, count)], order[partner]]))
    found = np.concatenate(pairs)
    one, other = found.min(axis=1), found.max(axis=1)
    near = np.hypot(*(points[one] - points[other]).T) <= reach
    return one[near], other[near]


def _strokes(xy: Points, chains: Chains, skeleton: Skeleton, own: list[int],
             bridges: list[_Bridge], nodes: list[int], crack: int,
             is_map: bool) -> list[Stroke]:
    if not own:  # only a junction was left when its spurs went
        return [Stroke(chains.node_points[nodes[:1]], np.zeros(1, bool),
                       chains.node_depths[nodes[:1]], (False, False))] if nodes else []
    build = _Builder(xy, chains, skeleton, nodes, crack)
    if len(own) == 1:
        return [build.stroke([(own[0], 0)])]
    if is_map:
        return [build.stroke([(chain, 0)]) for chain in own]
    main = _longest_way(chains, own, bridges)
    on_main = {chain for chain, _ in main}
    links = _straight_on(xy, chains, [c for c in own if c not in on_main], bridges)
    strokes = [build.stroke(main)]
    left = {c: None for c in own if c not in on_main}
    for chain in list(left):
        if chain not in left:
            continue
        way = [(chain, 0)]
        del left[chain]
        for _ in range(2):  # on from its end; then, turned round, from its start
            while (following := links.get((way[-1][0], 1 - way[-1][1]))) and following[0] in left:
                way.append(following)
                del left[following[0]]
            way = [(c, 1 - s) for c, s in reversed(way)]
        strokes.append(build.stroke(way))
    return strokes


@dataclass(frozen=True)
class _Builder:
    xy: Points
    chains: Chains
    skeleton: Skeleton
    nodes: list[int]
    crack: int

    def stroke(self, way: list[tuple[int, int]]) -> Stroke:
        """Join chains, each entered at a side, to one line; between them it is not clear."""
        chains = self.chains
        points: list[Points] = []
        depths: list[Points] = []
        clear: list[npt.NDArray[np.bool_]] = []
        for chain, side in way:
            pixels = _pixels(chains, chain, side)
            if points:
                gap = self.xy[pixels[0]] - points[-1][-1]
                inner = np.arange(1, max(1, round(float(np.hypot(*gap)))))
                if inner.size:
                    points.append(points[-1][-1] + gap * (inner / (inner[-1] + 1))[:, None])
                    depths.append(np.full(inner.size, depths[-1][-1]))
                    clear.append(np.zeros(inner.size, bool))
            points.append(self.xy[pixels])
            depths.append(self.skeleton.depths[pixels].astype(np.float64))
            clear.append(np.ones(pixels.size, bool))
        first = int(chains.nodes[way[0][0], way[0][1]])
        last = int(chains.nodes[way[-1][0], 1 - way[-1][1]])
        line, deep, is_clear = (np.concatenate(points), np.concatenate(depths),
                                np.concatenate(clear))
        for node, at in ((first, 0), (last, len(line))):
            if node != FREE:
                at = len(line) if at else 0
                line = np.insert(line, at, chains.node_points[node], axis=0)
                deep = np.insert(deep, at, chains.node_depths[node])
                is_clear = np.insert(is_clear, at, False)
        if self.nodes and len(self.nodes) <= _MAX_CHAINS:
            around = chains.node_points[self.nodes]
            reach = _NODE_DEPTHS * chains.node_depths[self.nodes] + _NODE_PX
            away = np.hypot(line[:, None, 0] - around[:, 0], line[:, None, 1] - around[:, 1])
            is_clear &= (away > reach).all(axis=1)
        closed = len(way) == 1 and bool(chains.closed[way[0][0]])
        return Stroke(line, is_clear, deep, (first == FREE, last == FREE), closed, self.crack)


def _longest_way(chains: Chains, own: list[int],
                 bridges: list[_Bridge]) -> list[tuple[int, int]]:
    """Find the longest of the shortest ways between two places, by two sweeps."""
    # a place is a junction, or a side of a chain that has none there
    def place(chain: int, side: int) -> tuple[int, int]:
        node = int(chains.nodes[chain, side])
        return (-1, node) if node != FREE else (chain, side)
    links: dict[tuple[int, int], list[tuple[float, tuple[int, int], tuple[int, int] | None]]] = \
        defaultdict(list)
    for chain in own:
        length = float(chains.edges[chain + 1] - chains.edges[chain])
        for side in (0, 1):
            links[place(chain, side)].append((length, place(chain, 1 - side), (chain, side)))
    for bridge in bridges:
        (a, b), length = bridge.ends, bridge.length
        links[place(*a)].append((length, place(*b), None))
        links[place(*b)].append((length, place(*a), None))
    start = place(max(own, key=lambda c: int(chains.edges[c + 1] - chains.edges[c])), 0)
    for _ in range(2):
        distances = {start: 0.0}
        before: dict[tuple[int, int], tuple[tuple[int, int], tuple[int, int] | None]] = {}
        queue = [(0.0, start)]
        while queue:
            so_far, here = heapq.heappop(queue)
            if so_far > distances[here]:
                continue
            for length, there, via in links[here]:
                if so_far + length < distances.get(there, math.inf):
                    distances[there] = so_far + length
                    before[there] = (here, via)
                    heapq.heappush(queue, (so_far + length, there))
        start, origin = max(distances, key=lambda p: distances[p]), start
    way = []
    while start != origin:
        start, via = before[start]
        if via is not None:
            way.append(via)
    # a loop on a single junction leads nowhere: its longest chain is the main line then
    return way[::-1] or [(max(own, key=lambda c: int(chains.edges[c + 1] - chains.edges[c])), 0)]


def _straight_on(xy: Points, chains: Chains, rest: list[int],
                 bridges: list[_Bridge]) -> dict[tuple[int, int], tuple[int, int]]:
    """Pair sides of branches that go straight on into one another, over the main line or a gap."""
    links = {}
    open_ends = {(c, s) for c in rest for s in (0, 1)}
    for bridge in bridges:
        a, b = bridge.ends
        if a in open_ends and b in open_ends:
            links[a], links[b] = b, a
    sides = [(c, s) for c in rest for s in (0, 1) if chains.nodes[c, s] != FREE]
    if not 2 <= len(sides) <= 100:
        return links
    at = np.array([int(chains.nodes[side]) for side in sides])
    ways = np.array([_way_out(xy, chains, c, s) for c, s in sides])
    points, depths = chains.node_points[at], chains.node_depths[at]
    for cosine, i, j in sorted(_facing(points, depths, ways, [c for c, _ in sides])):
        del cosine
        a, b = sides[i], sides[j]
        if a not in links and b not in links:
            links[a], links[b] = b, a
    return links


def _facing(points: Points, depths: Points, ways: Points,
            owners: list[int]) -> Iterator[tuple[float, int, int]]:
    cosines = ways @ ways.T
    distances = np.hypot(points[:, None, 0] - points[:, 0], points[:, None, 1] - points[:, 1])
    near = distances <= 3.0 * np.maximum(depths[:, None], depths) + 3.0
    for i, j in zip(*np.nonzero(np.triu(near & (cosines < -_STRAIGHT), 1))):
        if owners[i] != owners[j]:
            yield float(cosines[i, j]), int(i), int(j)
