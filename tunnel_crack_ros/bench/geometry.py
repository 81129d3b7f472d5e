# SPDX-License-Identifier: Apache-2.0
"""How exact length, width and direction are: measured on rendered cracks, beside the plain way.

The plain way, on the same masks: skeletonize, length from pixel to pixel, width twice the
distance to the mask's edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt
from skimage.morphology import skeletonize

from tunnel_crack_ros.bench.geometry_speed import GeometrySpeed, measure_speed, Segment
from tunnel_crack_ros.bench.geometry_truth import as_segmented, make_crack, SHAPES
from tunnel_crack_ros.vision import measure_cracks, Scale, ScaleSource, Segmentation
from tunnel_crack_ros.vision.picture_file import write_picture
from tunnel_crack_ros.vision.segmenter import clean_mask

_THRESHOLD = 0.3
_MAX_BLUR_PX, _MAX_NOISE = 0.8, 0.05
_SCALE, _SCALE_SIGMA = 0.5, 0.005   # mm/px
_ERRORS = ('length', 'width_mean', 'width_max', 'orientation')


@dataclass(frozen=True)
class Case:
    """Errors on one rendered crack: measured less true."""

    shape: str
    width_px: float
    """True mean width, px."""
    found: bool
    errors: dict[str, float]
    """length (share of the true one), width_mean and width_max (px), orientation (degrees)."""
    plain: dict[str, float]
    """The same of the plain way."""
    in_sigma: dict[str, bool]
    """Whether length_px, width_px, length_mm, width_mm lie within one sigma of the truth."""


@dataclass(frozen=True)
class GeometryReport:
    """What was measured."""

    cases: list[Case]
    speed: GeometrySpeed | None
    """None: not timed."""

    columns: ClassVar[tuple[str, ...]] = (
        'shape', 'length %', 'p95', 'mean width px', 'max width px', 'direction deg',
        'in sigma', 'plain: length %', 'mean width px', 'max width px')

    def error(self, name: str, share: float = 50.0, plain: bool = False,
              shape: str = '') -> float:
        """Return a percentile of the absolute errors; NaN where nothing was to be measured."""
        values = [abs((case.plain if plain else case.errors)[name]) for case in self.cases
                  if case.found and shape in ('', case.shape)]
        known = [value for value in values if math.isfinite(value)]
        return float(np.percentile(known, share)) if known else math.nan

    def coverage(self, unit: str = 'px', what: tuple[str, ...] = ('length', 'width'),
                 shape: str = '') -> float:
        """Return the share of measures whose truth lies within one sigma, 0..1."""
        return float(np.mean([case.in_sigma[f'{name}_{unit}'] for case in self.cases
                              for name in what if case.found and shape in ('', case.shape)]))

    def ratio(self, name: str) -> float:
        """Return how many times larger the plain way's median error is."""
        return self.error(name, plain=True) / max(self.error(name), 1e-9)

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            'cracks': len(self.cases), 'missed': sum(not case.found for case in self.cases),
            'length_error_median': self.error('length'),
            'length_error_p95': self.error('length', 95),
            'mean_width_error_px_median': self.error('width_mean'),
            'mean_width_error_px_p95': self.error('width_mean', 95),
            'max_width_error_px_median': self.error('width_max'),
            'orientation_error_deg_median': self.error('orientation'),
            'sigma_coverage': self.coverage(),
            'sigma_coverage_length': self.coverage(what=('length',)),
            'sigma_coverage_width': self.coverage(what=('width',)),
            'sigma_coverage_mm': self.coverage('mm'),
            'plain': {f'{name}_error_median': self.error(name, plain=True) for name in _ERRORS},
            'plain_over_this': {name: self.ratio(name) for name in _ERRORS},
            **(self.speed.to_json_dict() if self.speed is not None else {})}

    def rows(self) -> list[list[str]]:
        """Return the table: a line for each shape, and one for all."""
        return [[shape or 'all', f"{self.error('length', shape=shape):.2%}",
                 f"{self.error('length', 95, shape=shape):.2%}",
                 f"{self.error('width_mean', shape=shape):.3f}",
                 f"{self.error('width_max', shape=shape):.3f}",
                 _or_dash(self.error('orientation', shape=shape)),
                 f'{self.coverage(shape=shape):.0%}',
                 f"{self.error('length', plain=True, shape=shape):.2%}",
                 f"{self.error('width_mean', plain=True, shape=shape):.3f}",
                 f"{self.error('width_max', plain=True, shape=shape):.3f}"]
                for shape in (*SHAPES, '')]

    def sentence(self) -> str:
        """Say the rest in one line."""
        missed = sum(not case.found for case in self.cases)
        return (f'{len(self.cases)} cracks, {missed} missed; plain error over this: '
                + ', '.join(f'{name} {self.ratio(name):.1f}' for name in _ERRORS)
                + f'; in sigma, mm: {self.coverage("mm"):.0%}')

    def draw(self, path: Path) -> None:
        """Draw the errors of length and mean width over the true width.

        :raises OSError: it cannot be written.
        """
        found = [case for case in self.cases if case.found]
        write_picture(path, np.vstack([
            _scatter(found, 'length', 'length error, share'),
            _scatter(found, 'width_mean', 'mean width error, px')]))


