# SPDX-License-Identifier: Apache-2.0
"""TensorBoard shows one unbroken curve, however often a run was stopped."""

from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tunnel_crack_ros.training.fit import train
from tunnel_crack_ros.training.recipes import Recipe
from tunnel_crack_ros.training.samples import SampleMix

pytestmark = pytest.mark.training

MODEL = 'mobilenet_v3_classifier'
SHORT = Recipe(epochs=2, samples_per_epoch=12, batch_size=4, learning_rate=1e-3,
               source_weights={}, mix=SampleMix(distractor_share=0.0, paste_share=0.0))


class Interrupted(Exception):
    """Somebody stopped the run."""


def stop_in_second_epoch(done, of, loss):
    if done == 5:
        raise Interrupted


def curves(out):
    found = EventAccumulator(str(out / 'tensorboard' / MODEL))
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)]
            for tag in found.Tags()['scalars']}


@pytest.fixture(scope='module')
def whole(drawn_cracks, tmp_path_factory):
    """Return a run never stopped: its folder and its epochs."""
    out, seen = tmp_path_factory.mktemp('whole'), []
    train(MODEL, drawn_cracks, out, recipe=SHORT, on_epoch=seen.append)
    return out, seen


def test_loss_rate_and_validation_are_shown(whole):
    out, seen = whole
    shown = curves(out)
    assert [step for step, _ in shown['loss/step']] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in shown['loss/epoch']] == [3, 6]
    assert [value for _, value in shown['loss/epoch']] == pytest.approx(
        [epoch.loss for epoch in seen])
    assert shown['validation/score'][1] == pytest.approx((6, seen[1].validation.score))
    assert 'accuracy/frames' in shown
    rates = [value for _, value in shown['learning_rate']]
    assert rates[0] == pytest.approx(0.05 * 1e-3)       # the first step of the warm-up
    assert rates[1] > rates[2] > rates[5] > 0


def test_a_resumed_run_continues_its_curves_and_a_new_one_replaces_them(
        drawn_cracks, tmp_path, whole):
    with pytest.raises(Interrupted):
        train(MODEL, drawn_cracks, tmp_path, recipe=SHORT, on_step=stop_in_second_epoch)
    train(MODEL, drawn_cracks, tmp_path, recipe=SHORT, resume=True)
    assert curves(tmp_path) == curves(whole[0])
    train(MODEL, drawn_cracks, tmp_path, recipe=replace(SHORT, epochs=1))
    assert [step for step, _ in curves(tmp_path)['loss/step']] == [1, 2, 3]
