# SPDX-License-Identifier: Apache-2.0
"""An overlay shows each crack, and leaves it to be seen."""

import numpy as np

from tunnel_crack_ros.vision import measure_cracks, Segmentation
from tunnel_crack_ros.vision.overlay import draw_overlay


def test_cracks_of_a_panorama_stay_visible_and_are_labelled():
    frame = np.full((400, 12_000, 3), 128, np.uint8)
    mask = np.zeros(frame.shape[:2], np.uint8)
    mask[196:206, 1000:1300] = 255
    cracks = measure_cracks(Segmentation(mask / np.float32(255), mask, 0.5))
    drawn = draw_overlay(frame, mask, cracks)
    across = (drawn[:, 1150] != 128).any(axis=1)
    assert not across[197:205].all()            # between outline and centre line
    assert (drawn == 0).all(axis=2).any()       # the box of the label
