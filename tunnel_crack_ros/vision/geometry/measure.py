# SPDX-License-Identifier: Apache-2.0
"""Measure every crack of a mask."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
import math

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.geometry.chains import trace_chains
from tunnel_crack_ros.vision.geometry.crack import Branch, Crack, CrackKind
from tunnel_crack_ros.vision.geometry.lines import Line, measure_lines, plain_lines, rest_line
from tunnel_crack_ros.vision.geometry.pieces import find_pieces, Pieces
from tunnel_crack_ros.vision.geometry.strokes import find_networks, Gaps, Network, Stroke
from tunnel_crack_ros.vision.geometry.thinning import thin
from tunnel_crack_ros.vision.lining import Lining
from tunnel_crack_ros.vision.millimetres import in_millimetres, Millimetres, vertices_of
from tunnel_crack_ros.vision.scale import Scale
from tunnel_crack_ros.vision.segmenter import Segmentation

_BRANCHED = 0.5      # branches longer than this share of the main line: branched
_MAX_LINES = 500    # lines of a frame that are measured to a fraction of a pixel, longest first
_SMOOTH_PX = 5       # widths are averaged over so many px before the largest is taken
_MIN_POINTS = 6      # shorter lines have no direction to sample across


@dataclass(frozen=True)
class MeasureRules:
    """What a user may set of the measurement."""

    axis_angle: float = 0.0
    """Direction of the tunnel axis in the image, rad, 0 along the rows."""
    longitudinal_below: float = math.radians(30.0)
    """Closer to the axis than this is longitudinal, rad."""
    circumferential_above: float = math.radians(60.0)
    """Farther from the axis than this is circumferential, rad."""
    gaps: Gaps = field(default_factory=Gaps)
    """Gaps that are bridged."""
    resolvable_px: float = 1.0
    """Narrower cracks get no width in mm, px."""
    mask_sigma_px: float = 0.0
    """Standard deviation of how much wider the confidence map is than the crack, px."""


def measure_cracks(segmentation: Segmentation, scale: Scale | Lining | None = None,
                   rules: MeasureRules | None = None) -> list[Crack]:
    """Measure the cracks of one frame.

    :param segmentation: mask and confidence, H x W.
    :param scale: millimetres per pixel, or the lining as the camera sees it; None: lengths in px
        only, mm are NaN.
    :param rules: None: the defaults.
    :return: one crack for each 8-connected piece of the mask, or for several with gaps between
        them that are bridged; longest first.
    """
    rules = rules or MeasureRules()
    scale = scale or Scale()
    pieces = find_pieces(segmentation.mask)
    if pieces.count == 0:
        return []
    skeleton, chains = trace_chains(thin(pieces))
    networks = find_networks(skeleton, chains, pieces.count, rules.gaps)
    facts = _Facts(pieces, segmentation.confidence)
    cracks = [_crack(network, lines, facts, scale, rules)
              for network, lines in zip(networks, _lines(networks, segmentation))]
    cracks.sort(key=lambda crack: crack.length_px, reverse=True)
    return [replace(crack, id=number) for number, crack in enumerate(cracks)]


class _Facts:
    """What the pixels of the pieces say: areas, mean confidences, spreads."""

    def __init__(self, pieces: Pieces, confidence: npt.NDArray[np.float32]) -> None:
        self.pieces = pieces
        self.areas = np.bincount(pieces.labels, minlength=pieces.count)
        self.confidences = np.bincount(
            pieces.labels, confidence[pieces.rows, pieces.columns], pieces.count)

    @cached_property
    def _moments(self) -> npt.NDArray[np.float64]:
        """Means of x, y and of their products about them, 5 x pieces: only crumbs ask."""
        labels, count = self.pieces.labels, self.pieces.count
        # from the box's corner: squares of large numbers would hide small spreads
        x, y = (place - self.pieces.boxes[labels, axis] for axis, place in enumerate(
            (self.pieces.columns, self.pieces.rows)))
        mean_x, mean_y, xx, xy, yy = (np.bincount(labels, values, count) / self.areas
                                      for values in (x, y, x * x, x * y, y * y))
        return np.stack([mean_x + self.pieces.boxes[:, 0], mean_y + self.pieces.boxes[:, 1],
                         xx - mean_x ** 2, xy - mean_x * mean_y, yy - mean_y ** 2])

    def spread(self, piece: int) -> tuple[float, float, float, float, float]:
        """Return the mean x and y of a piece's pixels, px, and their xx, xy, yy, px^2."""
        x, y, xx, xy, yy = self._moments[:, piece].tolist()
        # a pixel is a square of 1 px, not a point
        return x, y, max(xx, 0.0) + 1.0 / 12.0, xy, max(yy, 0.0) + 1.0 / 12.0


