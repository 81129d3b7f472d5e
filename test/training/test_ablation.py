# SPDX-License-Identifier: Apache-2.0
"""A line of an ablation changes one thing, and all lines are scored on the same images."""

from dataclasses import asdict, replace

import pytest

from tunnel_crack_ros.training.ablation import ablate, ablation_lines, FULL
from tunnel_crack_ros.training.fit import train
from tunnel_crack_ros.training.recipes import of_sources, OURS, without_parts

pytestmark = pytest.mark.training

CLASSIFIER = 'mobilenet_v3_classifier'


def changed(line, full):
    """Names of what a line changes."""
    values, before = asdict(line.recipe), asdict(full.recipe)
    mix, mix_before = values.pop('mix'), before.pop('mix')
    return ([name for name in values if values[name] != before[name]]
            + [name for name in mix if mix[name] != mix_before[name]]
            + [name for name in ('simulated', 'seed')
               if getattr(line, name) != getattr(full, name)])


@pytest.mark.parametrize('model', ['densenet169_classifier', 'unet_efficientnet_lite0_segmenter'])
def test_each_line_changes_one_thing_of_the_full_recipe(model):
    full, *others = ablation_lines(model, OURS[model.rsplit('_', 1)[1]], 100, 0)
    assert full.name == FULL and not changed(full, full)
    assert [len(changed(line, full)) for line in others] == [1] * len(others)
    assert len({line.name for line in others}) == len(others)
    what = {name for line in others for name in changed(line, full)}
    assert what >= {'simulated', 'seed', 'distractor_share', 'paste_share', 'thin_labels', 'vary'}
    assert ('crop_side' in what) == ('silence' in what) == model.endswith('segmenter')


def test_lines_are_trained_and_told_apart_from_those_not_run(drawn_cracks, tmp_path):
    table = ablate(CLASSIFIER, drawn_cracks, tmp_path, epochs=1, samples=16, simulated=0,
                   only=[FULL, 'no_variation'])
    assert (tmp_path / 'ablation.md').read_text() == table
    rows = {cells[1].strip(): cells[2:] for cells in (
        line.split('|') for line in table.splitlines() if line.startswith('|'))}
    score = float(rows['full recipe'][0])
    without, difference = rows['no change of light, colour, blur, noise, JPEG'][0].split()
    assert float(difference.strip('()')) == pytest.approx(float(without) - score, abs=0.0011)
    assert rows['no drawn distractors'][0].strip() == 'not run'


def test_all_lines_may_start_from_a_checkpoint_and_the_table_names_it(drawn_cracks, tmp_path):
    recipe = without_parts(replace(OURS['classifier'], epochs=1, samples_per_epoch=16,
                                   batch_size=8))
    start = train(CLASSIFIER, drawn_cracks, tmp_path / 'start', recipe=recipe, pretrained=False)
    budget = {'epochs': 1, 'samples': 16, 'simulated': 0, 'only': [FULL]}
    table = ablate(CLASSIFIER, drawn_cracks, tmp_path, start_from=start, **budget)
    assert f'all from {CLASSIFIER}.best.pt@' in table
    with pytest.raises(ValueError, match='trained with another start_from'):
        ablate(CLASSIFIER, drawn_cracks, tmp_path, **budget)
    with pytest.raises(ValueError, match='nowhere.pt: no such checkpoint to start from'):
        ablate(CLASSIFIER, drawn_cracks, tmp_path, start_from=tmp_path / 'nowhere.pt', **budget)


def test_a_recipe_of_some_sources_draws_from_no_other():
    recipe = OURS['segmenter']
    found = of_sources(recipe, ['asphalt_cfd118', 'uav75'], ['asphalt_cfd118', 'mine', 'uav75'])
    assert found.source_weights['uav75'] == recipe.source_weights['uav75']
    assert found.source_weights['asphalt_cfd118'] > 0.0 == found.source_weights['mine']
    with pytest.raises(ValueError, match='no source yours; expected some of mine, uav75'):
        of_sources(recipe, ['yours'], ['uav75', 'mine'])


def test_an_unknown_line_is_refused(drawn_cracks, tmp_path):
    with pytest.raises(ValueError, match='no line no_luck; expected some of full, other_seed, '):
        ablate(CLASSIFIER, drawn_cracks, tmp_path, epochs=1, samples=16, simulated=0,
               only=['no_luck'])
