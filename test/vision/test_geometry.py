# SPDX-License-Identifier: Apache-2.0
"""Cracks of known course are measured within a stated tolerance; no mask makes it fail."""

import math
import sys
import tracemalloc

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest
from skimage.morphology import skeletonize

from tunnel_crack_ros.simulation import render_frame, SimulationSettings, spread_cameras
from tunnel_crack_ros.vision import (
    Crack,
    CrackKind,
    Gaps,
    measure_cracks,
    MeasureRules,
    Scale,
    ScaleSource,
    Segmentation,
)
from tunnel_crack_ros.vision.overlay import draw_overlay, label_text

NEVER_NAN = ('confidence', 'length_px', 'width_mean_px', 'width_p95_px', 'width_max_px',
             'area_px')


def measured(mask: np.ndarray, **more) -> list[Crack]:
    mask = mask.astype(np.uint8) * np.uint8(255)
    return measure_cracks(Segmentation((mask / 255).astype(np.float32), mask, 0.5), **more)


def line(angle: float, length: float, width: float, size: int = 301) -> np.ndarray:
    """Return a mask with a straight bar through the middle.

    :param angle: rad, positive rising to the right.
    """
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    along = x * math.cos(angle) - y * math.sin(angle)
    across = x * math.sin(angle) + y * math.cos(angle)
    return (abs(along) <= length / 2) & (abs(across) <= width / 2)


@pytest.mark.parametrize('degrees', [0, 10, 30, 45, 60, 89, -20, -45, -70])
@pytest.mark.parametrize('width', [3.0, 5.0, 9.0])
def test_a_straight_line_has_its_length_width_and_direction(degrees, width):
    crack, = measured(line(math.radians(degrees), 200.0, width))
    # a skeleton stops half a width before either end
    assert crack.length_px == pytest.approx(200.0, abs=width + 2.0)
    # the shortened length makes the mean that much wider; pixels add half of one
    assert crack.width_mean_px == pytest.approx(width, abs=0.6 + width * (width + 2) / 200)
    assert crack.width_max_px <= width + 1.5
    off = (crack.orientation - math.radians(degrees) + math.pi / 2) % math.pi - math.pi / 2
    assert abs(off) < math.radians(1.0)
    assert crack.tortuosity == pytest.approx(1.0, abs=0.05)
    assert not crack.touches_border


@pytest.mark.parametrize(('degrees', 'kind'), [
    (0, CrackKind.LONGITUDINAL), (20, CrackKind.LONGITUDINAL), (45, CrackKind.OBLIQUE),
    (70, CrackKind.CIRCUMFERENTIAL), (90, CrackKind.CIRCUMFERENTIAL)])
def test_the_kind_follows_the_tunnels_axis(degrees, kind):
    mask = line(math.radians(degrees), 200.0, 4.0)
    assert measured(mask)[0].kind is kind
    turned = line(math.radians(degrees + 25), 200.0, 4.0)
    assert measured(turned, rules=MeasureRules(axis_angle=math.radians(25)))[0].kind is kind


def test_millimetres_are_pixels_times_the_scale_and_nan_without():
    mask = line(0.3, 150.0, 5.0)
    plain, = measured(mask)
    scaled, = measured(mask, scale=Scale(0.5, source=ScaleSource.PARAMETER))
    for name in ('length', 'width_mean', 'width_p95', 'width_max'):
        assert math.isnan(getattr(plain, f'{name}_mm'))
        assert getattr(scaled, f'{name}_mm') == pytest.approx(0.5 * getattr(plain, f'{name}_px'))
    assert math.isnan(plain.area_mm2)
    assert scaled.area_mm2 == pytest.approx(0.25 * plain.area_px)


