# SPDX-License-Identifier: Apache-2.0
"""Which observations are one crack on the lining, on drawn lines and on simulated drives."""

from dataclasses import replace
import math

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.simulation import render_frames, SimulationSettings
from tunnel_crack_ros.simulation.lining import tunnel_radius_m
from tunnel_crack_ros.simulation.settings import CameraMount
from tunnel_crack_ros.vision import (
    Crack,
    CrackKind,
    line_alignment,
    lining_cracks,
    Scale,
    ScaleSource,
    Segmentation,
)
from tunnel_crack_ros.vision.frame_measures import Calibration, CameraSensors, measure_frame
from tunnel_crack_ros.vision.geometry.crack import Branch
from tunnel_crack_ros.vision.lining_cracks import find_lining_cracks
from tunnel_crack_ros.vision.odometry_history import OdometryHistory, VehiclePose
from tunnel_crack_ros.vision.place import clock_hours, Place
from tunnel_crack_ros.vision.segmenter_settings import SegmenterSettings

RADIUS = 3.0
SURE, UNSURE = 0.004, 0.04      # sigmas, m


def crack(*lines, sigma=SURE, width=1.0, number=0, length=None):
    """Make a crack as a frame shows it, from lines on the unrolled lining, K x 2, m."""
    lines = [np.asarray(line, float).reshape(-1, 2) for line in lines]
    if length is None:
        length = sum(float(np.hypot(*np.diff(line, axis=0).T).sum()) for line in lines) * 1000.0
    first, nothing = lines[0], np.zeros((0, 2), np.float32)
    place = Place(
        *(float(value) for value in (first[:, 0].mean(), first[:, 0].min(), first[:, 0].max())),
        sigma, clock_hours(float(first[:, 1].mean()) / RADIUS), sigma / RADIUS * 6.0 / math.pi,
        first)
    return Crack(
        number, 0.9, (0, 0, 1, 1), nothing, nothing[:, 0], length, width, width, width, length,
        0.0, 1.0, CrackKind.OBLIQUE, True, scale=Scale(1.0, 0.0, ScaleSource.PARAMETER),
        length_mm=length, length_sigma_mm=1.0, width_max_mm=width, width_sigma_mm=0.1,
        place=place, branches=tuple(Branch(nothing, nothing[:, 0], line_m=line)
                                    for line in lines[1:]))


def jagged(seed, begin, end, aside=0.0, amplitude=0.004, step=0.004):
    """Return the stretch from begin to end, m, of a jagged line along the tunnel."""
    x = np.arange(0.0, 4.0, step)
    wander = np.cumsum(np.random.default_rng(seed).normal(0.0, 1.0, x.size))
    y = aside + amplitude * np.sin(wander / 4.0)
    inside = (x >= begin) & (x <= end)
    return np.column_stack([20.0 + x, y])[inside]


def found(*frames, cameras=None, radius=RADIUS):
    return find_lining_cracks(frames, cameras or ['left'] * len(frames), radius)


def ids(*frames):
    """Return the ids of all observations, frame by frame, numbered as they are met here."""
    own, met = found(*frames).of_observations(), {None: None}
    return [[met.setdefault(own.get((i, j)), len(met)) for j in range(len(cracks))]
            for i, cracks in enumerate(frames)]


def test_a_crack_through_five_frames_is_one_as_long_as_all_of_it():
    frames = [[crack(jagged(1, 0.4 * i, 0.4 * i + 0.5))] for i in range(5)]
    one, = found(*frames).cracks
    whole = crack(jagged(1, 0.0, 2.1)).length_mm
    assert one.length_mm == pytest.approx(whole, rel=0.01)
    assert sum(seen.length_mm for frame, in frames for seen in [frame]) > 1.15 * whole
    assert [frame for frame, _ in one.seen] == [0, 1, 2, 3, 4]
    assert (one.chainage_from_m, one.chainage_to_m) == pytest.approx((20.0, 22.1), abs=0.005)
    assert one.clock_from_h > 11.9 and one.clock_to_h < 0.1     # across the crown