def _lines(networks: list[Network], segmentation: Segmentation) -> list[list[Line]]:
    """Measure the strokes of all cracks together; the shortest, and far too many, plainly."""
    exact = [(len(stroke.points), i, j) for i, network in enumerate(networks)
             for j, stroke in enumerate(network.strokes) if _is_line(stroke)]
    if len(exact) > _MAX_LINES:
        exact = sorted(exact, reverse=True)[:_MAX_LINES]
    found = dict(zip(((i, j) for _, i, j in exact), measure_lines(
        [networks[i].strokes[j] for _, i, j in exact], segmentation.confidence,
        segmentation.threshold)))
    plain = [(i, j) for i, network in enumerate(networks) for j in range(len(network.strokes))
             if (i, j) not in found]
    found.update(zip(plain, plain_lines([networks[i].strokes[j] for i, j in plain])))
    return [[*(found[i, j] for j in range(len(network.strokes))),
             *([rest_line(network.rest)] if network.rest is not None else [])]
            for i, network in enumerate(networks)]


def _is_line(stroke: Stroke) -> bool:
    return len(stroke.points) >= _MIN_POINTS and \
        len(stroke.points) > float(stroke.depths.mean())


def _crack(network: Network, lines: list[Line], facts: _Facts, scale: Scale | Lining,
           rules: MeasureRules) -> Crack:
    boxes = facts.pieces.boxes[network.pieces]
    left, top = (int(v) for v in boxes[:, :2].min(axis=0))
    right, bottom = (int(v) for v in (boxes[:, :2] + boxes[:, 2:]).max(axis=0))
    height, width = facts.pieces.shape
    area = float(facts.areas[network.pieces].sum())
    main = lines[0]
    if len(lines) == 1 and not _is_line(network.strokes[0]):
        main = lines[0] = _blob(network, facts, area)
    length = sum(line.length for line in lines)
    widths = [_running_mean(line) for line in lines]
    shares = np.array([line.length for line in lines]) / length
    all_widths = np.concatenate(widths)
    width_mean = float(shares @ [line.width_mean for line in lines])
    width_sigma = math.sqrt(sum((share * line.width_mean_sigma) ** 2
                                for share, line in zip(shares, lines)))
    length_sigma = math.sqrt(sum(line.length_sigma ** 2 for line in lines))
    orientation = _orientation(main)
    vertices = vertices_of(len(main.points))
    branches = tuple(
        Branch(line.points[vertices_of(len(line.points))].astype(np.float32),
               line.widths[vertices_of(len(line.points))].astype(np.float32))
        for line in lines[1:len(network.strokes)])
    crack = Crack(
        id=0,
        confidence=min(max(float(facts.confidences[network.pieces].sum()) / area, 0.0), 1.0),
        bounding_box=(left, top, right - left, bottom - top),
        centre_line=main.points[vertices].astype(np.float32),
        widths_px=main.widths[vertices].astype(np.float32),
        branches=branches,
        length_px=length,
        width_mean_px=width_mean,
        width_p95_px=_percentile_95(all_widths),
        width_max_px=float(all_widths.max()),
        area_px=area,
        orientation=orientation,
        tortuosity=_tortuosity(main),
        kind=_kind(lines, orientation, rules),
        touches_border=left == 0 or top == 0 or right == width or bottom == height,
        length_sigma_px=length_sigma,
        width_sigma_px=math.hypot(width_sigma, rules.mask_sigma_px),
        width_floor_px=rules.resolvable_px)
    metric = in_millimetres(lines, scale)
    if not metric.scale.known:
        return crack
    return _with_millimetres(crack, metric, lines, rules.mask_sigma_px)


