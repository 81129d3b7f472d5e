# SPDX-License-Identifier: Apache-2.0
"""A frame's distance is the one measured at its time."""

import math
import threading

from tunnel_crack_ros.vision.range_history import RangeHistory

SECOND = 1_000_000_000


def test_a_frame_gets_the_last_distance_up_to_its_stamp():
    history = RangeHistory()
    history.add(3 * SECOND, 1.3)
    history.add(2 * SECOND, 1.2)  # came late
    assert history.at(2 * SECOND) == 1.2
    assert history.at(2 * SECOND + 5) == 1.2
    assert history.at(3 * SECOND + 5) == 1.3


def test_no_distance_before_the_first_and_none_when_the_last_is_old():
    history = RangeHistory(max_age_s=0.5)
    history.add(2 * SECOND, 1.2)
    assert math.isnan(history.at(2 * SECOND - 1))
    assert history.at(2 * SECOND + SECOND // 2) == 1.2
    assert math.isnan(history.at(2 * SECOND + SECOND // 2 + 1))


def test_a_sensor_that_sees_nothing_ends_what_was_measured_before():
    history = RangeHistory()
    history.add(1 * SECOND, 1.2)
    history.add(2 * SECOND - 1, math.nan)
    assert math.isnan(history.at(2 * SECOND))


def test_whoever_measured_was_heard_even_if_it_saw_nothing():
    for stamp_ns in (0, SECOND):
        history = RangeHistory()
        assert not history.heard
        history.add(stamp_ns, math.nan)
        assert history.heard


def test_an_unstamped_distance_holds_until_the_next():
    history = RangeHistory()
    history.add(0, 1.5)
    assert history.at(7 * SECOND) == 1.5
    history.add(8 * SECOND, 1.6)
    assert history.at(8 * SECOND) == 1.6
    assert math.isnan(history.at(7 * SECOND))


def test_a_bag_played_again_is_measured_again():
    history = RangeHistory()
    for turn in range(3):
        for tick in range(2000):    # more than are kept
            stamp = 100 * SECOND + tick * SECOND // 50
            history.add(stamp, 1.0 + turn)
            assert history.at(stamp + 5) == 1.0 + turn
    assert math.isnan(history.at(139 * SECOND + 2 * SECOND))


def test_a_short_bag_played_for_long_keeps_its_first_distances():
    history = RangeHistory()
    for _ in range(30):
        for tick in range(100):     # 2 s: less than what may just be late
            history.add(100 * SECOND + tick * SECOND // 50, 1.0 + tick)
    assert [history.at(100 * SECOND + tick * SECOND // 50) for tick in range(100)] == [
        1.0 + tick for tick in range(100)]


def test_a_distance_that_comes_two_seconds_late_is_sorted_in():
    history = RangeHistory()
    history.add(10 * SECOND, 1.0)
    history.add(8 * SECOND, 0.8)
    assert (history.at(8 * SECOND), history.at(10 * SECOND)) == (0.8, 1.0)


def test_distances_come_while_another_thread_asks():
    """Time begins again and again, so the list is emptied between two looks at it."""
    history = RangeHistory()
    history.add(50 * SECOND, 1.0)
    found, done = [], threading.Event()

    def ask():
        while not done.is_set():
            found.append(history.at(50 * SECOND))
    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(20_000):
        history.add(10 * SECOND, 1.0)
        history.add(50 * SECOND, 1.0)
    done.set()
    asking.join()
    assert found and all(value == 1.0 or math.isnan(value) for value in found)
