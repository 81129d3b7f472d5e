# SPDX-License-Identifier: Apache-2.0
"""The benchmark of explanations on a small rendered frame with the shipped segmenter."""

import json
import sys

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tunnel_crack_ros.bench.explain import measure_explain
from tunnel_crack_ros.bench.explanation_trials import around_crack, library_of
from tunnel_crack_ros.cli import app
from tunnel_crack_ros.explanation_sheet import draw_sheet
from tunnel_crack_ros.simulation import render_single
from tunnel_crack_ros.vision import CrackSegmenter, Model
from tunnel_crack_ros.vision.model_folder import SEGMENTER
from tunnel_crack_ros.vision.picture_file import write_picture
from tunnel_crack_ros.vision.score_cam import ScoreCam


@pytest.fixture(scope='module')
def report():
    model = Model.load(SEGMENTER, with_taps=True)
    layer = list(model.card.taps)[0]
    return measure_explain(model, [render_single(3, (128, 96), 1.0, True).rgb], layers=[layer])


def test_exact_maps_are_those_of_the_equations(report):
    assert report.exact_correlation > 0.999


def test_every_promised_number_is_there(report):
    found = json.loads(json.dumps(report.to_json_dict()))
    assert {'exact_correlation', 'fast_spearman_median', 'fast_spearman_worst',
            'fast_pass_share', 'fast_to_exact_time', 'exact_to_grad_cam_library_time',
            'first_map_seconds', 'deadline_kept'} <= found.keys()
    assert 0.0 < found['fast_pass_share'] < 1.0
    assert found['exact_to_grad_cam_library_time'] is None     # nobody gave the library
    assert -1.0 <= found['fast_spearman_worst'] <= found['fast_spearman_median'] <= 1.0
    assert -1.0 <= found['fast_spearman_drawn_worst'] <= 1.0
    assert [row[0] for row in report.rows()][-1] == 'all'
    assert all(len(row) == len(report.columns) for row in report.rows())


def test_pictures_in_which_nothing_is_marked_are_left_out_and_counted():
    model = Model.load(SEGMENTER, with_taps=True)
    grey, cracked = np.full((96, 128, 3), 120, np.uint8), render_single(3, (128, 96), 1.0, True)
    found = measure_explain(model, [grey, cracked.rgb], layers=['decoder'])
    assert (found.images, found.left_out) == (1, 1)
    with pytest.raises(ValueError, match='marks nothing in any of 1 pictures'):
        measure_explain(model, [grey], layers=['decoder'])


def test_whoever_has_no_grad_cam_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pytorch_grad_cam', None)
    library, missing = library_of(SEGMENTER)
    assert library is None and 'make setup-training' in missing


def test_a_folder_without_pictures_is_one_line_and_exit_code_1(tmp_path):
    result = CliRunner().invoke(app, ['bench', 'explain', '--data', str(tmp_path)])
    assert result.exit_code == 1


@pytest.mark.parametrize(('row', 'width', 'left'), [
    (5, 120, 40), (60, 120, 40), (95, 120, 100), (60, 20, 20),
])
def test_a_crop_is_around_the_crack_and_within_the_picture(row, width, left):
    """At a border it is moved inwards, and a narrow picture keeps its width."""
    frame, label = np.zeros((100, width, 3), np.uint8), np.zeros((100, width), bool)
    label[row, left - 17:left - 3] = True
    frame[label] = 255
    cut = around_crack(frame, label, 40)
    assert cut.shape == (40, min(width, 40), 3)
    assert cut.any(axis=2).sum() == label.sum()


def test_photographs_are_cut_for_networks_of_many_channels(tmp_path):
    shot = render_single(3, (160, 120), 1.0, True)
    for kind, picture in (('images', shot.rgb[:, :, ::-1]), ('masks', shot.mask)):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / 'one.png'), picture)
    result = CliRunner().invoke(app, [
        'bench', 'explain', '--data', str(tmp_path), '--crop', '64', '--layers', 'decoder',
        '--json', str(tmp_path / 'found.json')])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / 'found.json').read_text())['images'] == 1


def test_a_square_frame_is_compared_at_the_size_that_the_network_sees():
    model = Model.load(SEGMENTER, with_taps=True)
    frame = np.ascontiguousarray(render_single(0, (204, 204), 1.0, True).rgb)
    found = measure_explain(model, [frame], layers=['decoder'])
    assert found.exact_correlation > 0.999


def test_the_sheet_explains_the_mask_that_it_outlines(tmp_path, monkeypatch):
    asked = []
    explain = ScoreCam.explain
    monkeypatch.setattr(ScoreCam, 'explain', lambda *a, **k: asked.append(k) or explain(*a, **k))
    cracked = render_single(3, (256, 192), 1.0, True).rgb
    for name, frame in (('cracked', cracked), ('clean', np.full_like(cracked, 150))):
        write_picture(tmp_path / f'{name}.png', frame)
        said = CliRunner().invoke(app, [
            'explain', str(tmp_path / f'{name}.png'), '--out', str(tmp_path / f'{name}_map.png'),
            '--layers', 'decoder', '--deadline', '0'])
        assert said.exit_code == 0, said.output
        assert ('nothing is predicted' in said.output) == (name == 'clean')
    mask = CrackSegmenter(Model.load(SEGMENTER)).segment(cracked).mask
    assert mask.any() and np.array_equal(asked[0]['region'], mask > 0)
    assert asked[1]['region'] is None


def test_a_sheet_shows_one_map_under_all_its_names():
    model = Model.load(SEGMENTER, with_taps=True)
    frame = render_single(3, (128, 96), 1.0, True).rgb
    once, twice = (draw_sheet(frame, ScoreCam(model).explain(frame, layers, deadline_s=0.0))
                   for layers in (['layer4'], ['layer4', 'high_level']))
    assert once.shape == twice.shape
    assert (once != twice).any()    # the other name
