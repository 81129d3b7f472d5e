# SPDX-License-Identifier: Apache-2.0
"""Lines of every kind keep their sizes on the way to millimetres: counted, still, forked."""

from dataclasses import replace
import math
import tracemalloc

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from tunnel_crack_ros.vision import measure_cracks, Segmentation
from tunnel_crack_ros.vision.camera import Camera
from tunnel_crack_ros.vision.geometry.lines import Line
from tunnel_crack_ros.vision.lining import LiningRules, see_lining
from tunnel_crack_ros.vision.millimetres import in_millimetres

SIZE = (360, 270)
FOCAL = 420.0
CAMERA = Camera(FOCAL, FOCAL, (SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2, *SIZE)


def test_lines_that_are_only_counted_take_the_main_lines_scale():
    course = np.column_stack([np.linspace(50.0, 250.0, 201), np.full(201, 130.0)])
    main = Line(course, np.full(201, 4.0), np.ones(201, bool), 200.0, 0.5, 4.0, 0.1)
    counted = Line(np.zeros((30, 2)), np.full(30, 2.0), np.zeros(30, bool), 90.0, 2.0, 2.0, 0.5)
    lining, _ = see_lining(CAMERA, SIZE, LiningRules(tilt_ahead=0.5), range_m=1.2)
    alone, both = in_millimetres([main], lining), in_millimetres([main, counted], lining)
    assert both.length == pytest.approx(alone.length * 290.0 / 200.0)
    assert both.width_mean == pytest.approx(
        (200.0 * alone.width_mean + 90.0 * alone.width_mean / 2) / 290.0)
    assert both.widths[1] == pytest.approx(np.full(30, alone.width_mean / 2))
    assert both.area_factor == pytest.approx(alone.area_factor)
    assert np.array_equal(both.places_m, alone.places_m)


@pytest.mark.parametrize('repeated', [0, 100, 200])
@pytest.mark.parametrize('radius', [0.0, 2.0])
def test_a_branch_that_stands_still_for_a_step_keeps_its_width(repeated, radius):
    """Its first two points may be one; a way without length must not become one of 1e9."""
    column, row = np.full(201, 150.0), np.linspace(30.0, 230.0, 201)
    begin, end = max(repeated - 1, 0), min(repeated + 1, 200)
    row[begin:end + 1] = row[repeated]
    ours = Line(np.column_stack([column, row]), np.full(201, 4.0), np.ones(201, bool), 200.0, 0.5,
                4.0, 0.1)
    plain = replace(ours, points=np.column_stack([column, np.linspace(30.0, 230.0, 201)]))
    lining, _ = see_lining(CAMERA, SIZE, LiningRules(tilt_ahead=0.5, radius_m=radius), range_m=1.2)
    found, expected = in_millimetres([ours], lining), in_millimetres([plain], lining)
    assert found.width_mean == pytest.approx(expected.width_mean, rel=0.01)
    assert found.width_sigma == pytest.approx(expected.width_sigma, rel=0.05)
    assert found.widths[0] == pytest.approx(expected.widths[0], rel=0.02)
    assert found.area_factor == pytest.approx(expected.area_factor, rel=0.02)


def test_a_long_line_that_stands_still_for_a_step_needs_no_table_of_all_pairs():
    """Which of 5000 vertices are near which others would be 200 MB."""
    row = np.linspace(10.0, 260.0, 5001)
    row[2000:2003] = row[2000]
    line = Line(np.column_stack([np.full(5001, 150.0), row]), np.full(5001, 4.0),
                np.ones(5001, bool), 250.0, 0.5, 4.0, 0.1)
    lining, _ = see_lining(CAMERA, SIZE, LiningRules(), range_m=1.2)
    tracemalloc.start()
    found = in_millimetres([line], lining)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.width_mean == pytest.approx(4.0 * 1200.0 / FOCAL, rel=0.01)
    assert peak < 20e6


@given(st.integers(0, 2 ** 32 - 1))
@settings(deadline=None, max_examples=40)
def test_head_on_every_crack_of_any_map_is_its_pixels_times_the_scale(seed):
    """Forks, crumbs and tangles too: what a pixel covers is the same all over the picture."""
    rng = np.random.default_rng(seed)
    confidence = np.zeros(SIZE[::-1], np.float32)
    for _ in range(rng.integers(1, 8)):
        course = np.cumsum(rng.normal(0.0, 25.0, (rng.integers(2, 9), 2)), axis=0)
        course += rng.uniform(0.0, 1.0, 2) * SIZE
        cv2.polylines(confidence, [course.round().astype(np.int32)], False,
                      float(rng.uniform(0.5, 1.0)), int(rng.integers(1, 6)))
    confidence = cv2.GaussianBlur(confidence, (0, 0), rng.uniform(0.3, 1.5))
    mask = np.where(confidence >= 0.3, 255, 0).astype(np.uint8)
    lining, _ = see_lining(CAMERA, SIZE, LiningRules(), range_m=1.2)
    scale = 1200.0 / FOCAL
    for crack in measure_cracks(Segmentation(confidence, mask, 0.3), lining):
        assert crack.length_mm == pytest.approx(crack.length_px * scale, rel=1e-3)
        if crack.resolved:
            assert crack.width_mean_mm == pytest.approx(crack.width_mean_px * scale, rel=1e-3)
        assert crack.area_mm2 == pytest.approx(crack.area_px * scale ** 2, rel=2e-2)


@pytest.mark.parametrize('ahead', [True, False])
def test_a_crack_with_one_edge_beyond_the_lens_has_no_millimetres_at_all(ahead):
    """Its middle has a ray everywhere: it had a length, but no width and no area."""
    lens = replace(CAMERA, distortion=(-1.0, 0.0, 0.0, 0.0, 0.0))
    last = FOCAL * 2.0 / 3.0 / math.sqrt(3.0)      # px from the axis, where r - r^3 turns
    confidence = np.zeros(SIZE[::-1], np.float32)
    row = 134
    middle = round(CAMERA.cx - last + (4 if ahead else 12))
    confidence[row - 30:row + 30, middle - 6:middle + 6] = 1.0
    mask = np.where(confidence > 0.0, 255, 0).astype(np.uint8)
    lining, _ = see_lining(lens, SIZE, LiningRules(), range_m=1.2)
    crack, = measure_cracks(Segmentation(confidence, mask, 0.3), lining)
    sizes = crack.length_mm, crack.width_mean_mm, crack.area_mm2
    assert np.isnan(sizes).all() if ahead else np.isfinite(sizes).all()
