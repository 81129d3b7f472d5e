# SPDX-License-Identifier: Apache-2.0
"""Training learns, repeats itself and goes on where it stopped."""

from dataclasses import replace
import shutil

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tunnel_crack_ros.cli import app
from tunnel_crack_ros.evaluation.crack_dataset import DatasetError
from tunnel_crack_ros.training.checkpoint import read_checkpoint, read_run
from tunnel_crack_ros.training.fit import rising_average, split_images, train
from tunnel_crack_ros.training.licences import most_of_each
from tunnel_crack_ros.training.recipes import PAPER, Recipe
from tunnel_crack_ros.training.samples import SampleMix
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.model_folder import find_card

pytestmark = pytest.mark.training

CLASSIFIER = 'efficientnet_lite0_classifier'
SEGMENTER = 'unet_efficientnet_lite0_segmenter'
SHORT = Recipe(epochs=2, samples_per_epoch=8, batch_size=4, learning_rate=1e-3,
               source_weights={}, mix=SampleMix(distractor_share=0.0, paste_share=0.0),
               crop_side=64, average_decay=0.5)
SMALL = replace(SHORT, input_side=96)   # a classifier's own 448 px take twenty times as long
SHORTEST = {CLASSIFIER: SMALL, SEGMENTER: SHORT}


def weights(path):
    return read_checkpoint(path)['network']


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


class Interrupted(Exception):
    """Somebody stopped the run."""


def stop_after_first(epoch):
    if epoch.number == 1:
        raise Interrupted


def metric(path, name):
    return next(entry['value'] for entry in read_checkpoint(path)['validation']['metrics']
                if entry['name'] == name)


def test_classifier_learns_a_tiny_set(drawn_cracks, tmp_path):
    losses = []
    recipe = replace(SHORT, epochs=3, samples_per_epoch=64, batch_size=8, learning_rate=5e-4,
                     average_decay=0.8, input_side=160)
    best = train(CLASSIFIER, drawn_cracks, tmp_path, recipe=recipe,
                 on_epoch=lambda epoch: losses.append(epoch.loss))
    assert losses[-1] < 0.6 * losses[0]
    assert metric(best, 'accuracy') == 1.0


def test_segmenter_learns_a_tiny_set(drawn_cracks, tmp_path):
    recipe = replace(SHORT, epochs=5, samples_per_epoch=48, batch_size=8, learning_rate=2e-3,
                     average_decay=0.8, crop_side=96, validate_every=5)
    best = train(SEGMENTER, drawn_cracks, tmp_path, recipe=recipe)
    assert metric(best, 'f1') > 0.6


def test_a_short_run_keeps_nothing_of_its_start_and_a_long_one_averages_slowly():
    update, average = rising_average(0.99), torch.ones(3)
    for count in range(1, 101):
        update([average], [torch.zeros(3)], torch.tensor(count))
    assert average.max() < 1e-6     # with 0.99 from the start: 0.37
    update([average], [torch.ones(3)], torch.tensor(5000))
    assert average == pytest.approx(torch.full((3,), 0.01), rel=1e-3)


@pytest.mark.parametrize('model', [CLASSIFIER, SEGMENTER])
def test_a_seed_gives_the_same_run(drawn_cracks, tmp_path, model):
    recipe = SHORTEST[model]
    first = train(model, drawn_cracks, tmp_path / 'a', recipe=recipe, seed=5,
                  pretrained=False)
    again = train(model, drawn_cracks, tmp_path / 'b', recipe=recipe, seed=5,
                  pretrained=False)
    other = train(model, drawn_cracks, tmp_path / 'c', recipe=recipe, seed=6,
                  pretrained=False)
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize('model', [CLASSIFIER, SEGMENTER])
def test_a_stopped_run_resumes_to_the_same_weights(drawn_cracks, tmp_path, model):
    recipe = SHORTEST[model]
    train(model, drawn_cracks, tmp_path / 'whole', recipe=recipe)
    with pytest.raises(Interrupted):
        train(model, drawn_cracks, tmp_path / 'stopped', recipe=recipe, on_epoch=stop_after_first)
    train(model, drawn_cracks, tmp_path / 'stopped', recipe=recipe, resume=True)
    whole, stopped = (read_run(tmp_path / run / f'{model}.last.pt')['run']
                      for run in ('whole', 'stopped'))
    assert same(whole['network'], stopped['network'])
    assert same(whole['average'], stopped['average'])
    curves = [(tmp_path / run / f'{model}.curves.csv').read_text().splitlines()
              for run in ('whole', 'stopped')]
    assert [len(lines) for lines in curves] == [3, 3]


def test_the_command_validates_as_often_as_asked_and_at_the_end(drawn_cracks, tmp_path):
    result = CliRunner().invoke(app, [
        'train', SEGMENTER, '--data', str(drawn_cracks), '--out', str(tmp_path), '--epochs', '3',
        '--samples', '4', '--batch', '4', '--crop', '64', '--validate-every', '2'])
    assert result.exit_code == 0, result.output
    lines = (tmp_path / f'{SEGMENTER}.curves.csv').read_text().splitlines()
    assert [line.split(',')[3] != '' for line in lines[1:]] == [False, True, True]


@pytest.mark.parametrize('changed, message', [
    ({'recipe': replace(SHORT, epochs=3)}, 'recipe.epochs'),
    ({'recipe': replace(SHORT, learning_rate=2e-3)}, 'recipe.learning_rate'),
    ({'seed': 7}, 'seed')])