def measure_geometry(cases: int = 40, seed: int = 1, size: tuple[int, int] = (512, 384), *,
                     progress: Callable[[int, int], None] | None = None,
                     timed: bool = True, segment: Segment | None = None) -> GeometryReport:
    """Render cracks, measure them both ways, and compare.

    Blur (to 0.8 px) and noise (to 0.05) are drawn for each; so is an error of the scale.

    :param cases: cracks of each shape.
    :param seed: which cracks.
    :param size: width and height of a frame, px.
    :param progress: called with cracks done and cracks in all.
    :param timed: take the times too.
    :param segment: frame -> segmentation, timed beside; None: none is.
    """
    found = []
    for number in range(cases * len(SHAPES)):
        rng = np.random.default_rng([seed, number])
        found.append(_measure_case(SHAPES[number % len(SHAPES)], rng, size))
        if progress is not None:
            progress(number + 1, cases * len(SHAPES))
    return GeometryReport(found, measure_speed(segment) if timed else None)


def _measure_case(shape: str, rng: np.random.Generator, size: tuple[int, int]) -> Case:
    truth = make_crack(shape, rng, size)
    confidence = as_segmented(truth.coverage, rng, rng.uniform(0.3, _MAX_BLUR_PX),
                              rng.uniform(0.0, _MAX_NOISE))
    mask = clean_mask(confidence, _THRESHOLD, 30)
    scale = Scale(_SCALE + rng.normal(0.0, _SCALE_SIGMA), _SCALE_SIGMA, ScaleSource.PARAMETER)
    cracks = measure_cracks(Segmentation(confidence, mask, _THRESHOLD), scale)
    if not cracks:
        return Case(shape, truth.width_mean_px, False, {}, {}, {})
    crack = cracks[0]

    def errors(length: float, mean: float, largest: float, direction: float) -> dict[str, float]:
        turn = (direction - truth.orientation + math.pi / 2) % math.pi - math.pi / 2
        return {'length': length / truth.length_px - 1.0, 'width_mean': mean - truth.width_mean_px,
                'width_max': largest - truth.width_max_px, 'orientation': math.degrees(turn)}
    length_mm = crack.length_px * crack.mm_per_px
    width_mm = crack.width_mean_px * crack.mm_per_px
    return Case(
        shape, truth.width_mean_px, True,
        errors(crack.length_px, crack.width_mean_px, crack.width_max_px, crack.orientation),
        errors(*measure_plainly(mask)),
        {'length_px': abs(crack.length_px - truth.length_px) <= crack.length_sigma_px,
         'width_px': abs(crack.width_mean_px - truth.width_mean_px) <= crack.width_sigma_px,
         'length_mm': abs(length_mm - truth.length_px * _SCALE) <= crack.length_sigma_mm,
         'width_mm': abs(width_mm - truth.width_mean_px * _SCALE) <= crack.width_sigma_mm})


def measure_plainly(mask: npt.NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Measure by skeleton and distance transform: length, mean and largest width, direction."""
    lines = skeletonize(mask > 0)
    distance = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2,
                                     cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    widths = 2.0 * distance[lines]
    straight = np.count_nonzero(lines[:, 1:] & lines[:, :-1]) + \
        np.count_nonzero(lines[1:] & lines[:-1])
    down = lines[1:, 1:] & lines[:-1, :-1] & ~lines[1:, :-1] & ~lines[:-1, 1:]
    up = lines[:-1, 1:] & lines[1:, :-1] & ~lines[1:, 1:] & ~lines[:-1, :-1]
    length = straight + math.sqrt(2.0) * (np.count_nonzero(down) + np.count_nonzero(up))
    y, x = np.nonzero(lines)
    _, vectors = np.linalg.eigh(np.cov(x, y)) if x.size > 1 else (None, np.eye(2))
    angle = math.atan2(-vectors[1, -1], vectors[0, -1])
    return float(length), float(widths.mean()), float(widths.max()), angle


def _scatter(cases: list[Case], name: str, title: str) -> npt.NDArray[np.uint8]:
    """Draw absolute errors over the true width, both axes logarithmic: grey plain, red ours."""
    height, width, left, low, high = 300, 800, 70, 1e-4, 1e2 if name != 'length' else 1.0
    picture = np.full((height, width, 3), 255, np.uint8)
    span = math.log(high / low)
    for power in range(-4, 3):
        value = 10.0 ** power
        if low <= value <= high:
            y = round(height - 30 - math.log(value / low) / span * (height - 60))
            cv2.line(picture, (left, y), (width - 10, y), (225, 225, 225), 1)
            _text(picture, f'{value:g}', (8, y + 4), (0, 0, 0))
    for tick in (1, 2, 5, 10, 20):
        x = round(left + math.log(tick) / math.log(20) * (width - left - 20))
        _text(picture, f'{tick} px', (x - 10, height - 8), (0, 0, 0))
    for values, colour in (('plain', (160, 160, 160)), ('errors', (220, 40, 40))):
        for case in cases:
            error = max(abs(getattr(case, values)[name]), low)
            across = math.log(max(case.width_px, 1.0)) / math.log(20) * (width - left - 20)
            up = math.log(min(error, high) / low) / span * (height - 60)
            cv2.circle(picture, (round(left + across), round(height - 30 - up)), 3, colour, -1,
                       cv2.LINE_AA)
    _text(picture, f'{title}, over the true width (red: this; grey: skeleton and distance '
          'transform)', (left, 16), (0, 0, 0))
    return picture


def _text(picture: npt.NDArray[np.uint8], text: str, place: tuple[int, int],
          colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


def _or_dash(value: float) -> str:
    return f'{value:.2f}' if math.isfinite(value) else '-'
