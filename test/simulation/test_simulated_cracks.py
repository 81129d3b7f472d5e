# SPDX-License-Identifier: Apache-2.0
"""The cover of a pixel by a crack is what geometry says."""

import numpy as np
import pytest

from tunnel_crack_ros.simulation.cracks import cover, CrackLine, draw_crack, THINNEST_MM
from tunnel_crack_ros.simulation.view import View


def straight(width: float, angle: float, length: float = 150.0) -> CrackLine:
    along = np.arange(0, length + 0.25, 0.5) - length / 2
    points = np.column_stack([along * np.cos(angle), along * np.sin(angle)])
    return CrackLine(points, np.full(len(along), width), np.ones(len(along)))


@pytest.mark.parametrize('angle', [0.0, 0.3, np.pi / 4, 1.4])
@pytest.mark.parametrize('width', [0.3, 0.7, 1.0, 2.5, 6.0])
@pytest.mark.parametrize('mm_per_px', [0.5, 1.0])
def test_covered_area_is_width_times_length(width, angle, mm_per_px):
    view = View(0.3, 0.1, mm_per_px, 0.0, 400, 400)
    area = cover(view, [straight(width, angle)]).share.sum() * mm_per_px**2
    # Points 0.2 px apart scatter a little over the pixels' edges; full pixels lose the excess.
    assert area == pytest.approx(width * 150.0, rel=0.02)


def test_a_line_three_tenths_of_a_pixel_wide_covers_three_tenths():
    view = View(0.0, 0.0, 1.0, 0.0, 101, 101)       # pixel centres on whole millimetres
    share = cover(view, [straight(0.3, 0.0, 300.0)]).share
    assert share[50] == pytest.approx(0.3, abs=0.01)
    assert share[:50].max() == 0 and share[51:].max() == 0


def test_the_mask_of_a_wide_line_is_as_wide_and_of_a_hairline_one_pixel():
    view = View(0.0, 0.0, 1.0, 0.0, 101, 101)
    for width, rows in ((0.3, 1), (1.0, 1), (3.0, 3), (5.0, 5)):
        mask = cover(view, [straight(width, 0.0, 300.0)]).mask
        assert (mask.sum(axis=0) == rows).all()


def test_a_line_outside_the_frame_covers_nothing():
    view = View(1000.0, 0.0, 1.0, 0.0, 64, 64)
    covered = cover(view, [straight(3.0, 0.0)])
    assert not covered.share.any() and not covered.mask.any()


@pytest.mark.parametrize('seed', range(20))
def test_drawn_cracks_keep_their_promises(seed):
    crack = draw_crack(np.random.default_rng(seed), 1, 500.0, -300.0, max_width=4.0)
    for line in crack.lines:
        assert len(line.points) == len(line.width) == len(line.darkness) >= 2
        assert THINNEST_MM <= line.width.min() and line.width.max() <= 4.0
        # Free ends taper: the last vertices are thinner than the line at its widest.
        assert line.width[-3:].mean() < 0.5 * line.width.max() + THINNEST_MM


def test_cracks_are_crooked_but_go_somewhere():
    ratios = []
    for seed in range(60):
        points = draw_crack(np.random.default_rng(seed), 1, 0.0, 0.0, 6.0).lines[0].points
        way = np.hypot(*np.diff(points, axis=0).T).sum()
        ratios.append(way / np.hypot(*(points[-1] - points[0])))
    # Real cracks in concrete: length over chord about 1.05 .. 1.4.
    assert 1.05 < np.median(ratios) < 1.4
