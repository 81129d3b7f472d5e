# SPDX-License-Identifier: Apache-2.0
"""Millimetres per pixel: what an operator says wins over what is measured."""

import math

import pytest

from tunnel_crack_ros.vision import ScaleSource
from tunnel_crack_ros.vision.scale import choose_scale, scale_from_distance


@pytest.mark.parametrize(('known', 'source', 'mm_per_px'), [
    ({}, ScaleSource.NONE, math.nan),
    ({'focal_length_px': 800.0}, ScaleSource.NONE, math.nan),
    ({'range_m': 2.0}, ScaleSource.NONE, math.nan),
    ({'focal_length_px': 800.0, 'range_m': 2.0}, ScaleSource.CAMERA_INFO_RANGE, 2.5),
    ({'focal_length_px': 800.0, 'range_m': 2.0, 'distance_m': 4.0},
     ScaleSource.CAMERA_INFO_DISTANCE, 5.0),
    ({'focal_length_px': 800.0, 'range_m': 2.0, 'distance_m': 4.0, 'mm_per_px': 0.7},
     ScaleSource.PARAMETER, 0.7),
    ({'focal_length_px': 800.0, 'range_m': math.inf}, ScaleSource.NONE, math.nan),
    ({'focal_length_px': 800.0, 'range_m': 0.0}, ScaleSource.NONE, math.nan),
    ({'focal_length_px': 0.0, 'range_m': 2.0}, ScaleSource.NONE, math.nan),
])
def test_the_first_that_is_known_counts(known, source, mm_per_px):
    scale = choose_scale(**known)
    assert scale.source is source
    assert scale.mm_per_px == pytest.approx(mm_per_px, nan_ok=True)
    assert scale.known is (source is not ScaleSource.NONE)


def test_sigma_grows_with_the_distances_own():
    scale = scale_from_distance(2.0, 800.0, ScaleSource.CAMERA_INFO_RANGE, 0.04)
    assert scale.sigma == pytest.approx(0.05)
