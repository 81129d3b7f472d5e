# SPDX-License-Identifier: Apache-2.0
"""The centre line of one connected piece of mask: its skeleton's longest path."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra, minimum_spanning_tree
from skimage.morphology import skeletonize

_SMOOTHING_PX = 2.0  # takes the staircase out of an 8-connected path, keeps bends over 5 px


@dataclass(frozen=True)
class CentreLine:
    """The main line of a piece of mask and what branches off it."""

    points: npt.NDArray[np.float32]
    """K x 2, x and y, px, from end to end of the longest path."""
    widths_px: npt.NDArray[np.float32]
    """K, px."""
    length_px: float
    """Of the main line, px."""
    branches_px: float
    """Length of all that branches off it, px."""
    closed: bool
    """The ends of the main line meet: the piece is a ring."""


def trace_centre_line(piece: npt.NDArray[np.bool_]) -> CentreLine:
    """Trace the centre line of one connected piece.

    :param piece: H x W, true where crack; one 8-connected piece, at least one pixel.
    """
    padded = np.pad(piece, 1)
    distance = cv2.distanceTransform(padded.astype(np.uint8), cv2.DIST_L2,
                                     cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    rows, columns = np.nonzero(skeletonize(padded)[1:-1, 1:-1])
    if rows.size == 0:  # a blob that thins to nothing: its innermost pixel stands for it
        rows, columns = (np.array([i]) for i in np.unravel_index(distance.argmax(), piece.shape))
    # 2 d - 1 is the width of a line an odd number of pixels wide, 2 d of an even one
    widths = (2.0 * distance[rows, columns] - 0.5).astype(np.float32)
    if rows.size < 3:
        point = np.array([[columns.mean(), rows.mean()]], np.float32)
        return CentreLine(point, widths.max(keepdims=True), float(rows.size), 0.0, False)
    graph = _pixel_graph(rows, columns, piece.shape)
    path, raw_length = _longest_path(graph)
    points = _smoothed(np.column_stack([columns[path], rows[path]]).astype(np.float64))
    steps = np.hypot(*np.diff(points, axis=0).T)
    length = float(steps.sum()) + 1.0  # from pixel edge to pixel edge
    branches = _branch_length(graph, path, widths, rows, columns)
    ends = np.hypot(*(points[0] - points[-1]))
    width = float(np.median(widths))
    ring = branches > 0.8 * raw_length and raw_length > 6 * width and _is_ring(graph)
    keep = np.unique(np.r_[np.arange(0, len(path), 3), len(path) - 1])
    return CentreLine(points[keep].astype(np.float32), widths[path][keep], length,
                      branches, bool(ring or ends < 1.5 and length > 6 * width))


def _pixel_graph(rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp],
                 shape: tuple[int, ...]) -> csr_matrix:
    """Connect every skeleton pixel with its 8 neighbours, weighted by their distance, px."""
    number = np.full((shape[0] + 2, shape[1] + 2), -1, np.int64)
    number[rows + 1, columns + 1] = np.arange(rows.size)
    starts, ends, weights = [], [], []
    for row_step, column_step in ((0, 1), (1, -1), (1, 0), (1, 1)):
        neighbours = number[rows + 1 + row_step, columns + 1 + column_step]
        found = np.flatnonzero(neighbours >= 0)
        starts.append(found)
        ends.append(neighbours[found])
        weights.append(np.full(found.size, np.hypot(row_step, column_step)))
    size = rows.size
    edges = (np.concatenate(weights), (np.concatenate(starts), np.concatenate(ends)))
    return csr_matrix(edges, shape=(size, size))


def _longest_path(graph: csr_matrix) -> tuple[npt.NDArray[np.intp], float]:
    """Find the longest of the shortest paths, by two sweeps: exact on trees, close elsewhere."""
    start = int(_finite(dijkstra(graph, directed=False, indices=0)).argmax())
    distances, previous = dijkstra(graph, directed=False, indices=start,
                                   return_predecessors=True)
    end = int(_finite(distances).argmax())
    path = [end]
    while path[-1] != start:
        path.append(int(previous[path[-1]]))
    return np.array(path), float(distances[end])


def _finite(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.isfinite(distances), distances, -1.0)


def _smoothed(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if len(points) < 5:
        return points
    # point-reflected ends (2 p0 - p) stay where they are; a plain mean would pull them in
    margin = min(len(points) - 1, int(4 * _SMOOTHING_PX))
    before = 2 * points[0] - points[margin:0:-1]
    after = 2 * points[-1] - points[-2:-2 - margin:-1]
    extended = np.concatenate([before, points, after])
    smooth = gaussian_filter1d(extended, _SMOOTHING_PX, axis=0, mode='nearest')
    return smooth[margin:margin + len(points)]


def _branch_length(graph: csr_matrix, path: npt.NDArray[np.intp], widths: npt.NDArray[np.float32],
                   rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> float:
    """Sum the skeleton off the main path, without the spurs that its own width causes."""
    tree = minimum_spanning_tree(graph).tocoo()
    on_path = np.zeros(rows.size, bool)
    on_path[path] = True
    off = ~(on_path[tree.row] & on_path[tree.col])
    if not off.any():
        return 0.0
    kept = csr_matrix((tree.data[off], (tree.row[off], tree.col[off])), shape=graph.shape)
    # branches meet only on the path: cut there, each is a piece of its own
    inner = kept.tocoo()
    free = ~(on_path[inner.row] | on_path[inner.col])
    _, piece = connected_components(
        csr_matrix((inner.data[free], (inner.row[free], inner.col[free])), shape=graph.shape),
        directed=False)
    owner = np.where(on_path[inner.row], inner.col, inner.row)
    lengths = np.bincount(piece[owner], weights=inner.data, minlength=piece.max() + 1)
    limit = 1.5 * float(np.median(widths)) + 2.0
    return float(lengths[lengths > limit].sum())


def _is_ring(graph: csr_matrix) -> bool:
    """Return whether no pixel of the skeleton is an end."""
    both = graph + graph.T
    return int(np.diff(both.indptr).min()) >= 2
