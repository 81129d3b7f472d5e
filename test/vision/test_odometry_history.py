# SPDX-License-Identifier: Apache-2.0
"""Chainage from odometry, at the time of a frame."""

import math
import threading
import time

import numpy as np
import pytest

from tunnel_crack_ros.vision.odometry_history import (
    AXIS,
    ChainageRules,
    DISTANCE,
    OdometryHistory,
    VehiclePose,
)

SECOND = 1_000_000_000


def pose(seconds, x, y=0.0, *, speed=1.0, yaw=0.0, sigma=0.02, cov=None):
    return VehiclePose.of(
        round(seconds * SECOND), (x, y, 0.0), (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)),
        speed, np.diag([sigma ** 2, (3 * sigma) ** 2, 9, 9, 9, 9]).ravel() if cov is None else cov)


def history(*poses):
    made = OdometryHistory()
    for one in poses:
        made.add(one)
    return made


def test_a_frame_between_two_poses_is_between_their_places():
    made = history(pose(10.0, 100.0), pose(10.2, 100.2), pose(10.1, 100.05))    # one came late
    found = made.at(round(10.05 * SECOND), ChainageRules())
    assert found.metres == pytest.approx(100.025)
    assert found.sigma_m == pytest.approx(0.02)
    assert made.at(round(10.15 * SECOND), ChainageRules()).metres == pytest.approx(100.125)
    assert made.at(10 * SECOND, ChainageRules()).metres == pytest.approx(100.0)


def test_after_the_last_pose_its_speed_carries_on_for_half_a_second():
    made = history(pose(10.0, 100.0, speed=2.0))
    found = made.at(round(10.1 * SECOND), ChainageRules())
    assert found.metres == pytest.approx(100.2)
    assert found.sigma_m == pytest.approx(math.hypot(0.02, 0.1))    # half of what was driven
    assert math.isnan(made.at(round(10.51 * SECOND), ChainageRules()).metres)


def test_before_the_first_pose_and_in_gaps_nothing_is_known():
    made = history(pose(10.0, 100.0), pose(12.0, 102.0))
    for seconds in (9.99, 11.0, 11.6, 0.0):
        assert math.isnan(made.at(round(seconds * SECOND), ChainageRules()).metres)
    # near the first, though the second is far away: by its speed
    assert made.at(round(10.4 * SECOND), ChainageRules()).metres == pytest.approx(100.4)
    assert math.isnan(OdometryHistory().at(10 * SECOND, ChainageRules()).metres)


def test_the_axis_may_run_anywhere_in_odometrys_frame():
    heading = 2.3
    poses = [pose(t, 5.0 * t * math.cos(heading) + math.sin(heading),
                  5.0 * t * math.sin(heading) - math.cos(heading), speed=5.0, yaw=heading)
             for t in (1.0, 1.1)]
    rules = ChainageRules(AXIS, heading, start_m=1000.0)
    assert history(*poses).at(round(1.05 * SECOND), rules).metres == pytest.approx(1005.25)
    assert history(*poses).at(round(1.2 * SECOND), rules).metres == pytest.approx(1006.0)
    # the spread along the tunnel, of an ellipse that lies along x
    across = math.hypot(0.02 * math.cos(heading), 0.06 * math.sin(heading))
    assert history(*poses).at(round(1.0 * SECOND), rules).sigma_m == pytest.approx(across)


def test_distance_counts_the_way_round_a_bend_and_back():
    angles = np.linspace(0.0, math.pi / 2, 31)
    poses = [pose(1.0 + 0.1 * i, 10 * math.sin(a), 10 - 10 * math.cos(a), yaw=a)
             for i, a in enumerate(angles)]
    rules = ChainageRules(DISTANCE, start_m=50.0)
    assert history(*poses).at(4 * SECOND, rules).metres == pytest.approx(
        50.0 + 10.0 * math.pi / 2, rel=1e-3)
    back = history(pose(1.0, 0.0), pose(1.1, 1.0), pose(1.2, 0.4, speed=-6.0))
    assert back.at(round(1.2 * SECOND), rules).metres == pytest.approx(50.4)


@pytest.mark.parametrize('speed', [0.0, 1.0, -1.0])
def test_noise_of_positions_is_no_way(speed):
    """60 s at 200 Hz, 2 mm of noise: the sizes of the steps added up to 75 m for 60."""
    rng = np.random.default_rng(1)
    made = OdometryHistory()
    for i in range(12_001):
        x, y, z = np.array([speed * i / 200, 0.0, 0.0]) + rng.normal(0.0, 0.002, 3)
        made.add(VehiclePose.of(SECOND + i * SECOND // 200, (x, y, z), (0, 0, 0, 1), speed,
                                np.zeros(36)))
    way = made.at(61 * SECOND, ChainageRules(DISTANCE)).metres
    assert way == pytest.approx(60.0 * speed, abs=0.01)     # two positions are noisy


