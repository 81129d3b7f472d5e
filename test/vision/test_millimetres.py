# SPDX-License-Identifier: Apache-2.0
"""Cracks drawn on planes and cylinders in space are measured in true millimetres.

The truth is made in the tunnel's own axes (x ahead, y left, z up), ray by ray, by nothing of what
is tested: a pixel is crack as far as its rays fall between the crack's edges on the lining.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest

from tunnel_crack_ros.vision import measure_cracks, MeasureRules, Scale, ScaleSource, Segmentation
from tunnel_crack_ros.vision.camera import Camera
from tunnel_crack_ros.vision.depth import DepthImage
from tunnel_crack_ros.vision.lining import LiningRules, see_lining

SIZE = (360, 270)
FOCAL = 420.0
SUB = 5     # rays of a pixel, each way
CAMERA = Camera(FOCAL, FOCAL, (SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2, *SIZE)


@dataclass(frozen=True)
class Scene:
    """A camera before a lining with one straight crack (straight once unrolled)."""

    roll: float = 0.6           # of the optical axis about the tunnel, clockwise from the crown
    ahead: float = 0.0          # rad, tilts as in LiningRules
    around: float = 0.0
    travel: float = 0.0
    distance: float = 1.2       # m
    radius: float = 0.0         # m; 0: a plane
    length: float = 0.5         # m
    width: float = 0.006        # m
    direction: float = 0.4      # rad, on the unrolled lining
    focal: float = FOCAL

    def axes(self):
        """Return image right, image down and the optical axis, in the tunnel's axes."""
        out = np.array([0.0, -math.sin(self.roll), math.cos(self.roll)])
        x = np.array([1.0, 0.0, 0.0])
        axis = math.cos(self.ahead) * out + math.sin(self.ahead) * x
        fore = math.cos(self.ahead) * x - math.sin(self.ahead) * out
        clockwise = np.array([0.0, -math.cos(self.roll), -math.sin(self.roll)])
        # fore is seen at the angle `travel` in the image, clockwise a quarter turn further
        right = math.cos(self.travel) * fore - math.sin(self.travel) * clockwise
        up = math.sin(self.travel) * fore + math.cos(self.travel) * clockwise
        return right, -up, axis

    def unrolled(self, columns, rows):
        """Return where rays through pixels meet the lining: x ahead and clockwise arc, m."""
        right, down, axis = self.axes()
        normal_roll = self.roll - self.around
        normal = np.array([0.0, -math.sin(normal_roll), math.cos(normal_roll)])
        clockwise = np.array([0.0, -math.cos(normal_roll), -math.sin(normal_roll)])
        rays = (columns[..., None] - CAMERA.cx) / self.focal * right \
            + (rows[..., None] - CAMERA.cy) / self.focal * down + axis
        hit = self.distance * axis              # the camera stands in the origin
        if not self.radius:
            reach = (hit @ normal) / (rays @ normal)
            places = rays * reach[..., None]
            return places @ (1.0, 0.0, 0.0), (places - hit) @ clockwise, \
                reach * (rays @ axis)
        centre = (hit - self.radius * normal) * (0.0, 1.0, 1.0)
        flat = rays * (0.0, 1.0, 1.0)
        a, b = (flat ** 2).sum(-1), flat @ centre
        reach = (b + np.sqrt(b ** 2 - a * (centre @ centre - self.radius ** 2))) / a
        places = rays * reach[..., None]
        offset = places - centre
        turn = np.arctan2(offset @ clockwise, offset @ normal)
        return places[..., 0], self.radius * turn, reach * (rays @ axis)

    @property
    def middle(self):
        return self.distance * self.axes()[2][0], 0.0

    def coverage(self):
        """Return how much of each pixel is crack, 0..1."""
        def beyond(columns, rows):
            """Return how far rays fall beyond the crack's ends and edges, m; < 0: inside."""
            x, arc, _ = self.unrolled(columns, rows)
            x, arc = x - self.middle[0], arc - self.middle[1]
            cos, sin = math.cos(self.direction), math.sin(self.direction)
            return np.maximum(abs(x * cos + arc * sin) - self.length / 2,
                              abs(arc * cos - x * sin) - self.width / 2)
        steps = (np.arange(SUB) + 0.5) / SUB - 0.5
        columns, rows = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
        close = beyond(columns, rows) < 0.03    # m: several pixels
        found = np.zeros(close.shape)
        found[close] = (beyond(columns[close][:, None, None] + steps[None, None],
                               rows[close][:, None, None] + steps[None, :, None]) <= 0
                        ).mean(axis=(1, 2))
        return found

    def depth(self, size=(90, 68)):
        columns = (np.arange(size[0]) + 0.5) * SIZE[0] / size[0] - 0.5
        rows = (np.arange(size[1]) + 0.5) * SIZE[1] / size[1] - 0.5
        return self.unrolled(*np.meshgrid(columns, rows))[2].astype(np.float32)

    def rules(self, **more):
        return LiningRules(**{
            'travel': self.travel, 'tilt_ahead': self.ahead, 'tilt_around': self.around,
            'radius_m': self.radius} | more)

    def segmentation(self, rng=None, blur=0.5, noise=0.0):
        confidence = cv2.GaussianBlur(self.coverage().astype(np.float32), (0, 0), blur)
        if noise:
            confidence += rng.normal(0.0, noise, confidence.shape)
        confidence = np.clip(confidence, 0.0, 1.0).astype(np.float32)
        mask = np.where(confidence >= 0.3, 255, 0).astype(np.uint8)
        if noise:       # as the segmenter does: crumbs go
            _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
            mask[(stats[:, cv2.CC_STAT_AREA] < 30)[labels]] = 0
        return Segmentation(confidence, mask, 0.3)