@pytest.mark.parametrize(('overlap', 'one'), [(0.007, True), (-0.02, False)])
def test_a_crack_goes_on_where_one_frame_ends_and_the_other_begins(overlap, one):
    frames = [[crack(jagged(1, 0.0, 0.4))], [crack(jagged(1, 0.4 - overlap, 0.8))]]
    assert ids(*frames) == [[1], [1 if one else 2]]
    total = sum(each.length_mm for each in found(*frames).cracks)
    assert total == pytest.approx(crack(jagged(1, 0.0, 0.8)).length_mm, abs=25)


def test_a_crack_that_ends_at_the_side_of_another_is_no_part_of_it():
    other = jagged(2, 0.0, 0.3)
    slanting = np.column_stack([other[:, 0] + 0.2, 0.004 + 0.4 * (other[:, 0] - 20.0)])
    (first,), (second,) = ids([crack(jagged(1, 0.0, 0.6))], [crack(slanting)])
    assert first != second


def test_a_crack_in_one_frame_stays_as_it_is():
    seen = crack(jagged(1, 0.0, 0.5), width=2.0)
    one, = found([seen]).cracks
    assert (one.length_mm, one.length_sigma_mm) == pytest.approx((seen.length_mm, 1.0))
    assert (one.id, one.best, one.widest) == (1, (0, 0), (0, 0))


def test_the_frame_to_look_at_shows_the_most_and_the_widest_has_its_own():
    one, = found([crack(jagged(1, 0.0, 0.3), width=3.0)], [crack(jagged(1, 0.1, 0.9))]).cracks
    assert one.best == (1, 0) and one.widest == (0, 0)


@pytest.mark.parametrize('shift', [(0.03, 0.05), (-0.05, 0.02), (0.0, -0.06)])
def test_a_frame_may_be_off_by_the_uncertainty_of_its_place(shift):
    """Two cracks beside each other, nearer than that: both frames show both."""
    def frame(begin, off=(0.0, 0.0)):
        return [crack(jagged(seed, begin, begin + 0.5, aside) + off, sigma=UNSURE)
                for seed, aside in ((1, 0.0), (2, 0.04))]
    assert ids(frame(0.0), frame(0.2, shift)) == [[1, 2], [1, 2]]


def test_how_far_a_frame_may_be_off_has_a_floor_and_a_ceiling():
    def same(off, sigma):
        (one,), (two,) = ids([crack(jagged(1, 0.0, 0.5), sigma=sigma)],
                             [crack(jagged(1, 0.0, 0.5) + (0.0, off), sigma=sigma)])
        return one == two
    assert same(0.015, 0.0) and not same(0.05, 0.0)     # places that are sure are other places
    assert same(0.05, 0.02)
    assert same(0.09, 5.0) and not same(0.15, 5.0)
    assert same(0.09, math.nan) and not same(0.15, math.nan)    # odometry without a covariance


@pytest.mark.parametrize('apart', [0.005, 0.01, 0.03])
def test_two_cracks_beside_each_other_stay_two_in_all_frames(apart):
    straight = np.column_stack([np.linspace(20.0, 20.5, 100), np.zeros(100)])
    frames = [[crack(straight + (0.3 * i, 0.0), sigma=UNSURE),
               crack(straight + (0.3 * i, apart), sigma=UNSURE)] for i in range(4)]
    assert ids(*frames) == [[1, 2]] * 4
    assert sum(one.length_mm for one in found(*frames).cracks) == pytest.approx(2800, rel=0.02)