def test_distance_counts_along_a_slope():
    """30 degrees up (REP 103: a turn about y to the left is nose down), heading anywhere."""
    nose_up, yaw = -math.radians(30.0), 0.7
    cy, sy, cp, sp = (math.cos(yaw / 2), math.sin(yaw / 2), math.cos(nose_up / 2),
                      math.sin(nose_up / 2))
    turn = (-sy * sp, cy * sp, sy * cp, cy * cp)
    made = OdometryHistory()
    for i in range(11):
        level = i * math.cos(math.radians(30.0))
        place = (level * math.cos(yaw), level * math.sin(yaw), i * 0.5)
        made.add(VehiclePose.of(SECOND + i * SECOND // 10, place, turn, 10.0, np.zeros(36)))
    assert made.at(2 * SECOND, ChainageRules(DISTANCE)).metres == pytest.approx(10.0)


def test_an_orientation_that_nobody_filled_in_is_along_x():
    made = history(*(VehiclePose.of(t * SECOND // 10, (t / 10, 0, 0), (0, 0, 0, 0), 1.0,
                                    np.zeros(36)) for t in (10, 11)))
    assert made.at(11 * SECOND // 10, ChainageRules(DISTANCE)).metres == pytest.approx(0.1)


def test_clocks_that_differ_spread_what_was_driven():
    made = history(pose(1.0, 0.0, speed=3.0), pose(1.1, 0.3, speed=3.0))
    found = made.at(round(1.05 * SECOND), ChainageRules(stamp_sigma_s=0.05))
    assert found.sigma_m == pytest.approx(math.hypot(0.02, 0.15))


@pytest.mark.parametrize('cov', [np.zeros(36), np.full(36, np.nan), np.diag([-1.0] * 6).ravel()])
def test_a_covariance_that_is_not_known_gives_no_sigma(cov):
    found = history(pose(1.0, 7.0, cov=cov)).at(SECOND, ChainageRules())
    assert found.metres == 7.0 and math.isnan(found.sigma_m)


def test_poses_that_are_no_numbers_or_have_no_stamp_tell_nothing():
    made = history(pose(1.0, math.nan), pose(0.0, 3.0), pose(1.1, 4.0, speed=math.nan))
    assert math.isnan(made.at(SECOND, ChainageRules()).metres)
    assert made.at(round(1.2 * SECOND), ChainageRules()).metres == pytest.approx(4.0)


def test_poses_come_while_another_thread_asks():
    made, rules = history(pose(1.0, 0.0)), ChainageRules(DISTANCE)
    found = []

    def ask():
        while len(made._poses) < 4000:
            found.append(made.at(round(1.0 * SECOND), rules).metres)
    asking = threading.Thread(target=ask)
    asking.start()
    for i in range(1, 4100):
        made.add(pose(1.0 + 0.01 * i, 0.01 * i))
    asking.join()
    assert found and set(found) == {0.0}


def test_a_long_drive_keeps_its_distance_and_forgets_its_beginning():
    made = OdometryHistory()
    for i in range(50_000):
        made.add(pose(1.0 + 0.01 * i, 0.01 * i))
    assert made.at(round(500.99 * SECOND), ChainageRules(DISTANCE)).metres == pytest.approx(
        499.99, abs=1e-6)
    assert math.isnan(made.at(2 * SECOND, ChainageRules()).metres)
    assert len(made._poses) <= 20_000 and len(made._ways) == len(made._poses)


def test_a_bag_played_again_starts_its_way_again():
    made, rules = OdometryHistory(), ChainageRules(DISTANCE, start_m=50.0)
    for _ in range(2):
        for i in range(1000):
            made.add(pose(100.0 + 0.01 * i, 0.02 * i))
        assert made.at(round(109.99 * SECOND), rules).metres == pytest.approx(50.0 + 19.98)
    # a clock set back: what has the later stamps is of before
    made.add(pose(20.0, 7.0))
    made.add(pose(20.1, 7.5))
    assert made.at(round(20.1 * SECOND), rules).metres == pytest.approx(50.5)
    assert math.isnan(made.at(round(105.0 * SECOND), rules).metres)
    assert len(made._poses) == len(made._ways) == 2


@pytest.mark.parametrize('speed', [1.0, 19.0])
def test_a_clock_that_is_set_back_takes_no_way_away(speed):
    """The vehicle drives on, at 10 Hz, and at 1 Hz from then on."""
    seconds, back_s = [0.1 * i for i in range(1001)], 5.0
    made = history(*(pose(1000.0 + t, speed * t, speed=speed) for t in seconds),
                   *(pose(1000.0 - back_s + t, speed * t, speed=speed) for t in (101.0, 102.0)))
    found = made.at(round((1102.0 - back_s) * SECOND), ChainageRules(DISTANCE, start_m=7.0))
    assert found.metres == pytest.approx(7.0 + 102.0 * speed)
    assert found.sigma_m == pytest.approx(0.02)
    for t in (0.0, 0.1):    # another bag
        made.add(pose(20.0 + t, speed * t, speed=speed))
    assert made.at(round(20.1 * SECOND), ChainageRules(DISTANCE)).metres == pytest.approx(
        0.1 * speed)


def test_a_message_far_too_late_is_no_clock_set_back():
    made = history()
    for i in range(1001):
        made.add(pose(1000.0 + 0.1 * i, 0.1 * i))
        if i in (400, 401, 700):
            made.add(pose(1000.0 + 0.1 * i - 3.1, 0.1 * i - 3.1))
    assert made.at(1100 * SECOND, ChainageRules(DISTANCE)).metres == pytest.approx(100.0)
    assert made.at(1010 * SECOND, ChainageRules(DISTANCE)).metres == pytest.approx(10.0)


def test_two_messages_far_too_late_that_belong_to_no_one_time_are_not_either():
    made = history(*(pose(1000.0 + 0.1 * i, 0.1 * i) for i in range(1001)),
                   pose(900.0, 3.0), pose(800.0, 2.0), pose(1100.1, 100.1))
    assert made.at(round(1100.1 * SECOND), ChainageRules(DISTANCE)).metres == pytest.approx(100.1)


def test_a_drive_that_ends_where_it_began_starts_its_way_again_when_played_again():
    made, angles = OdometryHistory(), np.linspace(0.0, 2.0 * math.pi, 629)
    for _ in range(2):
        for i, a in enumerate(angles):
            made.add(pose(100.0 + 0.1 * i, 10 * math.sin(a), 10 - 10 * math.cos(a), yaw=a))
        assert made.at(round(162.8 * SECOND), ChainageRules(DISTANCE)).metres == pytest.approx(
            20.0 * math.pi, rel=1e-3)


def test_after_a_clock_was_set_back_each_pose_costs_as_little_as_before():
    """Sorted in before 19 000 others, each would take 90 ms to sum their ways anew."""
    made = history(*(pose(1000.0 + 0.01 * i, 0.01 * i) for i in range(19_000)))
    start = time.perf_counter()
    for i in range(100):
        made.add(pose(1.0 + 0.01 * i, 0.01 * i))
    assert time.perf_counter() - start < 1.0


def restarted(speed, gap=2.0):
    """100 m, then odometry begins anew at its origin, of what was driven meanwhile in it none."""
    return history(*(pose(1.0 + 0.1 * i, 0.1 * i, speed=speed) for i in range(1001)),
                   *(pose(101.0 + gap + 0.1 * i, 0.1 * i, speed=speed) for i in range(31)))


def test_odometry_that_begins_anew_at_its_origin_was_not_driven_back():
    """The vehicle's speed tells what was driven meanwhile, with a sigma of half of it."""
    found = restarted(speed=1.0).at(106 * SECOND, ChainageRules(DISTANCE))
    assert found.metres == pytest.approx(105.0)
    assert found.sigma_m == pytest.approx(math.hypot(0.02, 0.02, 1.0))  # before and after it


def test_without_a_speed_nothing_is_known_of_the_way_while_odometry_began_anew():
    found = restarted(speed=math.nan).at(106 * SECOND, ChainageRules(DISTANCE))
    assert found.metres == pytest.approx(103.0)
    assert found.sigma_m == pytest.approx(40.0, abs=0.01)   # 20 m/s in 2 s


@pytest.mark.parametrize('source', [AXIS, DISTANCE])
def test_a_frame_while_odometry_begins_anew_is_where_the_last_speed_leads(source):
    made = restarted(speed=1.0, gap=0.4)
    found = made.at(round(101.1 * SECOND), ChainageRules(source))
    assert found.metres == pytest.approx(100.1)
    assert found.sigma_m == pytest.approx(math.hypot(0.02, 0.05))


def test_a_fast_vehicle_whose_odometry_comes_rarely_drives_its_steps():
    made = history(*(pose(10.0 + t, 19.0 * t, speed=19.0) for t in range(5)))
    found = made.at(14 * SECOND, ChainageRules(DISTANCE))
    assert (found.metres, found.sigma_m) == pytest.approx((76.0, 0.02))


def test_a_pose_two_seconds_late_is_sorted_in():
    made = history(pose(10.0, 100.0), pose(12.0, 102.0), pose(10.2, 100.3))
    assert made.at(round(10.1 * SECOND), ChainageRules()).metres == pytest.approx(100.15)
    assert made.at(round(12.0 * SECOND), ChainageRules()).metres == pytest.approx(102.0)


def test_one_sigma_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(600):
        speed, error = rng.uniform(0.3, 3.0), rng.normal(0.0, 0.02)
        made = history(*(pose(t, speed * t + error, speed=speed) for t in (5.0, 5.1)))
        frame, offset = rng.uniform(5.0, 5.1), rng.normal(0.0, 0.01)
        found = made.at(round((frame + offset) * SECOND), ChainageRules(stamp_sigma_s=0.01))
        if not math.isnan(found.metres):
            hits.append(abs(found.metres - speed * frame) <= found.sigma_m)
    assert 0.60 <= np.mean(hits) <= 0.76