def test_a_ring_has_no_direction_and_no_tortuosity():
    crack, = measured(abs(np.hypot(*(np.indices((201, 201)) - 100)) - 60.0) <= 2.5)
    assert math.isnan(crack.orientation) and math.isnan(crack.tortuosity)
    # the digital circle's staircase and the smoothing of its halves: 5 %
    assert crack.length_px == pytest.approx(2 * math.pi * 60, rel=0.05)
    assert crack.width_mean_px == pytest.approx(5.0, abs=0.7)


def test_branches_count_into_the_length():
    mask = np.zeros((200, 200), np.uint8)
    mask[100, 20:180] = mask[40:160, 100] = 1
    crack, = measured(cv2.dilate(mask, np.ones((3, 3), np.uint8)))
    assert crack.kind is CrackKind.BRANCHED
    assert crack.length_px == pytest.approx(160 + 120, abs=10)  # the crossing counts once


def test_cracks_come_longest_first_and_keep_apart():
    mask = np.zeros((100, 300), np.uint8)
    mask[20:23, 10:60] = mask[50:53, 10:250] = mask[80:83, 100:200] = 1
    cracks = measured(mask)
    assert [crack.id for crack in cracks] == [0, 1, 2]
    assert [crack.bounding_box for crack in cracks] == [
        (10, 50, 240, 3), (100, 80, 100, 3), (10, 20, 50, 3)]
    assert [crack.area_px for crack in cracks] == [720, 300, 150]


@pytest.mark.parametrize(('rows', 'columns', 'touches'), [
    (slice(0, 30), slice(40, 43), True), (slice(10, 30), slice(40, 43), False),
    (slice(70, 100), slice(40, 43), True), (slice(50, 53), slice(0, 20), True),
    (slice(50, 53), slice(70, 100), True)])
def test_a_crack_at_the_frames_edge_says_so(rows, columns, touches):
    mask = np.zeros((100, 100), np.uint8)
    mask[rows, columns] = 1
    assert measured(mask)[0].touches_border is touches


def check_numbers(cracks: list[Crack], shape: tuple[int, int]) -> None:
    for crack in cracks:
        for name in NEVER_NAN:
            assert math.isfinite(getattr(crack, name)), name
        assert 0.0 <= crack.confidence <= 1.0
        assert crack.length_px > 0 and crack.width_mean_px > 0
        assert len(crack.centre_line) == len(crack.widths_px) >= 1
        assert np.isfinite(crack.centre_line).all() and (crack.widths_px > 0).all()
        left, top, width, height = crack.bounding_box
        assert left + width <= shape[1] and top + height <= shape[0]
        assert math.isnan(crack.tortuosity) or crack.tortuosity >= 1.0
        assert math.isnan(crack.orientation) or abs(crack.orientation) <= math.pi / 2


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


def fork(size: int = 200) -> np.ndarray:
    """Return a mask with a level bar 160 px long and two branches that leave it, 60 px each."""
    mask = np.zeros((size, size), np.uint8)
    cv2.line(mask, (20, 100), (180, 100), 1, 3)
    cv2.line(mask, (80, 100), (80, 40), 1, 3)
    cv2.line(mask, (120, 100), (120, 160), 1, 3)
    return mask


def drawn_near(picture: np.ndarray, x: int, y: int) -> bool:
    """Return whether the yellow of centre lines is within 2 px of a place."""
    red, green, blue = picture[y - 2:y + 3, x - 2:x + 3].astype(int).transpose(2, 0, 1)
    return bool(((red > 180) & (green > 160) & (blue < 90)).any())


