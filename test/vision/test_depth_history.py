# SPDX-License-Identifier: Apache-2.0
"""A frame's depth image is still there when it is asked for, and is of the frame's time."""

import threading

import numpy as np
import pytest

from tunnel_crack_ros.vision.depth import DepthError, DepthImage
from tunnel_crack_ros.vision.depth_history import DepthHistory, RecordedDepth
from tunnel_crack_ros.vision.frame_measures import CameraSensors
from tunnel_crack_ros.vision.odometry_history import OdometryHistory

SECOND = 1_000_000_000
SMALL = 848 * 480 * 2       # bytes of a RealSense's image
LARGE = 40_000_000


def recorded(seconds: float, metres: float = 1.0, size: int = SMALL) -> RecordedDepth:
    return RecordedDepth(round(seconds * SECOND), 'eye', size,
                         lambda: DepthImage(np.full((2, 2), metres, np.float32)))


def drive(seconds: float, size: int = SMALL, start: float = 100.0) -> DepthHistory:
    """Return the images of some seconds at 30 Hz; each says when it was taken."""
    history = DepthHistory()
    for i in range(round(30 * seconds)):
        history.add(recorded(start + i / 30, i / 30, size))
    return history


def metres(history: DepthHistory, seconds: float) -> float:
    return float(history.at(round(seconds * SECOND), 'eye').metres[0, 0])


def test_a_frame_that_waited_for_four_seconds_still_has_its_depth():
    history = drive(20.0)
    assert metres(history, 116.0) == pytest.approx(16.0)
    assert metres(history, 118.52) == pytest.approx(18.533, abs=1e-3)   # the nearest


def test_what_is_kept_has_a_bound_in_time_and_in_memory():
    assert 145 <= len(drive(60.0)._images) <= 151
    assert len(drive(60.0, LARGE)._images) == 10
    assert drive(60.0, 4_000_000)._bytes <= 128_000_000


def test_depth_images_of_another_time_are_told_in_the_note():
    sensors = CameraSensors()

    def note(seconds):
        return sensors.at(round(seconds * SECOND), 'eye', OdometryHistory()).note
    assert note(100.0) == ''    # without a depth camera there is nothing to tell
    sensors.depths = drive(8.0)
    assert note(107.0) == ''
    assert note(100.0) == ("no depth image within 0.1 s of the frame's stamp: the nearest is "
                           'newer')
    assert note(110.0).endswith('the nearest is older')


def test_a_bag_played_again_has_its_depth_again():
    history = drive(4.0)
    history.add(recorded(100.0, 7.0))
    assert metres(history, 100.0) == 7.0
    with pytest.raises(DepthError, match='older'):
        history.at(103 * SECOND, 'eye')


def test_an_image_that_comes_two_seconds_late_is_no_new_beginning():
    history = drive(4.0)
    history.add(recorded(101.98, 7.0))
    assert metres(history, 101.985) == 7.0
    assert metres(history, 103.9) == pytest.approx(3.9)


def test_an_unstamped_image_holds_until_the_next():
    history = drive(1.0)
    history.add(recorded(0.0, 7.0))
    assert metres(history, 500.0) == 7.0
    history.add(recorded(0.0, 8.0))
    assert metres(history, 500.0) == 8.0
    history.add(recorded(101.0, 9.0))
    assert metres(history, 101.0) == 9.0
    with pytest.raises(DepthError):
        history.at(500 * SECOND, 'eye')


def test_images_come_while_another_thread_asks():
    history, done, found = drive(4.0), threading.Event(), []

    def ask():
        while not done.is_set():
            found.append(metres(history, 103.95))
    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(20_000):
        history.add(recorded(103.95, 3.0))
    done.set()
    asking.join()
    assert found and found[-1] == pytest.approx(3.0, abs=1.0)
