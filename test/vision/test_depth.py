# SPDX-License-Identifier: Apache-2.0
"""A plane from a depth image: holes, outliers, other sizes, and a sigma that holds."""

import math

import numpy as np
import pytest

from tunnel_crack_ros.vision.camera import Camera
from tunnel_crack_ros.vision.depth import DepthError, DepthImage

CAMERA = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)
TILT = 0.25     # rad, about the image's columns: the right is further away
LINE = np.column_stack([np.linspace(200, 420, 221), np.linspace(300, 180, 221)])


def depth_of(tilt: float = TILT, distance: float = 1.5, size=(640, 480)) -> np.ndarray:
    """Return the depth of a plane, by its equation z = d + x tan(tilt)."""
    columns = (np.arange(size[0]) + 0.5) * 640 / size[0] - 0.5
    x = (columns - 319.5) / 600.0
    return np.tile(distance / (1.0 - x * math.tan(tilt)), (size[1], 1)).astype(np.float32)


def at(plane, column: float, row: float) -> float:
    return float(plane.intersect(CAMERA.rays(np.array([[column, row]])))[0, 2])


@pytest.mark.parametrize('size', [(640, 480), (320, 240), (212, 159), (1280, 960)])
def test_a_depth_image_of_any_size_gives_the_plane(size):
    plane = DepthImage(depth_of(size=size)).near(LINE, CAMERA).plane()
    assert at(plane, 319.5, 239.5) == pytest.approx(1.5, abs=1e-3)
    assert math.atan2(-plane.normal[0], plane.normal[2]) == pytest.approx(TILT, abs=2e-3)
    assert plane.normal[1] == pytest.approx(0.0, abs=2e-3)


def test_holes_and_things_before_the_lining_do_not_count():
    rng = np.random.default_rng(3)
    metres = depth_of() + rng.normal(0.0, 0.003, (480, 640)).astype(np.float32)
    metres[rng.random(metres.shape) < 0.4] = 0.0
    metres[rng.random(metres.shape) < 0.1] = np.nan
    metres[:, 300:330] = 0.9        # a pipe before the lining
    plane = DepthImage(metres).near(LINE, CAMERA).plane()
    assert at(plane, 319.5, 239.5) == pytest.approx(1.5, abs=2e-3)
    assert math.atan2(-plane.normal[0], plane.normal[2]) == pytest.approx(TILT, abs=0.01)


def test_where_nothing_was_measured_there_is_no_plane():
    for value in (0.0, np.nan, np.inf, -1.0):
        image = DepthImage(np.full((480, 640), value, np.float32))
        assert image.near(LINE, CAMERA) is None and image.everywhere(CAMERA) is None
    one_row = np.zeros((480, 640), np.float32)
    one_row[240] = 1.5
    assert DepthImage(one_row).everywhere(CAMERA) is None


@pytest.mark.parametrize('size', [(1600, 1200), (1920, 1200), (640, 1200), (48, 1200), (600, 37)])
@pytest.mark.parametrize('hole', [0, 40])
def test_all_of_an_image_of_any_size_gives_the_plane(size, hole):
    """With 1200 rows, every n-th of the pixels lay in one column."""
    metres = depth_of(size=size)
    metres[:, :hole] = np.nan
    fitted = DepthImage(metres).everywhere(CAMERA)
    assert at(fitted.plane(), 319.5, 239.5) == pytest.approx(1.5, abs=1e-3)
    assert fitted.abc[1] == pytest.approx(0.0, abs=1e-3)
    again = DepthImage(metres).everywhere(CAMERA)
    assert (fitted.abc == again.abc).all()


def test_a_sparse_image_gives_the_plane():
    """A laser scanner's points in a camera's picture: one pixel of 4000 has a depth."""
    metres = np.zeros((960, 1280), np.float32)
    there = np.random.default_rng(2).integers(0, metres.size, 300)
    metres.ravel()[there] = depth_of(size=(1280, 960)).ravel()[there]
    assert at(DepthImage(metres).everywhere(CAMERA).plane(), 319.5, 239.5) == pytest.approx(
        1.5, abs=1e-3)


def test_another_shape_is_refused():
    DepthImage(np.ones((240, 321), np.float32)).check_shape(CAMERA)
    with pytest.raises(DepthError, match='the depth image has 400 x 240 px, but the frame '
                                         '640 x 480: expected the same proportions'):
        DepthImage(np.ones((240, 400), np.float32)).check_shape(CAMERA)


def test_one_sigma_of_the_depth_holds_the_truth_as_often_as_it_says():
    """Of 300 images 68 % are due; 60 to 76 % is three standard errors."""
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(300):
        metres = depth_of(size=(160, 120)) + rng.normal(0, 0.01, (120, 160)).astype(np.float32)
        metres[rng.random(metres.shape) < 0.2] = 0.0
        metres[rng.random(metres.shape) < 0.03] = 1.2
        fitted = DepthImage(metres).near(LINE, CAMERA)
        best, places = fitted.plane(), ((319.5, 239.5), (250.0, 270.0), (100.0, 100.0))
        for column, row in places:
            truth = 1.5 / (1.0 - (column - 319.5) / 600.0 * math.tan(TILT))
            sigma = math.sqrt(sum((at(plane, column, row) - at(best, column, row)) ** 2
                                  for plane in fitted.shifted()))
            hits.append(abs(at(best, column, row) - truth) <= sigma)
    assert 0.60 <= np.mean(hits) <= 0.76