@pytest.mark.parametrize('frames', [2, 3])
def test_of_two_cracks_beside_each_other_the_nearer_is_the_one_seen_before(frames):
    shown = [crack(jagged(1, 0.3, 0.9), sigma=UNSURE),
             crack(jagged(1, 0.3, 0.9) + (0.0, 0.005), sigma=UNSURE)]
    before = [crack(jagged(1, 0.0, 0.7), sigma=UNSURE)]
    assert ids(before, *[shown] * (frames - 1)) == [[1], *[[1, 2]] * (frames - 1)]


def test_noise_on_a_line_is_no_new_crack():
    clean = jagged(1, 0.0, 0.5)
    noisy = clean.copy()
    noisy[[30, 60, 90], 1] += 0.008
    one, = found([crack(clean)], [crack(noisy)]).cracks
    assert one.length_mm == pytest.approx(crack(clean).length_mm, abs=1.0)


@pytest.mark.parametrize('turn', [-0.02, 0.02])
def test_a_frame_may_be_turned_a_little(turn):
    line = jagged(1, 0.0, 1.2)
    arms = line - line.mean(axis=0)
    turned = line + turn * np.column_stack([-arms[:, 1], arms[:, 0]])
    one, = found([crack(line)], [crack(turned)]).cracks
    assert one.length_mm == pytest.approx(crack(line).length_mm, rel=0.005)


def test_pieces_of_one_frame_that_another_shows_joined_are_one():
    pieces = [crack(jagged(1, 0.0, 0.2)), crack(jagged(1, 0.25, 0.5))]
    assert ids(pieces) == [[1, 2]]
    assert ids(pieces, [crack(jagged(1, 0.1, 0.4))]) == [[1, 1], [1]]
    one, = found(pieces, [crack(jagged(1, 0.1, 0.4))]).cracks
    assert one.length_mm == pytest.approx(crack(jagged(1, 0.0, 0.5)).length_mm, rel=0.02)


