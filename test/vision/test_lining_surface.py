# SPDX-License-Identifier: Apache-2.0
"""Rays meet planes and cylinders where they should."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from tunnel_crack_ros.vision.lining_surface import bent, Cylinder, Plane

angles = st.floats(-0.6, 0.6)


def unit(*values):
    return np.array(values) / np.linalg.norm(values)


@given(angles, angles, st.floats(0.3, 20.0), st.floats(-0.7, 0.7), st.floats(-0.7, 0.7))
def test_points_lie_on_the_plane_and_on_their_ray(a, b, distance, x, y):
    plane = Plane(unit(np.sin(a), np.sin(b), 1.0), distance)
    place, = plane.intersect(np.array([[x, y, 1.0]]))
    if plane.normal @ (x, y, 1.0) > 0.01:
        assert place @ plane.normal == pytest.approx(distance)
        assert np.allclose(np.cross(place, (x, y, 1.0)), 0.0, atol=1e-6 * place[2])


@given(angles, angles, st.floats(0.5, 8.0), st.floats(0.0, 0.95), st.floats(0.0, 6.3),
       st.floats(-0.7, 0.7), st.floats(-0.7, 0.7))
def test_points_lie_on_the_cylinder_before_the_camera(a, b, radius, off, way, x, y):
    axis = unit(1.0, np.sin(a), np.sin(b))
    centre = off * radius * np.array([0.0, np.cos(way), np.sin(way)])
    place, = Cylinder(centre, axis, radius).intersect(np.array([[x, y, 1.0]]))
    across = (place - centre) - (place - centre) @ axis * axis
    assert place[2] > 0.0
    assert np.linalg.norm(across) == pytest.approx(radius)
    assert np.allclose(np.cross(place, (x, y, 1.0)), 0.0, atol=1e-6)


def test_a_ray_that_leaves_the_lining_meets_nothing():
    rays = np.array([[0.0, 0.0, 1.0], [2.0, 0.0, 1.0], [0.5, 0.0, 1.0]])
    found = Plane(unit(-1.0, 0.0, 1.0), 1.0).intersect(rays)
    assert np.isfinite(found[[0, 2]]).all() and np.isnan(found[1]).all()
    axis = np.array([0.0, 0.0, 1.0])        # looks along the tunnel: no wall ahead
    found = Cylinder(np.array([0.0, 0.1, 0.0]), axis, 2.0).intersect(rays)
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()


def test_a_bent_plane_touches_it_and_comes_nearer_sideways():
    plane, ahead = Plane(unit(0.0, -0.2, 1.0), 1.5), np.array([1.0, 0.0, 0.0])
    touched = plane.intersect(np.array([[0.0, 0.0, 1.0]]))[0]
    round_one = bent(plane, touched, ahead, 3.0)
    rays = np.array([[0.0, 0.0, 1.0], [0.4, 0.0, 1.0], [0.0, 0.3, 1.0], [0.0, -0.3, 1.0]])
    on_plane, on_round = plane.intersect(rays), round_one.intersect(rays)
    assert np.allclose(on_round[0], touched)
    heights = on_round @ plane.normal - plane.distance
    assert abs(heights[0]) < 1e-12
    # along the line only where the ray stays on it; sideways the sagitta s^2 / 2 R
    assert (heights[2:] < -1e-3).all()
    assert (np.linalg.norm(on_round[2:], axis=1) < np.linalg.norm(on_plane[2:], axis=1)).all()
