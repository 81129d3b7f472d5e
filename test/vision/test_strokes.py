# SPDX-License-Identifier: Apache-2.0
"""Ends close enough for a gap between them are found, and no others."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from tunnel_crack_ros.vision.geometry.strokes import _close_pairs


@pytest.mark.parametrize('seed', range(60))
def test_close_pairs_are_those_of_a_tree(seed):
    rng = np.random.default_rng(seed)
    points = np.floor(rng.random((rng.integers(2, 90), 2)) * rng.integers(1, 400, 2))
    reach = float(rng.integers(1, 90)) + (0.25 if seed % 2 else 0.0)
    one, other = _close_pairs(points, reach)
    found = list(zip(one.tolist(), other.tolist()))
    assert len(set(found)) == len(found)
    assert set(found) == cKDTree(points).query_pairs(reach)
