# SPDX-License-Identifier: Apache-2.0
"""A frame's distance is the one measured at its time."""

import math

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


def test_an_unstamped_distance_holds_until_the_next():
    history = RangeHistory()
    history.add(0, 1.5)
    assert history.at(7 * SECOND) == 1.5
    history.add(8 * SECOND, 1.6)
    assert history.at(8 * SECOND) == 1.6
    assert math.isnan(history.at(7 * SECOND))