def test_prongs_that_another_frame_shows_as_a_fork_are_one():
    stem, prong = jagged(1, 0.0, 0.6), jagged(1, 0.3, 0.6, 0.0)
    prong = prong + np.column_stack([np.zeros(len(prong)), 0.3 * (prong[:, 0] - 20.3)])
    part = slice(len(prong) // 2, None)
    prongs = [crack(jagged(1, 0.45, 0.6)), crack(prong[part])]
    assert ids(prongs) == [[1, 2]]
    assert ids(prongs, [crack(stem, prong)]) == [[1, 1], [1]]


def test_cracks_that_cross_are_no_parts_of_each_other():
    across = jagged(2, 0.0, 0.4)[:, ::-1] + (20.2, -20.2)
    (one,), (two,) = ids([crack(jagged(1, 0.0, 0.4), sigma=1.0)], [crack(across, sigma=1.0)])
    assert one != two


def test_the_order_of_the_frames_does_not_matter():
    rng = np.random.default_rng(3)
    offs = rng.normal(0.0, 0.01, (8, 2))
    frames = [[crack(jagged(seed, 0.2 * i, 0.2 * i + 0.5, 0.08 * seed) + off, sigma=UNSURE)
               for seed in range(3)] for i, off in enumerate(offs)]
    cameras = [('left', 'right')[i % 2] for i in range(8)]
    straight = find_lining_cracks(frames, cameras, RADIUS)
    for _ in range(4):
        order = rng.permutation(8)
        mixed = find_lining_cracks([frames[i] for i in order], [cameras[i] for i in order],
                                   RADIUS)
        assert [replace(one, seen=(), best=(0, 0), widest=(0, 0)) for one in mixed.cracks] == \
            [replace(one, seen=(), best=(0, 0), widest=(0, 0)) for one in straight.cracks]
        assert {(order[i], j): number for (i, j), number in mixed.of_observations().items()} == \
            straight.of_observations()
    assert len(straight.cracks) == 3


def test_a_crack_across_the_cut_at_the_invert_is_one():
    turn = 2.0 * math.pi * RADIUS
    across = jagged(1, 0.0, 0.6)[:, ::-1] + (20.0, turn / 2.0 - 20.3)
    first, second = across[:100], across[60:] - (0.0, turn)
    one, = found([crack(first)], [crack(second)]).cracks
    assert one.length_mm == pytest.approx(crack(across).length_mm, rel=0.01)
    assert one.clock_from_h < 6.0 < one.clock_to_h < 7.0


def test_a_ring_of_a_crack_is_all_around():
    angles = np.linspace(-3.2, 3.2, 2000)
    one, = found([crack(np.column_stack([np.full(2000, 20.0), RADIUS * angles]))]).cracks
    assert (one.clock_from_h, one.clock_to_h) == (0.0, 12.0)


def unplaced(seen, **missing):
    return replace(seen, place=replace(seen.place, line_m=None, **missing))


def test_without_a_place_nothing_is_merged_and_it_says_why():
    seen = crack(jagged(1, 0.0, 0.5))
    nowhere = [[unplaced(seen, chainage_m=math.nan)], [unplaced(seen, chainage_m=math.nan)],
               [unplaced(seen, chainage_m=math.nan, clock_h=math.nan)],
               [replace(unplaced(seen), scale=Scale(), length_mm=math.nan)]]
    nothing = found(*nowhere)
    assert nothing.cracks == [] and nothing.of_observations() == {}
    assert nothing.unplaced == {'chainage': 2, 'chainage and no clock position': 1, 'scale': 1}
    assert ids([seen], *nowhere, [seen]) == [[1], [None], [None], [None], [None], [1]]
    assert found([seen], radius=0.0).cracks == []


def test_bad_input_does_no_harm():
    good = crack(jagged(1, 0.0, 0.5))
    torn = jagged(1, 0.0, 0.5)
    torn[7, 1] = np.nan
    far = jagged(1, 0.0, 0.5) + (1e300, 0.0)
    point = np.array([[20.25, 0.3]])
    back = crack(jagged(1, 0.0, 0.5) + (-15.0, 0.0))        # chainage that jumped back
    branch = replace(good, branches=(Branch(good.centre_line, good.widths_px, line_m=torn),))
    result = ids([good], [crack(torn, length=500.0)], [crack(far, length=500.0)],
                 [crack(point, length=0.0)], [crack(point, length=4.0)], [back],
                 [crack(np.tile(point, (5, 1)) + 1.0, length=3.0)], [], [branch])
    assert result == [[1], [None], [None], [2], [2], [3], [4], [], [1]]
    assert found().cracks == []
    hopeless = found([replace(good, length_sigma_mm=math.nan, width_max_mm=math.nan)]).cracks
    assert math.isnan(hopeless[0].length_sigma_mm) and hopeless[0].widest == (0, 0)


@pytest.mark.parametrize('step', [0.25, 0.0])
def test_the_work_grows_with_the_drive_not_with_its_square(step, monkeypatch):
    """A drive, and a vehicle that stands: how many samples and pairs are looked at."""
    plain, around, work = line_alignment.neighbours, lining_cracks._Around.of, []

    def counted(points, others, reach):
        own, other = plain(points, others, reach)
        work.append(len(points) + len(others) + len(own))
        return own, other

    def looked_around(near, *more):
        work.append(10 * len(near))
        return around(near, *more)
    monkeypatch.setattr(lining_cracks._Around, 'of', looked_around)
    monkeypatch.setattr(line_alignment, 'neighbours', counted)
    monkeypatch.setattr(lining_cracks, 'neighbours', counted)
    rng = np.random.default_rng(1)
    base = jagged(1, 0.0, 0.5)
    frames = [[crack(base + (step * i, 0.0) + rng.normal(0, 0.003, 2))] for i in range(200)]

    def looked_at(count):
        work.clear()
        found(*frames[:count])
        return sum(work)
    assert looked_at(200) < 2.3 * looked_at(100)


def drive(overlap, cameras, seed, frames):
    """Measure the true masks of a simulated drive, as the inspection would.

    :param overlap: of one frame with the next, as a share of it.
    :return: cracks of each frame, the frames, and the tunnel's radius, m.
    """
    simulation = SimulationSettings(
        seed=seed, frames=frames, cameras=cameras, crack_density=2.0, unusable_rate=0.0,
        fittings=False, stains=False, speed=0.4, fps=0.4 / (0.512 * (1.0 - overlap)))
    radius = tunnel_radius_m(simulation)
    names = [camera.name for camera in cameras]
    settings = SegmenterSettings(
        tunnel_radius_m=radius, camera_roll=[-math.radians(c.angle_deg) for c in cameras],
        bridge_gap_px=0.0)      # what does not touch counts as two here
    odometry, focal = OdometryHistory(), simulation.focal_px
    for seconds in np.arange(0.0, simulation.length / simulation.speed + 1.0, 0.2).tolist():
        odometry.add(VehiclePose.of(
            simulation.start_time * 10**9 + round(seconds * 1e9),
            (simulation.start_chainage + simulation.speed * seconds, 0.0, 0.0), (0, 0, 0, 1.0),
            simulation.speed, np.diag([1e-4] * 6).ravel()))
    seen = []
    for frame in render_frames(simulation):
        sensors = CameraSensors(Calibration(
            k=(focal, 0, 255.5, 0, focal, 187.0, 0, 0, 1), width=512, height=375))
        sensors.ranges.add(frame.stamp_ns, frame.view.mm_per_px * focal / 1000.0, 0.002)
        soft = cv2.GaussianBlur((frame.mask / 255).astype(np.float32), (0, 0), 0.6)
        found_here = measure_frame(Segmentation(soft, frame.mask, 0.3),
                                   sensors.at(frame.stamp_ns, '', odometry),
                                   settings.of_camera(frame.camera, names))
        seen.append((frame, found_here.cracks))
    return seen, radius


def truth(seen):
    """Return how many cracks the frames show, where what touches is one, and their length, mm."""
    points = np.unique(np.round(np.concatenate([
        line.points_mm for frame, _ in seen for true in frame.cracks for line in true.lines]), 3),
        axis=0)
    pixels = np.round(points - points.min(axis=0)).astype(int) + 5
    canvas = np.zeros(pixels.max(axis=0) + 6, np.uint8)
    canvas[pixels[:, 0], pixels[:, 1]] = 255
    return cv2.connectedComponents(cv2.dilate(canvas, np.ones((3, 3))))[0] - 1, \
        0.5 * len(points)   # vertices are 0.5 mm apart


@pytest.mark.parametrize(('overlap', 'cameras', 'seed', 'frames', 'counted'), [
    (0.2, (CameraMount('left', 55.0),), 2, 12, 1.05),
    (0.7, (CameraMount('left', 55.0),), 2, 16, 2.5),
    (0.2, (CameraMount('upper', 40.0), CameraMount('lower', 44.0)), 2, 8, 1.1)],
    ids=['a fifth', 'two thirds', 'two cameras'])
def test_the_cracks_of_a_simulated_drive_are_counted_once(overlap, cameras, seed, frames,
                                                          counted):
    """The vehicle sways: frames are up to 25 mm off each other."""
    seen, radius = drive(overlap, cameras, seed, frames)
    lining = find_lining_cracks([cracks for _, cracks in seen],
                                [frame.camera for frame, _ in seen], radius)
    number, length = truth(seen)
    each = sum(one.length_mm for _, cracks in seen for one in cracks)
    each_true = sum(true.length_mm for frame, _ in seen for true in frame.cracks)
    assert each > counted * length      # as the frames list them
    assert len(lining.cracks) == number >= 4
    # what a frame's own lengths miss of its crooked cracks, a few %, is not the merging's
    assert sum(one.length_mm for one in lining.cracks) / length == pytest.approx(
        each / each_true, rel=0.025)
    assert lining.unplaced == {}