def test_another_run_is_not_gone_on_with(drawn_cracks, tmp_path, changed, message):
    with pytest.raises(Interrupted):
        train(SEGMENTER, drawn_cracks, tmp_path, recipe=SHORT, on_epoch=stop_after_first)
    with pytest.raises(ValueError, match=f'was trained with another {message}; expected'):
        train(SEGMENTER, drawn_cracks, tmp_path, **{'recipe': SHORT, **changed}, resume=True)


def test_neighbours_of_a_drive_are_held_out_together(tmp_path):
    folder = tmp_path / 'drive'
    folder.mkdir()
    for number in range(1, 41):
        cv2.imwrite(str(folder / f'frame_{number}.png'), np.full((8, 8), 99, np.uint8))
    images, labels = tmp_path / 'own' / 'images', tmp_path / 'own' / 'masks'
    images.mkdir(parents=True)
    labels.mkdir()
    for number in range(1, 31):
        cv2.imwrite(str(images / f'{number}.png'), np.full((8, 8), 99, np.uint8))
        cv2.imwrite(str(labels / f'{number}.png'), np.full((8, 8), 255, np.uint8))
    training, validating = split_images(tmp_path / 'own', SHORT, 0, [folder], tmp_path)
    assert [image.stem for image in validating] == [
        '1', '2', '3', 'frame_1', 'frame_2', 'frame_3', 'frame_4']
    assert len(training) == 27 + 36


def test_start_from_another_encoder_is_refused(drawn_cracks, tmp_path):
    best = train(CLASSIFIER, drawn_cracks, tmp_path, recipe=replace(SMALL, epochs=1))
    other = 'deeplabv3plus_resnet18_segmenter'
    with pytest.raises(ValueError, match=f'holds {CLASSIFIER}, whose encoder is not'):
        train(other, drawn_cracks, tmp_path, recipe=SHORT, start_from=best)


def test_resume_from_another_model_is_refused(drawn_cracks, tmp_path):
    train(CLASSIFIER, drawn_cracks, tmp_path, recipe=replace(SMALL, epochs=1))
    (tmp_path / f'{CLASSIFIER}.last.pt').rename(tmp_path / f'{SEGMENTER}.last.pt')
    with pytest.raises(ValueError, match=f'checkpoint of {CLASSIFIER}; expected {SEGMENTER}'):
        train(SEGMENTER, drawn_cracks, tmp_path, recipe=SHORT, resume=True)


def test_unknown_model_is_named(drawn_cracks, tmp_path):
    with pytest.raises(ValueError, match="unknown model 'resnet'; expected one of "):
        train('resnet', drawn_cracks, tmp_path)


def test_nothing_to_resume_is_an_error(drawn_cracks, tmp_path):
    with pytest.raises(ValueError, match='no such checkpoint'):
        train(CLASSIFIER, drawn_cracks, tmp_path, recipe=SHORT, resume=True)


@pytest.mark.parametrize('model', [CLASSIFIER, SEGMENTER])
def test_the_papers_recipe_keeps_the_epoch_of_the_lowest_loss(drawn_cracks, tmp_path, model):
    task = model.rsplit('_', 1)[1]
    recipe = replace(PAPER[task], epochs=2, batch_size=2, step_epochs=1,
                     input_side=SHORTEST[model].input_side)
    seen = []
    best = train(model, drawn_cracks, tmp_path, recipe=recipe, on_epoch=seen.append)
    assert [epoch.number for epoch in seen] == [1, 2]
    assert read_checkpoint(best)['epoch'] == max(e.number for e in seen if e.is_best)


def test_photographs_without_crack_are_mixed_in(drawn_cracks, tmp_path):
    clean = tmp_path / 'my_tunnel'
    clean.mkdir()
    for number in range(10):
        shutil.copy(drawn_cracks / 'images' / '00.png', clean / f'{number}.png')
    best = train(CLASSIFIER, drawn_cracks, tmp_path, recipe=SMALL, without_crack=[clean])
    assert read_checkpoint(best)['training_data']['my_tunnel'] == 9
    with pytest.raises(DatasetError, match='nothing_there: no such folder'):
        train(CLASSIFIER, drawn_cracks, tmp_path, recipe=SMALL,
              without_crack=[tmp_path / 'nothing_there'])


def test_what_taught_the_start_stands_in_the_checkpoint(drawn_cracks, tmp_path):
    """Else a card would not tell whose pictures the weights have seen."""
    first = train(CLASSIFIER, drawn_cracks, tmp_path / 'first', recipe=SMALL, simulated=6)
    seen = read_checkpoint(first)['training_data']
    assert 'simulated' in seen
    second = train(CLASSIFIER, drawn_cracks, tmp_path / 'second', recipe=SMALL, start_from=first)
    assert read_checkpoint(second)['training_data'] == seen


def test_what_taught_a_deployed_start_stands_in_the_checkpoint(drawn_cracks, tmp_path):
    start = find_card(SEGMENTER).with_suffix('.onnx')
    best = train(SEGMENTER, drawn_cracks, tmp_path, recipe=replace(
        SHORT, epochs=1, samples_per_epoch=2, batch_size=2), start_from=start)
    seen = read_checkpoint(best)['training_data']
    assert seen.items() > {each['name']: each['images'] for each in
                           ModelCard.read(find_card(SEGMENTER)).training_data}.items()


def test_a_source_met_twice_counts_once():
    assert most_of_each({'wall': 5, 'arch': 2}, {}, {'wall': 3, 'mine': 1}) == {
        'arch': 2, 'mine': 1, 'wall': 5}
