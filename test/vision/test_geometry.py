# SPDX-License-Identifier: Apache-2.0
"""Cracks of known course are measured within a stated tolerance."""

import math

import cv2
from drawn_masks import bar, line, measured, measured_softly
import numpy as np
import pytest

from tunnel_crack_ros.vision import CrackKind, Gaps, MeasureRules, Scale, ScaleSource
from tunnel_crack_ros.vision.overlay import label_text


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


@pytest.mark.parametrize('width', [1.0, 1.5, 2.25, 4.0, 7.5, 13.0, 20.0])
@pytest.mark.parametrize('threshold', [0.2, 0.3, 0.4])
def test_soft_edges_give_width_and_length_to_a_tenth_of_a_pixel(width, threshold):
    crack, = measured_softly(bar(150.0, width, 0.5), threshold)
    assert crack.width_mean_px == pytest.approx(width, abs=0.1)
    assert crack.width_max_px == pytest.approx(width, abs=0.2)
    assert crack.length_px == pytest.approx(150.0, abs=0.7)  # two ends


@pytest.mark.parametrize(('width', 'gap', 'strength'), [
    (3, 2, 1.0), (3, 4, 1.0), (6, 2, 1.0), (8, 3, 1.0), (3, 0, 0.2), (3, 4, 0.3)])
def test_a_crack_before_another_line_or_a_stain_keeps_its_length(width, gap, strength):
    """What lies behind its end counted as its own: 7 px, and 8 of a stain below the threshold."""
    rows = slice(100, 100 + width)
    confidence = np.zeros((200, 300), np.float32)
    confidence[30:170, 240 + gap:244 + gap if strength == 1.0 else 260 + gap] = strength
    confidence[rows, 40:240] = 1.0
    cracks = measured_softly(cv2.GaussianBlur(confidence, (0, 0), 0.6), 0.35)
    level, = (crack for crack in cracks if crack.kind is CrackKind.LONGITUDINAL)
    assert level.length_px == pytest.approx(200.0, abs=1.2 if gap == 0 else 0.5)
    assert level.width_mean_px == pytest.approx(width, abs=0.1)


@pytest.mark.parametrize('haze', [0.05, 0.1, 0.2])
def test_haze_around_one_crack_leaves_the_other_as_wide_as_it_is(haze):
    """Both were measured against the mean of their backgrounds: 2.6 and 4.3 px for 3."""
    confidence = np.zeros((240, 300), np.float32)
    confidence[120:] = haze
    confidence[58:61, 40:240] = confidence[178:181, 40:240] = 1.0
    clear, hazy = sorted(measured_softly(cv2.GaussianBlur(confidence, (0, 0), 0.6), 0.5),
                         key=lambda crack: crack.bounding_box[1])
    assert clear.width_mean_px == pytest.approx(3.0, abs=0.02)
    assert clear.length_px == pytest.approx(200.0, abs=0.1)
    # at its edges nobody knows what is haze and what is crack: up to 2 px of it count
    assert hazy.width_mean_px == pytest.approx(3.0, abs=0.01 + 2.0 * haze)
    assert hazy.length_px == pytest.approx(200.0, abs=0.5)


def leaving(degrees: float, width: float, radius: float = math.inf, size: int = 400):
    """Return the confidence of a crack of 200 px that leaves the frame half way down on the right.

    :param degrees: between crack and frame's edge; 90: straight out.
    :param radius: it bends by, px.
    """
    steps = (np.arange(4) + 0.5) / 4 - 0.5
    x, y = (np.arange(size + 40)[:, None] + steps).ravel() - (size - 0.5), \
        (np.arange(size)[:, None] + steps).ravel() - size / 2
    angle = math.radians(degrees)
    along = x * math.sin(angle) - y[:, None] * math.cos(angle)
    across = x * math.cos(angle) + y[:, None] * math.sin(angle)
    if math.isfinite(radius):
        along, across = radius * np.arctan2(along, across + radius), \
            np.hypot(along, across + radius) - radius
    there = (along >= -200.0) & (along <= 80.0) & (abs(across) <= width / 2)
    found = there.reshape(size, 4, size + 40, 4).mean(axis=(1, 3), dtype=np.float32)
    return np.ascontiguousarray(cv2.GaussianBlur(found, (0, 0), 0.6)[:, :size])


