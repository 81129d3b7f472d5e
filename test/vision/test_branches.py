# SPDX-License-Identifier: Apache-2.0
"""Every branch of a crack is a line of its own, and the overlay draws them all."""

import cv2
from drawn_masks import line, measured
import numpy as np
import pytest
from skimage.morphology import skeletonize

from tunnel_crack_ros.simulation import render_frame, SimulationSettings, spread_cameras
from tunnel_crack_ros.vision.overlay import draw_overlay


def fork(size: int = 200) -> np.ndarray:
    """Return a mask with a level bar 160 px long and two branches that leave it, 60 px each."""
    mask = np.zeros((size, size), np.uint8)
    cv2.line(mask, (20, 100), (180, 100), 1, 3)
    cv2.line(mask, (80, 100), (80, 40), 1, 3)
    cv2.line(mask, (120, 100), (120, 160), 1, 3)
    return mask


def drawn_near(picture: np.ndarray, x: int, y: int) -> bool:
    """Return whether the yellow of centre lines is within 2 px of a place."""
    red, green, blue = picture[y - 2:y + 3, x - 2:x + 3].astype(int).transpose(2, 0, 1)
    return bool(((red > 180) & (green > 160) & (blue < 90)).any())


def test_branches_are_handed_out_as_lines():
    crack, = measured(fork())
    assert len(crack.branches) == 2 and crack.lines[0] is crack.centre_line
    for branch, (x, y) in zip(sorted(crack.lines[1:], key=lambda points: points[:, 0].mean()),
                              [(80, 40), (120, 160)]):
        assert abs(branch[:, 0] - x).max() < 1.0
        far, near = sorted([branch[0], branch[-1]], key=lambda point: abs(point[1] - 100.0))[::-1]
        assert far == pytest.approx([x, y], abs=2.5) and near == pytest.approx([x, 100], abs=2.0)
    for branch in crack.branches:
        # OpenCV draws a thickness of 3 as 3 px or as 5, by its version
        assert branch.widths_px.mean() == pytest.approx(fork()[70].sum(), abs=0.1)
    # all lines together are as long as the crack, up to the last steps between vertices
    lengths = [np.hypot(*np.diff(points, axis=0).T).sum() for points in crack.lines]
    assert sum(lengths) == pytest.approx(crack.length_px, rel=0.01)
    straight, = measured(line(0.3, 150.0, 5.0))
    assert straight.branches == ()


def test_the_overlay_draws_every_branch():
    mask = fork()
    drawn = draw_overlay(np.full((*mask.shape, 3), 128, np.uint8), mask * np.uint8(255),
                         measured(mask))
    assert drawn_near(drawn, 50, 100) and drawn_near(drawn, 150, 100)
    assert drawn_near(drawn, 80, 70) and drawn_near(drawn, 120, 130)
    assert not drawn_near(drawn, 80, 130)


@pytest.mark.parametrize('index', [10, 14, 16])
def test_every_long_line_of_a_simulated_frames_mask_is_drawn(index):
    # cracks of this tunnel fork in view: the truth's own mask, as a perfect segmenter would give
    drive = SimulationSettings(seed=36, frames=40, cameras=spread_cameras(('left', 'right')))
    frame = render_frame(drive, drive.cameras[0], index)
    mask = frame.mask
    cracks = measured(mask > 0)
    away = np.ones(mask.shape, np.uint8)
    for crack in cracks:
        cv2.polylines(away, [np.round(points).astype(np.int32).reshape(-1, 1, 2)
                             for points in crack.lines], False, 0)
    lines = skeletonize(mask > 0)
    assert lines.sum() > 300 and any(crack.branches for crack in cracks)
    far = lines & (cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > 6.0)
    count, _, pieces, _ = cv2.connectedComponentsWithStats(far.astype(np.uint8), connectivity=8)
    # spurs may be left out, lines of 20 px may not
    assert count == 1 or pieces[1:, cv2.CC_STAT_AREA].max() < 20


def test_the_overlay_marks_cracks_and_leaves_the_frame_alone():
    mask = line(0.4, 150.0, 5.0).astype(np.uint8) * np.uint8(255)
    frame = np.full((301, 301, 3), 128, np.uint8)
    drawn = draw_overlay(frame, mask, measured(mask > 0))
    assert (frame == 128).all()
    assert (drawn != 128).any(axis=2).sum() > 300
    assert np.array_equal(draw_overlay(frame, np.zeros_like(mask), []), frame)
