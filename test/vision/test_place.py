# SPDX-License-Identifier: Apache-2.0
"""Chainage and clock position of cracks, against simulated tunnels whose places are known."""

from dataclasses import replace
import math

import numpy as np
import pytest

from tunnel_crack_ros.simulation import render_frames, SimulationSettings, spread_cameras
from tunnel_crack_ros.simulation.lining import tunnel_radius_m
from tunnel_crack_ros.vision import Segmentation
from tunnel_crack_ros.vision.frame_measures import Calibration, CameraSensors, measure_frame
from tunnel_crack_ros.vision.odometry_history import Chainage, OdometryHistory, VehiclePose
from tunnel_crack_ros.vision.overlay import label_text
from tunnel_crack_ros.vision.place import clock_hours, clock_text, Mount
from tunnel_crack_ros.vision.segmenter_settings import SegmenterSettings

CAMERAS = ('left', 'right')


@pytest.mark.parametrize(('angle', 'hours', 'text'), [
    (0.0, 0.0, '12:00'), (math.pi / 2, 3.0, '3:00'), (math.pi, 6.0, '6:00'),
    (-math.pi / 2, 9.0, '9:00'), (-1e-18, 0.0, '12:00'), (2.5 * math.pi, 3.0, '3:00'),
    (-math.radians(55), 12 - 55 / 30, '10:10'), (math.radians(359.9), 359.9 / 30, '12:00')])
def test_angles_are_hours_on_a_clock(angle, hours, text):
    assert clock_hours(angle) == pytest.approx(hours, abs=1e-9)
    assert 0.0 <= clock_hours(angle) < 12.0
    assert clock_text(clock_hours(angle)) == text


def test_the_sigma_of_a_place_holds_that_of_vehicle_mount_and_lining():
    plan = np.array([[0.1, 0.2], [0.3, 0.4]])
    place = Mount(0.5, 0.03, 1.0, 2.0).place(plan, (0.03, 0.02), Chainage(50.0, 0.04))
    assert place.chainage_m == pytest.approx(50.2)
    assert (place.chainage_from_m, place.chainage_to_m) == pytest.approx((50.1, 50.3))
    assert place.chainage_sigma_m == pytest.approx(0.05)
    assert place.clock_h == pytest.approx((0.5 + 0.15) * 6 / math.pi)
    assert place.clock_sigma_h == pytest.approx(math.hypot(0.03, 0.01) * 6 / math.pi)
    assert np.allclose(place.line_m, [[50.1, 1.2], [50.3, 1.4]])


def test_what_is_not_known_is_no_number():
    plan = np.zeros((3, 2))
    flat = Mount().place(plan, (0.1, 0.1), Chainage(5.0, 0.1))
    assert flat.chainage_m == 5.0 and math.isnan(flat.clock_h) and flat.line_m is None
    nowhere = Mount(radius_m=3.0).place(plan, (0.1, 0.1), Chainage())
    assert math.isnan(nowhere.chainage_m) and nowhere.clock_h == 0.0 and nowhere.line_m is None
    assert math.isnan(Mount(radius_m=3.0).place(None, (0.1, 0.1), Chainage(5.0)).clock_h)


def test_a_plan_is_cut_at_the_invert():
    mount = Mount(roll=-3.0, radius_m=2.0)
    line = mount.place(np.array([[0.0, -0.5], [0.0, -0.3]]), (0, 0), Chainage(1.0)).line_m
    assert np.allclose(line[:, 1], [-6.5 + 4 * math.pi, -6.3 + 4 * math.pi])


@pytest.mark.parametrize(('seconds', 'lining', 'note'), [
    (5.1, {}, ''),
    (5.8, {}, "no odometry within 0.5 s of the frame's stamp: no chainage"),
    (6.8, {}, "no valid range within 1 s before the frame's stamp: no scale; "
              "no odometry within 0.5 s of the frame's stamp: no chainage"),
    (6.8, {'mm_per_px': 1.0}, "no odometry within 0.5 s of the frame's stamp: no chainage")])
def test_range_and_odometry_that_stopped_are_noted_where_they_are_missed(seconds, lining, note):
    odometry = OdometryHistory()
    sensors = CameraSensors(Calibration(k=(99, 0, 31.5, 0, 99, 31.5, 0, 0, 1)))
    segmentation = Segmentation(np.zeros((64, 64), np.float32), np.zeros((64, 64), np.uint8), 0.5)
    settings = SegmenterSettings(**lining).of_camera('', ())
    stamp_ns = round(seconds * 1e9)
    assert measure_frame(segmentation, sensors.at(stamp_ns, '', odometry), settings).note == ''
    sensors.ranges.add(5 * 10**9, 2.0)
    odometry.add(VehiclePose.of(5 * 10**9, (7, 0, 0), (0, 0, 0, 1), 1.0, np.zeros(36)))
    found = measure_frame(segmentation, sensors.at(stamp_ns, '', odometry), settings)
    assert found.note == note


@pytest.fixture(scope='module')
def drive():
    """Return a simulated drive and the tunnel it goes through."""
    settings = SimulationSettings(
        seed=4, frames=3, cameras=spread_cameras(CAMERAS), crack_density=5.0, unusable_rate=0.0,
        speed=2.0)
    return settings, tunnel_radius_m(settings)


