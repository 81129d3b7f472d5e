# SPDX-License-Identifier: Apache-2.0
"""Values and means of masks that are never made equal those of masks that are."""

import numpy as np
import pytest

from tunnel_crack_ros.vision.explain.layer import Layer
from tunnel_crack_ros.vision.explain.mask_values import MaskValues


@pytest.mark.parametrize('layer_size, size', [
    ((28, 28), (224, 224)),         # strides 8, 16, 2 and 1
    ((24, 32), (384, 512)),
    ((48, 64), (96, 128)),
    ((40, 56), (40, 56)),
    ((7, 9), (50, 100)),            # no whole stride
    ((1, 1), (32, 64)),
    ((3, 2), (3, 64)),              # enlarged in one direction only
])
def test_equal_those_of_made_masks(layer_size: tuple[int, int], size: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    layer = Layer('any', rng.normal(size=(6, *layer_size)).astype(np.float32) ** 3)
    layer.activations = np.concatenate([layer.activations, np.ones((1, *layer_size), np.float32)])
    made = np.stack([layer.mask(index, size) for index in range(len(layer.activations))])
    rows, columns = rng.integers(size[0], size=50), rng.integers(size[1], size=50)
    weights = rng.random(size)
    weights /= weights.sum()

    values = MaskValues(layer.activations, size)
    np.testing.assert_allclose(values.at(rows, columns, slice(2, 7)), made[2:, rows, columns],
                               atol=2e-6)
    np.testing.assert_allclose(values.means(weights), (made * weights).sum((1, 2)), atol=2e-6)