def _with_millimetres(crack: Crack, metric: Millimetres, lines: list[Line],
                      mask_sigma_px: float) -> Crack:
    """Add the measures on the lining; widths below what can be resolved get none."""
    across = metric.width_mean / crack.width_mean_px
    widths = np.concatenate([_running_mean(replace(line, widths=mm))
                             for line, mm in zip(lines, metric.widths)])

    def resolved(mm: float, px: float) -> float:
        return mm if crack.is_resolved(px) else math.nan

    def resolved_widths(number: int) -> npt.NDArray[np.float32]:
        px, mm = lines[number].widths, metric.widths[number]
        known = np.where(px >= crack.width_floor_px * 0.999, mm, np.nan)
        return known[vertices_of(len(px))].astype(np.float32)

    branches = tuple(
        replace(branch, widths_mm=resolved_widths(number),
                plan_m=None if metric.plans_m is None else metric.plans_m[number],
                places_m=(None if metric.places_m is None else
                          metric.places_m[number].astype(np.float32)))
        for number, branch in enumerate(crack.branches, 1))
    return replace(
        crack, scale=metric.scale, length_mm=metric.length, length_sigma_mm=metric.length_sigma,
        width_mean_mm=resolved(metric.width_mean, crack.width_mean_px),
        width_p95_mm=resolved(_percentile_95(widths), crack.width_p95_px),
        width_max_mm=resolved(float(widths.max()), crack.width_max_px),
        width_sigma_mm=math.hypot(metric.width_sigma, mask_sigma_px * across),
        width_floor_mm=crack.width_floor_px * across,
        area_mm2=crack.area_px * metric.area_factor,
        widths_mm=resolved_widths(0), branches=branches,
        places_m=None if metric.places_m is None else metric.places_m[0].astype(np.float32),
        plan_m=None if metric.plans_m is None else metric.plans_m[0],
        plan_sigma_m=metric.plan_sigma_m)


def _blob(network: Network, facts: _Facts, area: float) -> Line:
    """Measure a piece too short to have a line: as the rectangle of the same spread."""
    x, y, xx, xy, yy = facts.spread(network.pieces[0])
    angle = 0.5 * math.atan2(2.0 * xy, xx - yy)
    largest = (xx + yy) / 2 + math.hypot((xx - yy) / 2, xy)
    length = max(1.0, math.sqrt(12.0 * largest))
    width = area / length
    half = math.cos(angle) * length / 2, math.sin(angle) * length / 2
    points = np.array([[x, y]] if area < 3 else [
        [x - half[0], y - half[1]], [x, y], [x + half[0], y + half[1]]])
    return Line(points, np.full(len(points), width), np.ones(len(points), bool), length,
                0.3 * math.sqrt(length), width, 0.3)


def _running_mean(line: Line) -> npt.NDArray[np.float64]:
    """Return the clear widths, averaged along the line: the largest of noisy ones is too large."""
    widths = line.widths[line.clear] if line.clear.any() else line.widths
    if widths.size < 3 * _SMOOTH_PX:
        return widths
    return np.convolve(widths, np.full(_SMOOTH_PX, 1.0 / _SMOOTH_PX), 'valid')


def _percentile_95(values: npt.NDArray[np.float64]) -> float:
    place = int(0.95 * (values.size - 1))
    return float(np.partition(values, place)[place])


def _orientation(line: Line) -> float:
    """Direction of the greatest spread of the centre line."""
    if len(line.points) < 2 or line.closed:
        return math.nan
    offsets = line.points - line.points.mean(axis=0)
    (xx, xy), (_, yy) = (offsets.T @ offsets).tolist()
    if xx + yy <= 1e-9:
        return math.nan
    # the larger principal axis of a 2 x 2 covariance; rows count downwards
    angle = -0.5 * math.atan2(2.0 * xy, xx - yy)
    return angle if angle < math.pi / 2 else angle - math.pi


def _tortuosity(line: Line) -> float:
    if line.closed or len(line.points) < 2:
        return math.nan
    distance = float(np.hypot(*(line.points[0] - line.points[-1])))
    return max(1.0, line.length / max(distance, 1.0))


def _kind(lines: list[Line], orientation: float, rules: MeasureRules) -> CrackKind:
    main = lines[0].length
    if sum(line.length for line in lines) - main > _BRANCHED * main:
        return CrackKind.BRANCHED
    if math.isnan(orientation):
        return CrackKind.UNKNOWN
    off_axis = abs((orientation - rules.axis_angle + math.pi / 2) % math.pi - math.pi / 2)
    if off_axis < rules.longitudinal_below:
        return CrackKind.LONGITUDINAL
    if off_axis > rules.circumferential_above:
        return CrackKind.CIRCUMFERENTIAL
    return CrackKind.OBLIQUE