def test_branches_are_handed_out_as_lines():
    crack, = measured(fork())
    assert len(crack.branches) == 2 and crack.lines[0] is crack.centre_line
    for branch, (x, y) in zip(sorted(crack.lines[1:], key=lambda points: points[:, 0].mean()),
                              [(80, 40), (120, 160)]):
        assert abs(branch[:, 0] - x).max() < 1.0
        far, near = sorted([branch[0], branch[-1]], key=lambda point: abs(point[1] - 100.0))[::-1]
        assert far == pytest.approx([x, y], abs=2.5) and near == pytest.approx([x, 100], abs=2.0)
    for branch in crack.branches:
        # OpenCV draws a thickness of 3 as 3 px or as 5, by its version
        assert branch.widths_px.mean() == pytest.approx(fork()[70].sum(), abs=0.1)
    # all lines together are as long as the crack, up to the last steps between vertices
    lengths = [np.hypot(*np.diff(points, axis=0).T).sum() for points in crack.lines]
    assert sum(lengths) == pytest.approx(crack.length_px, rel=0.01)
    straight, = measured(line(0.3, 150.0, 5.0))
    assert straight.branches == ()


def test_the_overlay_draws_every_branch():
    mask = fork()
    drawn = draw_overlay(np.full((*mask.shape, 3), 128, np.uint8), mask * np.uint8(255),
                         measured(mask))
    assert drawn_near(drawn, 50, 100) and drawn_near(drawn, 150, 100)
    assert drawn_near(drawn, 80, 70) and drawn_near(drawn, 120, 130)
    assert not drawn_near(drawn, 80, 130)


@pytest.mark.parametrize('index', [10, 14, 16])
def test_every_long_line_of_a_simulated_frames_mask_is_drawn(index):
    # cracks of this tunnel fork in view: the truth's own mask, as a perfect segmenter would give
    drive = SimulationSettings(seed=36, frames=40, cameras=spread_cameras(('left', 'right')))
    frame = render_frame(drive, drive.cameras[0], index)
    mask = frame.mask
    cracks = measured(mask > 0)
    away = np.ones(mask.shape, np.uint8)
    for crack in cracks:
        cv2.polylines(away, [np.round(points).astype(np.int32).reshape(-1, 1, 2)
                             for points in crack.lines], False, 0)
    lines = skeletonize(mask > 0)
    assert lines.sum() > 300 and any(crack.branches for crack in cracks)
    far = lines & (cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > 6.0)
    count, _, pieces, _ = cv2.connectedComponentsWithStats(far.astype(np.uint8), connectivity=8)
    # spurs may be left out, lines of 20 px may not
    assert count == 1 or pieces[1:, cv2.CC_STAT_AREA].max() < 20


def test_the_overlay_marks_cracks_and_leaves_the_frame_alone():
    mask = line(0.4, 150.0, 5.0).astype(np.uint8) * np.uint8(255)
    frame = np.full((301, 301, 3), 128, np.uint8)
    drawn = draw_overlay(frame, mask, measured(mask > 0))
    assert (frame == 128).all()
    assert (drawn != 128).any(axis=2).sum() > 300
    assert np.array_equal(draw_overlay(frame, np.zeros_like(mask), []), frame)


def bar(length: float, width: float, blur: float = 0.6, size: int = 240) -> np.ndarray:
    """Return the confidence of a level bar through the middle, 0..1, exact to 1/16 px."""
    fine = (np.arange(size * 16) + 0.5) / 16 - size / 2
    along = (abs(fine) <= length / 2).reshape(size, 16).mean(axis=1)
    across = (abs(fine) <= width / 2).reshape(size, 16).mean(axis=1)
    return cv2.GaussianBlur(np.outer(across, along).astype(np.float32), (0, 0), blur)


def measured_softly(confidence: np.ndarray, threshold: float = 0.3, **more) -> list[Crack]:
    mask = (confidence >= threshold).astype(np.uint8) * np.uint8(255)
    return measure_cracks(Segmentation(confidence, mask, threshold), **more)


@pytest.mark.parametrize('width', [1.0, 1.5, 2.25, 4.0, 7.5, 13.0, 20.0])
@pytest.mark.parametrize('threshold', [0.2, 0.3, 0.4])
def test_soft_edges_give_width_and_length_to_a_tenth_of_a_pixel(width, threshold):
    crack, = measured_softly(bar(150.0, width, 0.5), threshold)
    assert crack.width_mean_px == pytest.approx(width, abs=0.1)
    assert crack.width_max_px == pytest.approx(width, abs=0.2)
    assert crack.length_px == pytest.approx(150.0, abs=0.7)  # two ends


