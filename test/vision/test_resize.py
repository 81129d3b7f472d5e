# SPDX-License-Identifier: Apache-2.0
"""A hairline keeps its darkness at whatever size a network sees the frame."""

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.vision.resize import resized


@pytest.mark.parametrize('shape', [(440, 4096), (400, 1280), (4096, 440), (900, 1600)])
def test_a_hairline_loses_nothing_wherever_it_lies(shape):
    """Where one side grows OpenCV samples the other: 15 to 150 were left of 150, by the column."""
    lying = shape[0] > shape[1]
    shares = []
    for at in range(200, 230):
        frame = np.full(shape, 200, np.uint8)
        (frame[at:at + 2] if lying else frame[:, at:at + 2])[:] = 50
        dark = 200.0 - resized(frame, (448, 448)).astype(float)
        shares.append(dark.sum() / (150.0 * 2.0 / shape[1 - lying] * 448 * 448))
    assert np.allclose(shares, 1.0, atol=0.05)


@pytest.mark.parametrize(('shape', 'way'), [
    ((600, 800, 3), cv2.INTER_AREA), ((448, 800, 3), cv2.INTER_AREA),
    ((200, 300, 3), cv2.INTER_LINEAR), ((448, 300, 3), cv2.INTER_LINEAR)])
def test_it_is_opencvs_way_where_both_sides_go_the_same_way(shape, way):
    frame = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    assert (resized(frame, (448, 448)) == cv2.resize(frame, (448, 448), interpolation=way)).all()


def test_a_frame_of_the_right_size_is_not_copied():
    frame = np.zeros((448, 448, 3), np.uint8)
    assert resized(frame, (448, 448)) is frame
