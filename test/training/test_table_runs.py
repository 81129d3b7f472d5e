# SPDX-License-Identifier: Apache-2.0
"""The runs of a table: trained once, gone on with after a stop, never mixed with others."""

from dataclasses import replace

import pytest
import torch

from tunnel_crack_ros.training.checkpoint import read_checkpoint, read_run
from tunnel_crack_ros.training.recipes import Recipe
from tunnel_crack_ros.training.samples import SampleMix
from tunnel_crack_ros.training.table_runs import (
    finished_scores,
    Line,
    run_lines,
    start_sentence,
    Watch,
)

pytestmark = pytest.mark.training

MODEL = 'mobilenet_v3_classifier'
SHORT = Recipe(epochs=2, samples_per_epoch=8, batch_size=4, learning_rate=1e-3,
               source_weights={}, mix=SampleMix(distractor_share=0.0, paste_share=0.0))
LINE = Line('plain', 'as it is', MODEL, SHORT)


class Interrupted(Exception):
    """Somebody stopped the table."""


def stop_after_first(epoch):
    raise Interrupted


def epoch_of(line, best):
    return {'epoch': read_checkpoint(best, line.model)['epoch']}


def nothing():
    pass


def last_weights(out):
    return read_run(out / LINE.name / f'{MODEL}.last.pt')['run']['network']


@pytest.mark.parametrize(('model', 'pretrained', 'start'), [
    ('efficientnet_lite0_classifier', True, 'ImageNet'),
    ('efficientnet_lite0_classifier', False, 'random'),
    ('densenet169_classifier', True, 'random')])
def test_a_table_claims_no_weights_that_nobody_has(model, pretrained, start):
    line = replace(LINE, model=model, pretrained=pretrained)
    assert start_sentence(line) == f'all from {start} weights'


def test_a_stopped_table_goes_on_where_it_stopped(drawn_cracks, tmp_path):
    run_lines([LINE], drawn_cracks, tmp_path / 'whole', epoch_of, nothing)
    with pytest.raises(Interrupted):
        run_lines([LINE], drawn_cracks, tmp_path / 'stopped', epoch_of, nothing,
                  Watch(on_epoch=stop_after_first))
    assert finished_scores([LINE], drawn_cracks, tmp_path / 'stopped') == {}
    steps, told = [], []
    run_lines([LINE], drawn_cracks, tmp_path / 'stopped', epoch_of, lambda: told.append(1),
              Watch(on_step=lambda done, of, loss: steps.append(done)))
    assert steps == [3, 4]      # of the second epoch only
    assert told == [1]
    whole, stopped = (last_weights(tmp_path / run) for run in ('whole', 'stopped'))
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)

    begun = []
    run_lines([LINE], drawn_cracks, tmp_path / 'stopped', epoch_of, nothing,
              Watch(on_line=begun.append))
    assert begun == []          # finished: not trained again
    assert finished_scores([LINE], drawn_cracks, tmp_path / 'stopped')[LINE.name]['epoch'] in (
        1, 2)

    other = replace(LINE, recipe=replace(SHORT, epochs=3), seed=4)
    with pytest.raises(ValueError, match=r'another seed, recipe.epochs; take another --out'):
        run_lines([other], drawn_cracks, tmp_path / 'stopped', epoch_of, nothing)
    assert finished_scores([other], drawn_cracks, tmp_path / 'stopped') == {}