def measured(scene, rules=None, **more):
    lining, note = see_lining(CAMERA, SIZE, rules or scene.rules(), **more)
    assert note == ''
    crack, *rest = measure_cracks(scene.segmentation(), lining)
    assert not rest
    return crack


SCENES = {
    'head on': Scene(), 'ahead': Scene(ahead=0.5), 'back': Scene(ahead=-0.4, direction=-0.7),
    'around': Scene(around=0.5, direction=1.2), 'both': Scene(ahead=0.3, around=-0.4),
    'to the left': Scene(ahead=0.35, around=0.3, travel=math.pi, direction=2.0),
    'up': Scene(ahead=0.35, around=0.3, travel=math.pi / 2, direction=0.8),
    'slanting': Scene(ahead=-0.3, around=0.35, travel=0.5, direction=-0.2),
    'round': Scene(radius=1.5), 'round, off the middle': Scene(radius=1.5, around=0.5),
    'round, across': Scene(radius=1.3, direction=math.pi / 2, around=0.3, length=0.55),
    'round, all': Scene(radius=1.8, ahead=0.3, around=-0.3, travel=2.5, direction=1.0)}


@pytest.mark.parametrize('scene', SCENES.values(), ids=SCENES)
def test_length_width_and_area_are_those_on_the_lining(scene):
    """To 0.5 % of 500 mm, ends and all, and 0.1 mm of 6 (0.03 px)."""
    crack = measured(scene, range_m=scene.distance)
    assert crack.length_mm == pytest.approx(500.0 * scene.length / 0.5, rel=0.005)
    assert crack.width_mean_mm == pytest.approx(6.0, abs=0.1)
    assert crack.width_max_mm == pytest.approx(6.0, abs=0.8)
    assert np.nanmedian(crack.widths_mm) == pytest.approx(6.0, abs=0.15)
    # the mask is wider than the crack by a part of a pixel; each pixel counts as it lies
    mask_share = crack.area_px / (crack.width_mean_px * crack.length_px)
    assert crack.area_mm2 == pytest.approx(6000.0 * scene.length * mask_share, rel=0.02)
    assert crack.scale.source is ScaleSource.CAMERA_INFO_RANGE


