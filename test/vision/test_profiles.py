# SPDX-License-Identifier: Apache-2.0
"""Confidence between pixels is the same in images that OpenCV's remap is too small for."""

import cv2
import numpy as np

from tunnel_crack_ros.vision.geometry.profiles import _interpolate, _sample


def test_interpolation_is_that_of_remap():
    rng = np.random.default_rng(0)
    image = rng.random((50, 60), np.float32)
    x = rng.uniform(-5, 65, (9, 200)).astype(np.float32)
    y = rng.uniform(-5, 55, (9, 200)).astype(np.float32)
    np.testing.assert_allclose(
        _interpolate(image, x, y),
        cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), atol=0.02)


def test_an_image_of_forty_thousand_columns_is_sampled_at_its_far_end():
    image = np.zeros((3, 40_000), np.float32)
    image[1, -2] = 0.8
    x = np.array([[39_998.0, 39_998.5, 100.0]], np.float32)
    y = np.full((1, 3), 1.0, np.float32)
    np.testing.assert_allclose(_sample(image, x, y), [[0.8, 0.4, 0.0]], atol=1e-5)