@pytest.mark.parametrize('width', [3.0, 10.0, 20.0])
@pytest.mark.parametrize('degrees', [90, 70, 45, 30, 135])
def test_a_crack_that_leaves_the_frame_ends_where_its_middle_does(degrees, width):
    """Its skeleton runs into the sharper corner: 3 to 30 px too long, the wider the more."""
    crack, = measured_softly(leaving(degrees, width))
    assert crack.touches_border
    assert crack.length_px == pytest.approx(200.0, abs=0.5 + 0.02 * width)
    assert crack.width_mean_px == pytest.approx(width, abs=0.1)
    assert crack.centre_line[:, 0].max() == pytest.approx(399.5, abs=0.3)


@pytest.mark.parametrize('degrees', [60, 45])
def test_a_bend_where_a_crack_leaves_the_frame_is_part_of_the_sigma(degrees):
    crack, = measured_softly(leaving(degrees, 16.0, radius=150.0))
    assert abs(crack.length_px - 200.0) <= 2.0 * crack.length_sigma_px < 5.0


@pytest.mark.parametrize(('degrees', 'width'), [
    (15, 20.0), (10, 20.0), (8, 10.0), (6, 5.0), (6, 2.0)])
def test_a_crack_that_leaves_the_frame_at_a_slant_ends_there_too(degrees, width):
    """The frame's edge cuts off more than a third of it, or its skeleton runs along the edge."""
    crack, = measured_softly(leaving(degrees, width))
    assert abs(crack.length_px - 200.0) <= 2.0 * crack.length_sigma_px <= 8.0
    assert crack.width_mean_px == pytest.approx(width, abs=0.1)


def test_what_the_frames_edge_cuts_off_and_nobody_can_lead_on_is_part_of_the_sigma():
    """70 px too long and 5 px too thin, it had a sigma of 0.6 px."""
    crack, = measured_softly(leaving(8, 20.0))
    assert 50.0 < abs(crack.length_px - 200.0) < 2.0 * crack.length_sigma_px
    assert crack.width_mean_px == pytest.approx(20.0, abs=0.1)


def test_a_crack_that_leaves_the_frame_near_a_corner_is_cut_off_by_both_edges():
    confidence = leaving(60, 10.0)
    crack, = measured_softly(np.ascontiguousarray(confidence[202:]))    # its middle is at 199.5
    other, = measured_softly(confidence)
    assert crack.length_px < other.length_px - 2.0
    assert crack.width_mean_px == pytest.approx(10.0, abs=0.1)


@pytest.mark.parametrize('short', [1.0, 4.0])
@pytest.mark.parametrize('degrees', [20, 5])
def test_a_crack_that_ends_close_to_the_frames_edge_is_not_led_on(degrees, short):
    confidence = leaving(degrees, 6.0)
    whole, = measured_softly(confidence)
    y, x = np.mgrid[:400, :400]
    angle = math.radians(degrees)
    along = (x - 399.5) * math.sin(angle) - (y - 199.5) * math.cos(angle)
    left = short / math.sin(angle)
    crack, = measured_softly(np.where(along < -left, confidence, np.float32(0.0)))
    assert crack.length_px == pytest.approx(200.0 - left, abs=1.5)
    assert abs(whole.length_px - 200.0) <= 2.0 * whole.length_sigma_px <= 8.0


def test_a_crack_along_the_frames_edge_is_led_on_nowhere():
    confidence = np.zeros((200, 320), np.float32)
    confidence[:6, 60:] = 1.0
    crack, = measured_softly(confidence)
    assert crack.length_px == pytest.approx(260.0, abs=1.0)


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