@pytest.mark.parametrize('scene', SCENES.values(), ids=SCENES)
def test_the_plan_is_the_unrolled_lining(scene):
    crack = measured(scene, range_m=scene.distance)
    x, arc, depths = scene.unrolled(*crack.centre_line.astype(float).T)
    if scene.radius:
        # measured from where the optical axis points, seen from the tunnel's axis
        arc = arc - scene.radius * scene.around
        assert np.allclose(crack.plan_m, np.column_stack([x, arc]), atol=1e-4)
    else:
        assert np.allclose(crack.plan_m[:, 0], x, atol=1e-4)
    assert np.allclose(crack.places_m[:, 2], depths, atol=1e-4)


@pytest.mark.parametrize('radius', [0.0, 3.0])
@pytest.mark.parametrize(('ahead', 'travel'), [(0.0, 0.0), (0.2, 0.0), (-0.3, 2.0)])
def test_without_a_calibration_the_plan_begins_where_the_optical_axis_points(
        ahead, travel, radius):
    """The camera that stands in is a hundred pictures away: 0.2 rad were 20 m of chainage."""
    rules = LiningRules(mm_per_px=0.5, tilt_ahead=ahead, tilt_sigma=0.02, travel=travel,
                        radius_m=radius)
    confidence = np.zeros((1500, 2000), np.float32)
    confidence[748:752, 800:1200] = 1.0         # through the middle of the frame
    lining, note = see_lining(None, (2000, 1500), rules)
    crack, = measure_cracks(Segmentation(confidence, (confidence * 255).astype(np.uint8), 0.5),
                            lining)
    assert note == '' and np.isfinite(crack.plan_m).all()
    assert np.abs(crack.plan_m.mean(axis=0)).max() < 1e-3
    extent = np.hypot(*np.ptp(crack.plan_m, axis=0))
    assert extent == pytest.approx(crack.length_mm / 1e3, rel=0.01)
    # 0.02 rad move the middle of the crack by next to nothing
    assert 0.0 <= crack.plan_sigma_m[0] < 1e-3


def test_without_the_correction_a_tilt_makes_millimetres_wrong():
    scene = Scene(ahead=0.5, direction=0.0)
    crack = measured(scene, LiningRules(), range_m=scene.distance)
    assert crack.length_mm < 460.0


def test_the_width_is_taken_across_the_crack_on_the_lining():
    """A crack at 45 degrees on a lining tilted by 50: in the image its edges lean."""
    scene = Scene(around=math.radians(50), direction=math.radians(45), width=0.012)
    crack = measured(scene, range_m=scene.distance)
    assert crack.width_mean_mm == pytest.approx(12.0, abs=0.15)


@pytest.mark.parametrize('scene', [SCENES['both'], SCENES['round'], SCENES['up']])
def test_a_depth_image_needs_no_tilt(scene):
    rules = LiningRules(travel=scene.travel, radius_m=scene.radius)
    crack = measured(scene, rules, depth=DepthImage(scene.depth()), range_m=9.0)
    assert crack.scale.source is ScaleSource.CAMERA_INFO_DEPTH
    assert crack.length_mm == pytest.approx(500.0, rel=0.006)
    assert crack.width_mean_mm == pytest.approx(6.0, abs=0.1)


def test_a_depth_image_of_another_shape_or_empty_gives_way_to_the_range():
    scene = Scene()
    lining, note = see_lining(CAMERA, SIZE, scene.rules(), range_m=1.2,
                              depth=DepthImage(np.ones((100, 100), np.float32)))
    assert lining.source is ScaleSource.CAMERA_INFO_RANGE
    assert 'depth image has 100 x 100 px' in note
    lining, note = see_lining(CAMERA, SIZE, scene.rules(), range_m=1.2,
                              depth=DepthImage(np.zeros((68, 90), np.float32)))
    assert lining.source is ScaleSource.CAMERA_INFO_RANGE
    assert note.startswith('the depth image shows no lining: too few pixels with a depth')
    assert see_lining(CAMERA, SIZE, scene.rules(), depth=DepthImage(np.zeros((68, 90), np.float32))
                      ) == (None, note)


