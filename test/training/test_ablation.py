# SPDX-License-Identifier: Apache-2.0
"""A line of an ablation changes one thing, and all lines are scored on the same images."""

from dataclasses import asdict

import pytest

from tunnel_crack_ros.training.ablation import ablate, ablation_lines, FULL
from tunnel_crack_ros.training.recipes import OURS

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


def test_an_unknown_line_is_refused(drawn_cracks, tmp_path):
    with pytest.raises(ValueError, match='no line no_luck; expected some of full, other_seed, '):
        ablate(CLASSIFIER, drawn_cracks, tmp_path, epochs=1, samples=16, simulated=0,
               only=['no_luck'])
