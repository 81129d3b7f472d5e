# SPDX-License-Identifier: Apache-2.0
"""The sheet of `tunnel_crack explain` can be read: pictures of any shape, and all of its words."""

import numpy as np
import pytest
from typer.testing import CliRunner

from tunnel_crack_ros.cli import app
from tunnel_crack_ros.explanation_sheet import draw_sheet
from tunnel_crack_ros.vision.explain.heat_map import Explanation, HeatMap
from tunnel_crack_ros.vision.picture_file import write_picture
from tunnel_crack_ros.vision.score_cam import ScoreCam


def sheet(shape, layers=8, title='', mask=None):
    maps = [HeatMap(f'layer{number}', np.ones(shape, np.float32), np.zeros(3), 3, 1, 1, 0.5)
            for number in range(layers)]
    return draw_sheet(np.zeros((*shape, 3), np.uint8),
                      Explanation(maps, 0.5, 0.1, 3, 1.0, 0.5, False), mask, title)


@pytest.mark.parametrize('shape', [(448, 1), (32_767, 40), (1344, 20), (1, 448), (1, 1)])
def test_a_narrow_picture_makes_no_sheet_of_thousands_of_rows(shape):
    made = sheet(shape)
    assert max(made.shape) < 3000       # eight maps and the frame, in rows of four


def test_a_panorama_can_be_seen():
    black = (sheet((768, 12_288), 1) == 0).all(axis=2)      # as the frame is
    assert black.any(axis=1).sum() >= 85 and black.any(axis=0).sum() >= 1000


def test_the_outline_is_seen_in_a_narrow_picture():
    mask = np.zeros((3000, 600), np.uint8)
    mask[1000:2000, 200:400] = 255
    red, green, _ = np.moveaxis(sheet(mask.shape, 1, mask=mask).astype(int), 2, 0)
    assert ((red - green)[:, :160] > 60).sum() > 500      # 2 * 240 px high, 2 * 48 px wide


def test_what_stands_over_the_sheet_is_not_cut_off():
    head = sheet((96, 128), 1, '_' * 100)[:34]      # a line up to the words at its end
    assert (head < 200).any() and (head[:, -1] == 255).all()


def test_a_place_that_cannot_be_written_is_told_before_any_pass(tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError('passes were made')
    monkeypatch.setattr(ScoreCam, 'explain', never)
    picture = write_picture(tmp_path / 'a.png', np.full((32, 32, 3), 90, np.uint8))
    said = CliRunner().invoke(app, ['explain', str(picture), '--out', str(picture / 'b.png')])
    assert said.exit_code == 1 and 'error:' in said.output