def test_around_a_hole_in_the_depth_the_rest_of_the_image_counts():
    scene = Scene(ahead=0.3)
    metres = scene.depth()
    metres[8:60, 8:82] = 0.0
    lining, _ = see_lining(CAMERA, SIZE, LiningRules(), depth=DepthImage(metres))
    crack, = measure_cracks(scene.segmentation(), lining)
    assert crack.length_mm == pytest.approx(500.0, rel=0.006)


def test_a_calibration_of_another_size_is_scaled_and_told_or_refused():
    double = Camera(2 * FOCAL, 2 * FOCAL, SIZE[0] - 0.5, SIZE[1] - 0.5, 2 * SIZE[0], 2 * SIZE[1])
    lining, note = see_lining(double, SIZE, LiningRules(), range_m=1.2)
    assert lining.scale.mm_per_px == pytest.approx(1200.0 / FOCAL, rel=1e-6)
    assert note == "camera_info is for 720 x 540 px: scaled to the frame's 360 x 270"
    square = Camera(FOCAL, FOCAL, 100.0, 100.0, 300, 300)
    lining, note = see_lining(square, SIZE, LiningRules(), range_m=1.2)
    assert lining is None and 'camera_info is for 300 x 300 px' in note
    # what an operator gives outright needs no calibration
    lining, note = see_lining(square, SIZE, LiningRules(mm_per_px=0.7), range_m=1.2)
    assert lining.scale.mm_per_px == pytest.approx(0.7, rel=1e-3) and note


def test_the_first_that_is_known_counts():
    given = {'range_m': 1.0, 'depth': DepthImage(Scene().depth())}
    sources = [
        see_lining(CAMERA, SIZE, LiningRules(mm_per_px=2.0, distance_m=3.0), **given),
        see_lining(CAMERA, SIZE, LiningRules(distance_m=3.0), **given),
        see_lining(CAMERA, SIZE, LiningRules(), **given),
        see_lining(CAMERA, SIZE, LiningRules(), range_m=1.0)]
    assert [lining.source for lining, _ in sources] == [
        ScaleSource.PARAMETER, ScaleSource.CAMERA_INFO_DISTANCE, ScaleSource.CAMERA_INFO_DEPTH,
        ScaleSource.CAMERA_INFO_RANGE]
    scales = [lining.scale.mm_per_px for lining, _ in sources]
    assert scales == pytest.approx([2.0, 3000 / FOCAL, 1200 / FOCAL, 1000 / FOCAL], rel=1e-3)
    for camera, more in ((None, {'range_m': 1.0}), (CAMERA, {}), (CAMERA, {'range_m': math.nan}),
                         (CAMERA, {'range_m': math.inf}), (CAMERA, {'range_m': 0.0})):
        assert see_lining(camera, SIZE, LiningRules(), **more) == (None, '')


def test_a_plain_scale_and_a_lining_seen_head_on_say_the_same():
    segmentation = Scene().segmentation()
    lining, _ = see_lining(None, SIZE, LiningRules(mm_per_px=2.0, mm_per_px_sigma=0.05))
    seen, = measure_cracks(segmentation, lining)
    plain, = measure_cracks(segmentation, Scale(2.0, 0.05, ScaleSource.PARAMETER))
    for name in ('length_mm', 'width_mean_mm', 'width_p95_mm', 'width_max_mm', 'area_mm2',
                 'length_sigma_mm', 'width_sigma_mm', 'width_floor_mm'):
        assert getattr(seen, name) == pytest.approx(getattr(plain, name), rel=1e-5)
    assert np.allclose(seen.widths_mm, plain.widths_mm, rtol=1e-5)
    assert seen.places_m is None and plain.places_m is None     # nobody knows the camera


