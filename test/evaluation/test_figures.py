# SPDX-License-Identifier: Apache-2.0
"""Figures show what they are given: read back from the files, pixel by pixel where it matters."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.evaluation import canvas
from tunnel_crack_ros.evaluation.agreement import CURVE_THRESHOLDS
from tunnel_crack_ros.evaluation.canvas import BLUE, GREEN, ORANGE, RED
from tunnel_crack_ros.evaluation.chart import COLOURS
from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.evaluation.draw_evaluation import titles, varied
from tunnel_crack_ros.evaluation.figures import (
    draw_curves,
    draw_faults,
    draw_model_grid,
    draw_precision_recall,
    draw_predictions,
    ModelRow,
    Prediction,
)
from tunnel_crack_ros.evaluation.score_image import ImageScore

GREY_WALL = np.full((120, 160, 3), 140, np.uint8)


def has(picture, colour):
    return bool((picture == np.array(colour, np.uint8)).all(axis=2).any())


def read(path):
    return cv2.imread(str(path))[:, :, ::-1]


def stripe(row, height=6):
    mask = np.zeros((120, 160), bool)
    mask[row:row + height] = True
    return mask


@pytest.mark.parametrize('probability, has_crack, seen, unseen', [
    (0.9, True, GREEN, RED), (0.9, False, RED, GREEN),
    (0.1, True, RED, GREEN), (0.3, True, GREEN, RED)])      # the threshold itself is crack
def test_wrong_verdicts_are_red_and_right_ones_green(probability, has_crack, seen, unseen,
                                                     tmp_path):
    figure = read(draw_predictions([Prediction(GREY_WALL, probability, 0.3, has_crack, 'wall')],
                                   tmp_path / 'deep' / 'a.png'))
    assert has(figure, seen) and not has(figure, unseen)


def test_a_verdict_keeps_its_words_in_the_wider_letters_of_opencv_4(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(canvas, 'text_width', lambda text: round(8.6 * len(text)))
    monkeypatch.setattr(canvas, 'write', lambda _, text, *__: written.append(text))
    draw_predictions([Prediction(GREY_WALL, 0.2, 0.3, True, 'wall')], tmp_path / 'a.png')
    assert written == ['no crack, p = 0.20: WRONG', 'wall']


def test_faults_have_the_colours_of_the_key():
    painted = draw_faults(GREY_WALL, stripe(20) | stripe(60), stripe(20) | stripe(90))
    assert painted[22, 80].tolist() == [0, 190, 70]     # hit
    assert tuple(painted[63, 80]) == ORANGE             # false
    assert tuple(painted[93, 80]) == BLUE               # missed
    assert len(set(painted[5, 80].tolist())) == 1       # the photograph, grey


def test_what_the_tolerance_forgives_is_paler():
    painted = draw_faults(GREY_WALL, stripe(20, 8), stripe(20, 6))
    assert tuple(painted[27, 80]) != ORANGE and len(set(painted[27, 80].tolist())) == 3


def test_a_hairline_survives_a_quarter_of_the_size():
    hairline = stripe(61, 1)
    small = draw_faults(GREY_WALL, np.zeros_like(hairline), hairline, (40, 30))
    assert small.shape == (30, 40, 3)
    assert (small == BLUE).all(axis=2).any(axis=0).all()    # in every column


def test_grid_has_a_column_a_model_and_a_row_a_picture(tmp_path):
    def grid(models, rows):
        return read(draw_model_grid(
            [ModelRow('wall', GREY_WALL, stripe(20), dict.fromkeys(models, stripe(60)))] * rows,
            tmp_path / 'grid.png'))

    small, wide, high = grid('a', 1), grid('ab', 1), grid('a', 2)
    assert wide.shape[0] == small.shape[0] and wide.shape[1] > small.shape[1]
    assert high.shape[1] == small.shape[1] and high.shape[0] > small.shape[0]
    assert has(small, ORANGE) and has(small, BLUE)


def test_nothing_hides_what_was_marked_in_a_corner(tmp_path):
    corner = np.zeros((120, 160), bool)
    corner[112:, 140:] = True
    nothing = np.zeros_like(corner)
    figure = read(draw_model_grid([ModelRow('wall', GREY_WALL, nothing, {'a': corner})],
                                  tmp_path / 'grid.png'))
    below_the_key = figure[40:]
    assert (below_the_key == ORANGE).all(axis=2).sum() >= 0.9 * 4 * corner.sum()  # twice as large


def test_curves_of_several_models_each_have_a_line(tmp_path):
    for name, losses in (('a', (1.0, 0.5)), ('b', (0.9, 0.7))):
        (tmp_path / f'{name}.csv').write_text(
            'epoch,loss,seconds,validation_score,threshold\n'
            f'1,{losses[0]},9.0,,\n2,{losses[1]},9.0,0.8,0.4\n')
    figure = read(draw_curves({name: tmp_path / f'{name}.csv' for name in 'ab'},
                              tmp_path / 'curves.png'))
    left, right = figure[:400, :560], figure[:400, 580:]
    for colour in COLOURS[:2]:
        assert has(left, colour)
    assert has(right, COLOURS[1])       # drawn last, over the other's equal score


@pytest.mark.parametrize('word', ['nan', 'inf'])
def test_an_epoch_without_a_number_is_left_out_of_the_curves(tmp_path, word):
    (tmp_path / 'a.csv').write_text('epoch,loss,seconds,validation_score,threshold\n'
                                    f'1,{word},9.0,{word},0.4\n2,1.0,9.0,0.7,0.4\n')
    assert has(read(draw_curves({'a': tmp_path / 'a.csv'}, tmp_path / 'curves.png')), COLOURS[0])


def test_a_table_of_something_else_is_no_curve(tmp_path):
    (tmp_path / 'a.csv').write_text('x,y\n1,2\n')
    with pytest.raises(ValueError, match='no table of epochs with the column loss'):
        draw_curves({'a': tmp_path / 'a.csv'}, tmp_path / 'curves.png')


def test_precision_over_recall_leaves_unknown_points_out(tmp_path):
    falling = np.linspace(1, 0, len(CURVE_THRESHOLDS)).tolist()
    rising = [*np.linspace(0.2, 0.9, len(CURVE_THRESHOLDS) - 1).tolist(), None]
    curve = {'threshold': CURVE_THRESHOLDS.tolist(), 'recall': falling, 'precision': rising,
             'recall_tolerant': falling, 'precision_tolerant': rising}
    figure = read(draw_precision_recall({'a': curve}, tmp_path / 'pr.png', {'a': 0.4}))
    assert has(figure[:400], COLOURS[0])


def test_nothing_to_draw_is_refused(tmp_path):
    for draw in (draw_predictions, draw_model_grid):
        with pytest.raises(ValueError, match='nothing to draw'):
            draw([], tmp_path / 'a.png')
    with pytest.raises(ValueError, match='nothing to draw'):
        canvas.stacked([])      # insertion curves, where nothing is marked in any picture


def test_every_source_and_label_is_among_the_pictures_chosen():
    scores = [ImageScore(CrackImage(source, f'{number:02}', 'test', cracked, Path(), Path(), ''),
                         None, None)
              for source, cracked in (('big', True), ('small', True), ('small', False))
              for number in range(40 if source == 'big' else 2)]
    chosen = varied(scores, 6)
    kinds = [(score.image.source, score.image.has_crack) for score in chosen]
    assert sorted(kinds) == sorted([('big', True), ('small', True), ('small', False)] * 2)
    assert len(varied(scores, 99)) <= len(scores)


def test_models_of_one_name_are_told_apart_by_their_folders():
    assert list(titles(['a/net.best.pt', 'b/net.best.pt', 'other', 'other'])) == [
        'a/net', 'b/net', 'other']
    for names in (['runs/a.onnx', 'runs/a.best.pt'], ['x/runs/a.best.pt', 'y/runs/a.best.pt'],
                  ['a.onnx', 'runs/a.onnx']):
        assert list(titles(names).values()) == names
    assert list(titles(['a.onnx', 'runs/a.onnx'])) == ['a', 'runs/a']
