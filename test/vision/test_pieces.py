# SPDX-License-Identifier: Apache-2.0
"""The pieces of a mask are those that SciPy finds, whatever the mask."""

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
import numpy as np
import pytest
from scipy.ndimage import find_objects, label

from tunnel_crack_ros.vision.geometry.pieces import find_pieces

MASKS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)),
                      elements=st.sampled_from([0, 0, 1, 255]))


def check_pieces(mask):
    expected, count = label(mask, np.ones((3, 3)))
    found = find_pieces(mask)
    assert found.count == count and found.shape == mask.shape
    image = np.zeros(mask.shape, np.int64)
    image[found.rows, found.columns] = found.labels + 1
    np.testing.assert_array_equal(image, expected)
    boxes = [(x.start, y.start, x.stop - x.start, y.stop - y.start)
             for y, x in find_objects(expected)]
    assert [tuple(box) for box in found.boxes.tolist()] == boxes


@given(MASKS)
@settings(max_examples=300, deadline=None)
def test_pieces_of_any_mask(mask):
    check_pieces(mask)


@pytest.mark.parametrize('turns', range(4))
def test_pieces_that_meet_late(turns):
    """A spiral, a comb, nested frames: runs far apart in the order belong together."""
    spiral = np.zeros((101, 101), np.uint8)
    angle = np.linspace(0, 12 * np.pi, 600)
    points = 50 + (2 + 1.25 * angle)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    cv2.polylines(spiral, [points.round().astype(np.int32)], False, 255)
    comb = np.zeros((60, 121), np.uint8)
    comb[:, ::2] = 1
    comb[-1, ::4] = comb[-1, 1::4] = comb[-1, 2::4] = 1
    frames = np.zeros((60, 60), np.uint8)
    for inset in range(0, 30, 3):
        cv2.rectangle(frames, (inset, inset), (59 - inset, 59 - inset), 1)
    for mask in (spiral, comb, frames):
        check_pieces(np.rot90(mask, turns).copy())
