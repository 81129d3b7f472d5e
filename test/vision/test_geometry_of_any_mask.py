# SPDX-License-Identifier: Apache-2.0
"""No mask makes the measurement fail, and none costs more than its pixels."""

import math
import sys
import tracemalloc

import cv2
from drawn_masks import check_numbers, measured, measured_softly
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest

from tunnel_crack_ros.vision import CrackKind, Gaps, MeasureRules
from tunnel_crack_ros.vision.overlay import draw_overlay

SHAPES = {
    'empty': np.zeros((40, 50)),
    'full': np.ones((40, 50)),
    'one pixel': np.eye(1),
    'one pixel in the middle': np.pad(np.ones((1, 1)), 10),
    'two pixels': np.ones((1, 2)),
    'a row': np.ones((1, 50)),
    'a column': np.ones((50, 1)),
    'a diagonal': np.eye(40),
    'a checkerboard': np.indices((41, 40)).sum(axis=0) % 2,
    'a lattice': (np.indices((60, 60)) % 6 == 0).any(axis=0),
    'a block of 2': np.pad(np.ones((2, 2)), 4),
    'a frame': np.pad(np.zeros((30, 30)), 3, constant_values=1),
}


@pytest.mark.parametrize('name', SHAPES)
def test_odd_masks_are_measured_without_a_fault(name):
    mask = SHAPES[name]
    cracks = measured(mask)
    assert bool(cracks) == bool(mask.any())
    check_numbers(cracks, mask.shape)
    frame = np.full((*mask.shape, 3), 90, np.uint8)
    assert draw_overlay(frame, mask.astype(np.uint8) * 255, cracks).shape == frame.shape


@given(arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24))))
@settings(deadline=None)
def test_any_mask_is_measured_without_a_fault(mask):
    cracks = measured(mask)
    check_numbers(cracks, mask.shape)
    assert sum(crack.area_px for crack in cracks) == np.count_nonzero(mask)


@given(st.integers(0, 2 ** 32 - 1), st.floats(0.0, 3.0), st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=60)
def test_any_confidence_map_is_measured_without_a_fault(seed, blur, threshold):
    rng = np.random.default_rng(seed)
    confidence = rng.random(rng.integers(1, 80, 2), dtype=np.float32)
    if blur > 0.3:
        confidence = cv2.GaussianBlur(confidence, (0, 0), blur)
        confidence = (confidence - confidence.min()) / max(float(np.ptp(confidence)), 1e-6)
    cracks = measured_softly(confidence, threshold,
                             rules=MeasureRules(gaps=Gaps(float(rng.integers(0, 30)))))
    check_numbers(cracks, confidence.shape)
    assert sum(crack.area_px for crack in cracks) == np.count_nonzero(confidence >= threshold)


def test_a_map_that_noise_eats_up_from_both_ends_gives_numbers():
    rng = np.random.default_rng(60200)
    confidence = rng.random(rng.integers(1, 80, 2), dtype=np.float32)
    check_numbers(measured_softly(confidence, 0.0625), confidence.shape)


MAPS = {
    'full': np.ones,
    'checkerboard': lambda shape: np.indices(shape).sum(axis=0) % 2,
    'checkerboard of squares': lambda shape: (np.indices(shape) // 3).sum(axis=0) % 2,
    'lattice': lambda shape: (np.indices(shape) % 7 == 0).any(axis=0),
    'noise': lambda shape: np.random.default_rng(0).random(shape) < 0.3,
    'dots': lambda shape: (np.indices(shape) % 3 == 0).all(axis=0),
}


def work(mask: np.ndarray) -> tuple[int, int]:
    """Measure a mask; return the number of calls, and the largest memory held, bytes."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ('call', 'c_call')
    before = sys.getprofile()
    tracemalloc.start()
    sys.setprofile(count)
    try:
        cracks = measured(mask)
    finally:
        sys.setprofile(before)
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    check_numbers(cracks, mask.shape)
    return calls, memory


@pytest.mark.parametrize('name', MAPS)
def test_work_and_memory_grow_no_faster_than_the_mask(name):
    small, large = (work(MAPS[name](shape)) for shape in ((75, 100), (150, 200)))
    # four times the pixels; work on pairs of them would grow sixteenfold
    assert large[0] < 5.5 * small[0] and large[1] < 5.5 * small[1]


@pytest.mark.parametrize(('name', 'shape', 'cracks'), [
    ('empty', (3000, 4096), 0), ('full', (1200, 1600), 1), ('checkerboard', (600, 800), 1),
    ('checkerboard of squares', (600, 800), 1), ('one long row', (1, 40_000), 1),
    ('one long column', (40_000, 1), 1), ('a corner', (3000, 4096), 1)])
def test_huge_masks_are_measured(name, shape, cracks):
    mask = MAPS[name](shape) if name in MAPS else np.zeros(shape, bool)
    if 'long' in name:
        mask[:] = True
    if name == 'a corner':
        mask[-1, -1] = True
    found = measured(mask)
    assert len(found) == cracks
    check_numbers(found, shape)
    assert sum(crack.area_px for crack in found) == np.count_nonzero(mask)


@given(arrays(np.bool_, st.tuples(st.just(1), st.integers(1, 300))), st.booleans())
@settings(deadline=None)
def test_any_frame_of_one_row_or_column_is_measured_without_a_fault(mask, upright):
    mask = mask.T if upright else mask
    cracks = measured(mask)
    check_numbers(cracks, mask.shape)
    assert sum(crack.area_px for crack in cracks) == np.count_nonzero(mask)


@given(st.sets(st.tuples(st.integers(0, 99), st.integers(0, 149)), max_size=60))
@settings(deadline=None)
def test_any_single_pixels_are_measured_without_a_fault(places):
    mask = np.zeros((100, 150), bool)
    mask[tuple(np.array(sorted(places), int).reshape(-1, 2).T)] = True
    cracks = measured(mask, rules=MeasureRules(gaps=Gaps(0.0)))
    check_numbers(cracks, mask.shape)
    assert len(cracks) == cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 6), st.integers(1, 60),
       st.integers(1, 60))
@settings(deadline=None, max_examples=60)
def test_any_checkerboard_is_measured_without_a_fault(tall, wide, shift, height, width):
    rows, columns = np.indices((height, width))
    mask = ((rows + shift) // tall + columns // wide) % 2
    cracks = measured(mask)
    check_numbers(cracks, mask.shape)
    assert sum(crack.area_px for crack in cracks) == np.count_nonzero(mask)


def test_of_a_map_the_longest_lines_are_handed_out_and_all_count_into_its_length():
    mask = MAPS['checkerboard of squares']((150, 200))
    crack, = measured(mask)
    assert crack.kind is CrackKind.BRANCHED
    handed_out = sum(np.hypot(*np.diff(points, axis=0).T).sum() for points in crack.lines)
    # a skeleton runs along both diagonals of the 833 squares of 3 x 3 px, and cuts some corners
    assert crack.length_px > handed_out
    assert crack.length_px == pytest.approx(2 * 833 * 3 * math.sqrt(2), rel=0.3)
    assert crack.width_mean_px == pytest.approx(2.0, abs=1.0)