def test_the_networks_own_error_of_widths_is_part_of_their_sigma():
    scene = Scene(around=0.6, direction=0.0)
    lining, _ = see_lining(CAMERA, SIZE, scene.rules(), range_m=scene.distance)
    crack, = measure_cracks(scene.segmentation(), lining, MeasureRules(mask_sigma_px=2.0))
    plain, = measure_cracks(scene.segmentation(), lining)
    assert crack.width_sigma_px == pytest.approx(math.hypot(2.0, plain.width_sigma_px))
    # 2 px across the tilt
    assert crack.width_sigma_mm == pytest.approx(2 * 1200 / FOCAL / math.cos(0.6), rel=0.05)
    assert crack.length_sigma_mm == plain.length_sigma_mm


def test_below_the_floor_there_is_no_width_but_the_floor_on_the_lining():
    scene = Scene(around=0.6, direction=0.0, width=0.006)
    lining, _ = see_lining(CAMERA, SIZE, scene.rules(), range_m=scene.distance)
    crack, = measure_cracks(scene.segmentation(), lining, MeasureRules(resolvable_px=3.0))
    assert not crack.resolved
    assert all(map(math.isnan, (crack.width_mean_mm, crack.width_p95_mm)))
    assert np.isnan(crack.widths_mm).all()
    # 3 px across a lining turned by 0.6: more than 3 px head on
    assert crack.width_floor_mm == pytest.approx(3 * 1200 / FOCAL / math.cos(0.6), rel=0.05)
    assert math.isfinite(crack.length_mm)


@given(arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24))),
       st.sampled_from(['plane', 'cylinder', 'depth', 'distorted']))
@settings(deadline=None, max_examples=60)
def test_any_mask_gets_its_numbers_on_any_lining(mask, kind):
    height, width = mask.shape
    camera = Camera(40.0, 41.0, 11.0, 9.0, width, height,
                    (-0.2, 0.05, 0.0, 0.0) if kind == 'distorted' else ())
    rules = LiningRules(distance_sigma_m=0.01, focal_sigma=0.01, tilt_ahead=0.4, tilt_around=-0.3,
                        tilt_sigma=0.01, radius_m=2.0 if kind == 'cylinder' else 0.0)
    depth = DepthImage(np.full((height, width), 1.5, np.float32)) if kind == 'depth' else None
    lining, _ = see_lining(camera, (width, height), rules, range_m=1.5, depth=depth)
    segmentation = Segmentation(mask.astype(np.float32), mask.astype(np.uint8) * 255, 0.5)
    for crack in measure_cracks(segmentation, lining):
        assert crack.resolved == math.isfinite(crack.width_mean_mm)
        for name in ('length_mm', 'length_sigma_mm', 'width_sigma_mm', 'width_floor_mm',
                     'area_mm2', 'mm_per_px'):
            assert math.isfinite(getattr(crack, name)) and getattr(crack, name) > 0.0
        assert np.isfinite(crack.places_m).all() and np.isfinite(crack.plan_m).all()
        assert len(crack.places_m) == len(crack.plan_m) == len(crack.centre_line) \
            == len(crack.widths_mm)


def test_a_crack_beyond_the_lining_has_no_millimetres():
    """Tilted by 69 degrees, the right of the picture never meets the wall."""
    rules = LiningRules(tilt_ahead=1.2, tilt_sigma=0.01)
    camera = replace(CAMERA, fx=150.0, fy=150.0)
    lining, _ = see_lining(camera, SIZE, rules, range_m=1.0)
    crack, = measure_cracks(Scene().segmentation(), lining)
    assert not crack.scale.known and crack.length_px > 100.0
    assert all(map(math.isnan, (crack.length_mm, crack.width_mean_mm, crack.area_mm2)))
    assert crack.places_m is None and crack.widths_mm is None