@pytest.mark.parametrize(('gap', 'limit', 'cracks'), [
    (6, 10.0, 1), (6, 0.0, 2), (6, 3.0, 2), (30, 10.0, 2), (30, 40.0, 1)])
def test_gaps_between_ends_that_face_each_other_are_bridged(gap, limit, cracks):
    confidence = bar(180.0, 3.0)
    confidence[:, 120 - gap // 2:120 + gap // 2] = 0.0
    found = measured_softly(confidence, rules=MeasureRules(gaps=Gaps(limit)))
    assert len(found) == cracks
    assert sum(crack.length_px for crack in found) == pytest.approx(
        180.0 - (gap if cracks == 2 else 0), abs=1.5)
    assert sum(crack.area_px for crack in found) == np.count_nonzero(confidence >= 0.3)


def test_ends_that_point_past_each_other_stay_apart():
    mask = np.zeros((100, 200), bool)
    mask[40:43, 20:100] = mask[44:100, 103:106] = True
    assert len(measured(mask, rules=MeasureRules(gaps=Gaps(10.0)))) == 2


def test_spurs_are_no_branches_and_branches_are():
    mask = line(0.0, 200.0, 9.0)
    mask[140:146, 150] = True                 # a thorn on the edge, shorter than the bar is wide
    crack, = measured(mask)
    assert crack.length_px == pytest.approx(200.0, abs=2.0)
    mask[100:146, 149:152] = True             # 46 px: a branch
    crack, = measured(mask)
    assert crack.length_px == pytest.approx(200.0 + 50.0, abs=3.0)
    assert crack.kind is CrackKind.LONGITUDINAL  # a short one does not make it branched


def test_a_width_below_what_can_be_resolved_is_no_number():
    scale = Scale(0.4, 0.004, ScaleSource.PARAMETER)
    rules = MeasureRules(resolvable_px=2.0)
    wide, = measured_softly(bar(150.0, 3.0), scale=scale, rules=rules)
    assert wide.resolved and wide.width_mean_mm == pytest.approx(1.2, abs=0.04)
    thin, = measured_softly(bar(150.0, 1.2, 0.4), scale=scale, rules=rules)
    assert not thin.resolved and math.isnan(thin.width_mean_mm) and math.isnan(thin.width_max_mm)
    assert thin.width_floor_mm == pytest.approx(0.8)
    assert thin.length_mm == pytest.approx(60.0, abs=0.5)
    assert label_text(thin) == '0: 60 mm, w below 0.8 mm'
    assert label_text(wide) == '0: 60 mm, w 1.20 +- 0.01 mm'


def test_the_scales_sigma_is_part_of_the_millimetres():
    exact, = measured_softly(bar(150.0, 5.0), scale=Scale(0.5, source=ScaleSource.PARAMETER))
    vague, = measured_softly(bar(150.0, 5.0), scale=Scale(0.5, 0.05, ScaleSource.PARAMETER))
    assert exact.length_sigma_mm == pytest.approx(0.5 * exact.length_sigma_px)
    assert vague.length_sigma_mm == pytest.approx(0.1 * vague.length_mm, rel=0.01)
    assert vague.width_sigma_mm == pytest.approx(0.1 * vague.width_mean_mm, rel=0.05)


def test_the_angle_limits_decide_the_kind():
    mask = line(math.radians(40), 200.0, 4.0)
    assert measured(mask)[0].kind is CrackKind.OBLIQUE
    wide = MeasureRules(longitudinal_below=math.radians(44))
    assert measured(mask, rules=wide)[0].kind is CrackKind.LONGITUDINAL


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
