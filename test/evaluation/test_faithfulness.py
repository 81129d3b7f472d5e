# SPDX-License-Identifier: Apache-2.0
"""Measures of faithfulness on maps that are right and maps that are wrong, shipped segmenter."""

import json
import math

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tunnel_crack_ros.bench.explanation_trials import draw_curves, methods_of
from tunnel_crack_ros.cli import app
from tunnel_crack_ros.evaluation.faithfulness import (
    area_below,
    measure_faithfulness,
    SHARES,
)
from tunnel_crack_ros.simulation import render_single
from tunnel_crack_ros.vision import CrackSegmenter, Model
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, SEGMENTER
from tunnel_crack_ros.vision.score_cam import ScoreCam


@pytest.fixture(scope='module')
def cam():
    return ScoreCam(Model.load(SEGMENTER, with_taps=True))


@pytest.fixture(scope='module')
def picture(cam):
    """Return a rendered frame and what the segmenter marks in it, as its label."""
    for seed in range(3, 20):
        frame = np.ascontiguousarray(render_single(seed, (192, 160), 1.0, True).rgb)
        label = CrackSegmenter(cam.model).segment(frame).mask > 0
        if label.sum() > 200:
            return 'drawn', frame, label
    raise AssertionError('the segmenter marks none of the rendered cracks')


def fixed(values):
    return lambda frame, layers: dict.fromkeys(layers, values.astype(np.float32))


@pytest.fixture(scope='module')
def report(cam, picture):
    _, _, label = picture
    around = cv2.dilate(label.astype(np.uint8), np.ones((9, 9), np.uint8))
    return measure_faithfulness(cam, [picture], {
        'right': fixed(around), 'wrong': fixed(1 - around), 'empty': fixed(0 * around),
        'all': fixed(0 * around + 1)}, ['any'])


def test_a_right_map_beats_a_wrong_one(report):
    right, wrong = report.means('any', 'right'), report.means('any', 'wrong')
    assert right['insertion'] > wrong['insertion']
    assert right['deletion'] < wrong['deletion']
    assert right['pointing'] == 1.0
    assert right['on_label'] > wrong['on_label'] == 0.0


def test_curves_end_at_the_whole_and_at_the_blurred_picture(report):
    trial = report.trials[0]
    assert trial.insertion[-1] == pytest.approx(1.0)
    assert trial.deletion[0] == pytest.approx(1.0)
    assert trial.insertion[0] == pytest.approx(trial.deletion[-1])
    assert trial.insertion[0] < 0.5     # no crack is left in the blurred picture


def test_what_hides_nothing_drops_nothing(report):
    assert report.means('any', 'all')['average_drop'] == pytest.approx(0.0, abs=1e-6)
    assert report.means('any', 'empty')['average_drop'] > 0.9


def test_an_empty_map_points_nowhere(report):
    empty = report.means('any', 'empty')
    assert empty['pointing'] == 0.0 and math.isnan(empty['on_label'])
    assert json.loads(json.dumps(report.to_json_dict()))['maps'][2]['on_label'] is None


def test_area_below_a_straight_line_is_exact():
    assert area_below(np.array(SHARES)) == pytest.approx(0.5)


def test_a_picture_without_answer_is_counted_and_left_out(cam):
    label = np.zeros((64, 64), bool)
    label[30] = True
    report = measure_faithfulness(cam, [('grey', np.full((64, 64, 3), 150, np.uint8), label)],
                                  methods_of('random', cam, SEGMENTER), ['decoder'])
    assert (report.pictures, report.without_answer, report.rows()) == (0, 1, [])


def test_a_classifier_and_an_empty_label_are_refused(cam, picture):
    with pytest.raises(ValueError, match='is a classifier, expected a segmenter'):
        measure_faithfulness(ScoreCam(Model.load(CLASSIFIER, with_taps=True)), [], {}, [])
    with pytest.raises(ValueError, match='drawn: its label holds no crack'):
        measure_faithfulness(cam, [(*picture[:2], ~picture[2] & picture[2])], {}, [])


def test_the_command_writes_table_numbers_and_curves(cam, picture, tmp_path):
    for kind, values in (('images', cv2.cvtColor(picture[1], cv2.COLOR_RGB2BGR)),
                         ('masks', picture[2].astype(np.uint8) * 255)):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / 'a.png'), values)
    found = CliRunner().invoke(app, [
        'bench', 'faithfulness', '--data', str(tmp_path), '--layers', 'decoder', '--json',
        str(tmp_path / 'found.json'), '--plot', str(tmp_path / 'curves.png')])
    assert found.exit_code == 0, found.output
    numbers = json.loads((tmp_path / 'found.json').read_text())
    assert [(one['layer'], one['method']) for one in numbers['maps']] == [
        ('decoder', 'fast'), ('decoder', 'random')]
    assert numbers['maps'][0]['insertion'] > numbers['maps'][1]['insertion']
    assert cv2.imread(str(tmp_path / 'curves.png')) is not None
    assert '1 pictures, 0 more' in found.output


@pytest.mark.parametrize('colours', ['as rendered', 'red and blue swapped'])
def test_the_decoders_map_puts_the_crack_first(cam, picture, colours):
    name, frame, label = picture
    if colours != 'as rendered':    # faded to black, this picture's map is inside out
        frame = np.ascontiguousarray(frame[:, :, ::-1])
    found = measure_faithfulness(cam, [(name, frame, label)],
                                 methods_of('fast,random', cam, SEGMENTER), ['decoder'])
    fast, chance = (found.means('decoder', method) for method in ('fast', 'random'))
    assert fast['insertion'] > chance['insertion']
    assert fast['deletion'] < 0.5 * chance['deletion']


def test_unknown_kinds_of_maps_are_named(cam):
    with pytest.raises(ValueError, match="map 'lime' is unknown, expected some of fast, exact"):
        methods_of('lime', cam, SEGMENTER)
    with pytest.raises(ValueError, match='no kind of map was named'):
        methods_of(' , ', cam, SEGMENTER)


def test_curves_are_drawn_for_every_layer(report):
    assert draw_curves(report).shape[0] > 800
