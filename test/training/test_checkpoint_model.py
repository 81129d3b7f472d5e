# SPDX-License-Identifier: Apache-2.0
"""A checkpoint is scored as the file that is exported from it."""

import sys

import numpy as np
import pytest
import torch

from tunnel_crack_ros.evaluation.evaluate import evaluate, load_model
from tunnel_crack_ros.training.checkpoint_model import CheckpointModel
from tunnel_crack_ros.training.export import export
from tunnel_crack_ros.training.models import ARCHITECTURES
from tunnel_crack_ros.training.validation import Metric, Validation
from tunnel_crack_ros.vision import Model, ModelError

pytestmark = pytest.mark.training

CLASSIFIER, SEGMENTER = 'mobilenet_v3_classifier', 'deeplabv3plus_resnet18_segmenter'


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """Checkpoints of untrained networks: what they say does not matter here."""
    folder = tmp_path_factory.mktemp('checkpoints')
    for name in (CLASSIFIER, SEGMENTER):
        torch.manual_seed(1)
        validation = Validation(0.9, 0.4321, (Metric('f1', 0.5, 'drawn', 'val', 7),))
        torch.save({'model': name, 'network': ARCHITECTURES[name].build(False).state_dict(),
                    'validation': validation.to_dict(), 'training_data': {'uav75': 50}},
                   folder / f'{name}.best.pt')
    return folder


@pytest.mark.parametrize('name', [CLASSIFIER, SEGMENTER])
def test_it_gives_what_its_export_gives(checkpoints, name, tmp_path):
    made = export(checkpoints / f'{name}.best.pt', tmp_path)
    width, height = ARCHITECTURES[name].input_size
    noise = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    checkpoint = load_model(checkpoints / f'{name}.best.pt')
    found, expected = checkpoint.run(noise), Model.load(made.model).run(noise)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-3    # what `export` allows
    assert checkpoint.card.threshold == Model.load(made.model).card.threshold == 0.432


def test_checkpoints_are_evaluated_like_onnx_files(checkpoints, drawn_cracks):
    report = evaluate(drawn_cracks, classifier=checkpoints / f'{CLASSIFIER}.best.pt',
                      segmenter=checkpoints / f'{SEGMENTER}.best.pt')
    values = report.to_json_dict()
    assert values['classifier']['n'] == 12 and values['segmenter']['n'] == 6
    assert values['models']['segmenter'].startswith(f'{SEGMENTER}@')
    assert values['thresholds'] == {'classifier': 0.432, 'segmenter': 0.432}


def test_a_checkpoint_for_the_other_stage_is_refused(checkpoints):
    with pytest.raises(ModelError, match='is a classifier, expected a segmenter'):
        load_model(checkpoints / f'{CLASSIFIER}.best.pt', 'segmenter')


def test_what_is_no_best_checkpoint_is_refused(checkpoints, tmp_path):
    torch.save({'model': SEGMENTER, 'run': {}}, tmp_path / 'x.last.pt')
    (tmp_path / 'text.best.pt').write_text('no checkpoint')
    for name, message in (('x.last.pt', 'expected a .best.pt'), ('none.pt', 'no such checkpoint'),
                          ('text.best.pt', 'cannot be loaded')):
        with pytest.raises(ModelError, match=message):
            CheckpointModel.load_checkpoint(tmp_path / name)


def test_without_pytorch_it_says_what_to_install(checkpoints, monkeypatch):
    monkeypatch.delitem(sys.modules, 'tunnel_crack_ros.training.checkpoint_model')
    monkeypatch.setitem(sys.modules, 'torch', None)     # as if it were not installed
    with pytest.raises(ImportError, match='make setup-training'):
        load_model(checkpoints / f'{CLASSIFIER}.best.pt')