def test_cracks_of_a_simulated_tunnel_are_placed_where_they_are(drive):
    """The cameras right of the crown look the other way up; the vehicle sways by 12 mm."""
    simulation, radius = drive
    settings = SegmenterSettings(
        tunnel_radius_m=radius, axis_angle=[0.0, math.pi],
        camera_roll=[-math.radians(camera.angle_deg) for camera in simulation.cameras])
    odometry, checked, cameras = OdometryHistory(), 0, set()
    for index in range(8):
        seconds = index * 0.2
        odometry.add(VehiclePose.of(
            simulation.start_time * 10**9 + round(seconds * 1e9),
            (simulation.start_chainage + simulation.speed * seconds, 0.0, 0.0), (0, 0, 0, 1.0),
            simulation.speed, np.diag([1e-4] * 6).ravel()))
    for frame in render_frames(simulation):
        focal = simulation.focal_px
        sensors = CameraSensors(Calibration(
            k=(focal, 0, 255.5, 0, focal, 187.0, 0, 0, 1), width=512, height=375))
        sensors.ranges.add(frame.stamp_ns, frame.view.mm_per_px * focal / 1000.0, 0.002)
        segmentation = Segmentation((frame.mask / 255).astype(np.float32), frame.mask, 0.5)
        found = measure_frame(segmentation, sensors.at(frame.stamp_ns, '', odometry),
                              settings.of_camera(frame.camera, CAMERAS))
        assert found.note == ''
        assert found.chainage.metres == pytest.approx(frame.view.x / 1000.0, abs=1e-6)
        for crack in found.cracks:
            true = frame.view.to_lining(crack.centre_line.astype(float)) / 1000.0
            place = crack.place
            # the simulator unrolls the lining; at 0.25 m beside the axis that is 1 mm off
            assert place.chainage_m == pytest.approx(true[:, 0].mean(), abs=0.02)
            assert place.chainage_from_m == pytest.approx(true[:, 0].min(), abs=0.02)
            assert place.chainage_to_m == pytest.approx(true[:, 0].max(), abs=0.02)
            # arcs count to the left, clocks to the right
            assert np.allclose(place.line_m[:, 1], -true[:, 1], atol=0.04)
            hours = place.clock_h - 12.0 * (place.clock_h > 6.0)
            assert hours == pytest.approx(-true[:, 1].mean() / radius * 6 / math.pi, abs=0.03)
            assert 0.0 < place.chainage_sigma_m < 0.05 and 0.0 < place.clock_sigma_h < 0.1
            checked += 1
            cameras.add(frame.camera)
    assert checked >= 6 and len(cameras) == 2


def test_one_sigma_of_a_place_holds_the_truth_as_often_as_it_says(drive):
    """Mount, tilts, distance and odometry are each off by their sigma."""
    simulation, radius = drive
    rng = np.random.default_rng(8)
    mask = np.zeros((375, 512), np.uint8)
    mask[100:104, 300:420] = 255
    segmentation = Segmentation((mask / 255).astype(np.float32), mask, 0.5)
    base = SegmenterSettings(tunnel_radius_m=radius, camera_roll=[-0.7], stamp_sigma_s=0.0,
                             lining_distance_m=1.2, tilt_ahead=[0.1], tilt_around=[-0.2],
                             camera_roll_sigma=0.02, tilt_sigma=0.02, distance_sigma_m=0.02)
    focal = simulation.focal_px

    def placed(settings, x):
        odometry = OdometryHistory()
        odometry.add(VehiclePose.of(
            10**9, (x, 0, 0), (0, 0, 0, 1), 0.0, np.diag([1e-4] * 6).ravel()))
        sensors = CameraSensors(Calibration(
            k=(focal, 0, 255.5, 0, focal, 187.0, 0, 0, 1), width=512, height=375))
        found = measure_frame(segmentation, sensors.at(10**9, '', odometry),
                              settings.of_camera('', ()))
        return found.cracks[0].place
    truth, hits = placed(base, 30.0), []
    for _ in range(250):
        off = replace(base, camera_roll=[-0.7 + rng.normal(0, 0.02)],
                      tilt_ahead=[0.1 + rng.normal(0, 0.02)],
                      tilt_around=[-0.2 + rng.normal(0, 0.02)],
                      lining_distance_m=1.2 + rng.normal(0, 0.02))
        place = placed(off, 30.0 + rng.normal(0, 0.01))
        hits.append((abs(place.chainage_m - truth.chainage_m) <= place.chainage_sigma_m,
                     abs(place.clock_h - truth.clock_h) <= place.clock_sigma_h))
    assert (np.mean(hits, axis=0) >= 0.60).all() and (np.mean(hits, axis=0) <= 0.76).all()
    crack = replace(measure_frame(
        segmentation, CameraSensors().at(1, '', OdometryHistory()),
        replace(base, mm_per_px=1.0).of_camera('', ())).cracks[0], place=truth)
    assert label_text(crack).split('\n')[1] == \
        f"{truth.chainage_m:.2f} m, {clock_text(truth.clock_h)} o'clock"


def test_values_for_each_camera_follow_the_order_of_the_cameras():
    settings = SegmenterSettings(camera_roll=[-1.0, 1.0], tunnel_radius_m=3.0)
    assert settings.contradiction(['left', 'right']) == ''
    assert settings.of_camera('right', ['left', 'right']).mount.roll == 1.0
    assert "'camera_roll' has 2 values, expected 1 or one for each of the 3 cameras" in \
        settings.contradiction(['a', 'b', 'c'])
    with pytest.raises(LookupError, match=r"'up' is not among the parameter 'cameras' \(left\)"):
        settings.of_camera('up', ['left'])
