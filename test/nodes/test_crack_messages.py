# SPDX-License-Identifier: Apache-2.0
"""What is measured arrives in messages and markers whole, branches too."""

from dataclasses import replace

import numpy as np
import pytest
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from tunnel_crack_ros.nodes.crack_messages import (
    cracks_to_markers,
    cracks_to_msg,
    measures_from_msg,
)
from tunnel_crack_ros.vision import Segmentation
from tunnel_crack_ros.vision.frame_measures import Calibration, measure_frame, Sensed
from tunnel_crack_ros.vision.segmenter_settings import SegmenterSettings


@pytest.fixture
def forked():
    """Return the measures of one crack with a branch, 1 m before a calibrated camera."""
    mask = np.zeros((192, 256), np.uint8)
    mask[99:102, 20:180] = mask[40:100, 79:82] = 255
    segmentation = Segmentation((mask / 255).astype(np.float32), mask, 0.5)
    calibration = Calibration(k=(500.0, 0.0, 128.0, 0.0, 500.0, 96.0, 0.0, 0.0, 1.0),
                              width=256, height=192)
    return measure_frame(segmentation, Sensed(calibration, range_m=1.0),
                         SegmenterSettings().of_camera('eye', ['eye']))


def test_a_message_brings_every_line_back(forked):
    crack, = forked.cracks
    message = cracks_to_msg(forked, Header(frame_id='eye'), 'eye', 'name@0', 0.5, (192, 256))
    back, = measures_from_msg(message).cracks
    assert len(back.branches) == len(crack.branches) == 1
    for own, other in zip(crack.branches, back.branches):
        for name in ('points', 'widths_px', 'widths_mm', 'places_m'):
            assert np.allclose(getattr(own, name), getattr(other, name)), name
    # 1 m away a pixel is 2 mm wide
    assert crack.branches[0].widths_mm == pytest.approx(2.0 * crack.branches[0].widths_px)
    assert crack.branches[0].places_m[:, 2] == pytest.approx(1.0)


def test_markers_draw_the_branches(forked):
    crack, = forked.cracks
    markers = cracks_to_markers([crack], Header(frame_id='eye'), 'eye').markers
    drawn, = [marker for marker in markers if marker.type == Marker.LINE_LIST]
    places = np.array([(point.x, point.y, point.z) for point in drawn.points])
    own = crack.branches[0].places_m
    assert np.allclose(places[::2], own[:-1]) and np.allclose(places[1::2], own[1:])
    numbers = [marker.id for marker in markers if marker.action == Marker.ADD]
    assert len(numbers) == len(set(numbers)) == 3


def test_a_message_brings_the_place_on_the_lining_back(forked):
    crack, = forked.cracks
    line = np.column_stack([12_345.678901 + np.arange(len(crack.centre_line)) * 1e-4,
                            np.linspace(-3.1, 9.9, len(crack.centre_line))])
    own = crack.branches[0]
    placed = replace(crack, place=replace(crack.place, line_m=line), branches=(
        replace(own, line_m=line[:len(own.points)]),))
    message = cracks_to_msg(replace(forked, cracks=[placed]), Header(), 'eye', 'name@0', 0.5,
                            (192, 256))
    back, = measures_from_msg(message).cracks
    assert np.array_equal(back.place.line_m[:, 0], line[:, 0])      # a tenth of a mm, far in
    assert np.allclose(back.place.line_m[:, 1], line[:, 1], rtol=1e-6)
    assert np.array_equal(back.branches[0].line_m, back.place.line_m[:len(own.points)])
    unplaced, = measures_from_msg(cracks_to_msg(
        forked, Header(), 'eye', 'name@0', 0.5, (192, 256))).cracks
    assert unplaced.place.line_m is None and unplaced.branches[0].line_m is None