def test_a_crack_that_may_lie_beyond_the_lining_has_no_millimetres():
    """By the tilt given it does not, by one sigma more it does: its sigma was no number."""
    rules = LiningRules(tilt_ahead=0.75)
    camera = replace(CAMERA, fx=210.0, fy=210.0)
    lining, _ = see_lining(camera, SIZE, rules, range_m=1.0)
    crack, = measure_cracks(Scene().segmentation(), lining)
    assert math.isfinite(crack.length_mm)
    lining, _ = see_lining(camera, SIZE, replace(rules, tilt_sigma=0.5), range_m=1.0)
    crack, = measure_cracks(Scene().segmentation(), lining)
    assert math.isnan(crack.length_mm) and not crack.scale.known and crack.length_px > 100.0


def test_a_lens_that_shows_no_ray_in_the_corners_is_named_and_measured_where_it_does():
    camera = replace(CAMERA, fx=250.0, fy=250.0, distortion=(-0.5, 0.0, 0.0, 0.0))
    lining, note = see_lining(camera, SIZE, LiningRules(), range_m=1.0)
    assert lining is not None and 'no ray comes to the corners' in note
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[130:134, 130:230] = 255        # in the middle
    mask[4:8, 4:60] = 255               # in a corner
    cracks = measure_cracks(Segmentation((mask / 255).astype(np.float32), mask, 0.5), lining)
    known = {crack.centre_line[0, 1] > 100: math.isfinite(crack.length_mm) for crack in cracks}
    assert known == {True: True, False: False}
    deep = DepthImage(np.full(SIZE[::-1], 1.5, np.float32))
    lining, _ = see_lining(camera, SIZE, LiningRules(), depth=deep)
    assert lining is not None and lining.scale.mm_per_px == pytest.approx(6.0, rel=0.01)


def case(kind: str, rng) -> tuple[float, float]:
    """Return errors of length and mean width over their sigmas, of one random crack.

    What the method is told is off by its sigma: distance, focal length, tilts.
    """
    truth = Scene(
        roll=rng.uniform(-3, 3), ahead=rng.uniform(-0.5, 0.5), around=rng.uniform(-0.5, 0.5),
        travel=rng.uniform(-3, 3), distance=rng.uniform(0.9, 1.4), length=rng.uniform(0.2, 0.4),
        width=rng.uniform(0.004, 0.02), direction=rng.uniform(0, math.pi),
        radius=rng.uniform(1.5, 3.0) if kind == 'cylinder' else 0.0)
    segmentation = truth.segmentation(rng, rng.uniform(0.3, 0.8), rng.uniform(0.0, 0.05))
    sigmas = {'distance_sigma_m': 0.008, 'focal_sigma': 0.004}
    camera = replace(CAMERA, fx=FOCAL * (1 + rng.normal(0, 0.004)))
    camera = replace(camera, fy=camera.fx)
    if kind == 'depth':
        metres = truth.depth() + rng.normal(0, 0.008) + rng.normal(0, 0.01, (68, 90))
        metres[rng.random(metres.shape) < 0.15] = 0.0
        rules = LiningRules(travel=truth.travel, **sigmas)
        more = {'depth': DepthImage(metres.astype(np.float32))}
    else:
        rules = replace(truth, ahead=truth.ahead + rng.normal(0, 0.02),
                        around=truth.around + rng.normal(0, 0.02)).rules(tilt_sigma=0.02, **sigmas)
        more = {'range_m': truth.distance + rng.normal(0, 0.008)}
    lining, _ = see_lining(camera, SIZE, rules, **more)
    crack = measure_cracks(segmentation, lining)[0]
    return ((crack.length_mm - 1e3 * truth.length) / crack.length_sigma_mm,
            (crack.width_mean_mm - 1e3 * truth.width) / crack.width_sigma_mm)


@pytest.mark.parametrize('kind', ['plane', 'cylinder', 'depth'])
def test_one_sigma_holds_the_truth_as_often_as_it_says(kind):
    """Of 160 cracks' lengths and widths 68 % are due; the bounds are those promised."""
    errors = np.array([case(kind, np.random.default_rng([11, number])) for number in range(160)])
    inside = np.abs(errors) <= 1.0
    assert 0.60 <= inside.mean() <= 0.76
