# SPDX-License-Identifier: Apache-2.0
"""Pixels to rays: distortion, rectified frames, binning, frames of another size."""

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.vision.camera import Camera, CameraError

K = (800.0, 0.0, 310.0, 0.0, 790.0, 245.0, 0.0, 0.0, 1.0)
PLUMB_BOB = (-0.28, 0.09, 0.001, -0.0007, -0.012)
RATIONAL = (0.4, -0.2, 0.0005, 0.0003, 0.02, 0.7, -0.25, 0.04)
CORNERS = np.array([[0, 0], [639, 0], [320.5, 240.2], [10, 470], [639, 479]], float)


def camera(**more) -> Camera:
    return Camera.from_calibration(**{'k': K, 'width': 640, 'height': 480} | more)


@pytest.mark.parametrize(('model', 'd'), [
    ('plumb_bob', ()), ('', ()), ('plumb_bob', (0.0,) * 5), ('plumb_bob', PLUMB_BOB),
    ('rational_polynomial', RATIONAL)])
def test_a_ray_seen_through_the_lens_comes_back_to_its_pixel(model, d):
    rays = camera(model=model, d=d).rays(CORNERS)
    assert (rays[:, 2] == 1.0).all()
    back, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), np.array(K).reshape(3, 3),
                                np.array(d) if any(d) else None)
    assert np.abs(back.reshape(-1, 2) - CORNERS).max() < 1e-3


def test_pixels_that_no_ray_comes_to_have_none():
    """What r (1 - 0.5 r^2) gives is never more than 0.54; the corners have 0.63 and more."""
    made = camera(k=(600.0, 0, 319.5, 0, 600.0, 239.5, 0, 0, 1.0), model='plumb_bob',
                  d=(-0.5, 0.0, 0.0, 0.0))
    rays = made.rays(np.vstack([CORNERS, [[319.5, 239.5], [319.5, 20.0]]]))
    assert np.isnan(rays[[0, 1, 3, 4], :2]).all()
    radius = np.hypot(*rays[[5, 6], :2].T)
    assert radius * (1.0 - 0.5 * radius ** 2) == pytest.approx([0.0, 219.5 / 600.0], abs=1e-4)


def test_distortion_counts():
    straight, bent = camera().rays(CORNERS), camera(model='plumb_bob', d=PLUMB_BOB).rays(CORNERS)
    # 0.28 r^3 at r = 0.5, and a little more
    assert 0.03 < np.hypot(*(bent - straight)[0, :2]) < 0.06


def test_rectified_frames_go_by_their_own_matrix_and_have_no_distortion():
    p = (700.0, 0, 300.0, 0, 0, 700.0, 250.0, 0, 0, 0, 1.0, 0)
    made = camera(model='plumb_bob', d=PLUMB_BOB, p=p, rectified=True)
    assert (made.fx, made.cx, made.cy, made.distortion) == (700.0, 300.0, 250.0, ())


def test_binning_and_region_move_the_matrix_to_the_frames_own_pixels():
    # a mark at column 110, row 60 of the sensor; the frame shows from 100, 50 on, 2 x 2 as one
    made = camera(binning=(2, 2), region=(100, 50, 320, 240))
    assert (made.width, made.height) == (160, 120)
    mark = np.array([[(110 - 100 + 0.5) / 2 - 0.5, (60 - 50 + 0.5) / 2 - 0.5]])
    assert np.allclose(made.rays(mark), camera().rays(np.array([[110.0, 60.0]])))


def test_beyond_where_the_polynomial_turns_it_means_nothing():
    """There it comes by every distorted radius once more: (100, 100) had a ray."""
    made = Camera.from_calibration(k=[692, 0, 640, 0, 692, 480, 0, 0, 1], model='plumb_bob',
                                   d=[-0.335, 0.006, 0.0, 0.0, 0.010], width=1280, height=960)
    assert np.isnan(made.rays(np.array([[100.0, 100.0], [0.0, 0.0]]))[:, :2]).all()
    assert np.isfinite(made.rays(np.array([[300.0, 300.0]]))).all()


@pytest.mark.parametrize('d', [
    [-0.394, 0.15, 0.0, 0.0, 0.012],
    [0.1, -0.02, 0.0, 0.0, 0.01, 0.45, 0.02, 0.001]])
def test_rays_far_from_the_axis_are_found(d):
    """The steps of OpenCV do not come to them, and some had no ray."""
    model = 'plumb_bob' if len(d) == 5 else 'rational_polynomial'
    made, around = camera(model=model, d=d), np.arange(0.0, 2.0 * np.pi, 0.1)
    for radius in (0.2, 0.9, 1.3):
        rays = np.column_stack([radius * np.cos(around), radius * np.sin(around),
                                np.ones(len(around))])
        pixels, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3),
                                      np.array(K, float).reshape(3, 3), np.array(d))
        assert np.allclose(made.rays(pixels.reshape(-1, 2)), rays, atol=1e-6)


def test_a_smaller_picture_of_the_same_shape_has_the_same_rays():
    small = camera(model='plumb_bob', d=PLUMB_BOB).fitted_to(320, 240)
    # the corner between four pixels is the same place in both
    assert np.allclose(small.rays(np.array([[9.5, 4.5]])),
                       camera(model='plumb_bob', d=PLUMB_BOB).rays(np.array([[19.5, 9.5]])))


def test_a_picture_of_another_shape_is_refused():
    with pytest.raises(CameraError, match='camera_info is for 640 x 480 px, but the frame has '
                                          '512 x 512: no scale'):
        camera().fitted_to(512, 512)


def test_a_calibration_without_a_size_is_taken_as_it_is():
    assert camera(width=0, height=0).fitted_to(512, 512).fx == 800.0


@pytest.mark.parametrize(('wrong', 'message'), [
    ({'k': (0.0,) * 9}, 'focal length 0 px, expected more than 0'),
    ({'k': (float('nan'), *K[1:])}, 'focal length nan px'),
    ({'model': 'equidistant', 'd': (0.1,) * 4}, "distortion model 'equidistant'"),
    ({'model': 'plumb_bob', 'd': (0.1,) * 3}, "'plumb_bob' with 3 coefficients")])
def test_what_cannot_be_used_is_named(wrong, message):
    with pytest.raises(CameraError, match=message):
        camera(**wrong)


@pytest.mark.parametrize('model', ['equidistant', 'fisheye', 'kannala_brandt', 'kannala_brandt4',
                                   'Equidistant'])
@pytest.mark.parametrize('d', [(), (0.0,) * 4, (0.1, 0.0, 0.0, 0.0)])
def test_a_fisheye_is_no_pinhole_even_without_coefficients(model, d):
    with pytest.raises(CameraError, match=f"'{model}' with {len(d)} coefficients, expected plumb"):
        camera(model=model, d=d)
    p = (700.0, 0, 300.0, 0, 0, 700.0, 250.0, 0, 0, 0, 1.0, 0)
    assert camera(model=model, d=d, p=p, rectified=True).fx == 700.0


def test_no_points_have_no_rays():
    assert camera(model='plumb_bob', d=PLUMB_BOB).rays(np.empty((0, 2))).shape == (0, 3)
