# SPDX-License-Identifier: Apache-2.0
"""A shipped model's file becomes a network again that can be trained further."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tunnel_crack_ros.training.checkpoint import read_checkpoint
from tunnel_crack_ros.training.deployed_weights import load_deployed
from tunnel_crack_ros.training.export import compare, export
from tunnel_crack_ros.training.fit import train
from tunnel_crack_ros.training.models import architecture
from tunnel_crack_ros.training.recipes import OURS
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, find_card, SEGMENTER

pytestmark = pytest.mark.training


def _pictures(model: str) -> torch.Tensor:
    width, height = architecture(model).input_size
    return torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8,
                         generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('model', [CLASSIFIER, SEGMENTER, 'densenet169_classifier',
                                   'deeplabv3plus_resnet101_segmenter'])
def test_network_answers_as_its_file_does(model: str) -> None:
    """All shipped models, on noise of several sizes, however small their files are stored."""
    path = find_card(model).with_suffix('.onnx')
    card = ModelCard.read(path.with_suffix('.yaml'))
    # a classifier's file takes one size, which need not be that of its training
    plan = architecture(model, card.input_size[0] if card.task == 'classifier' else 0)
    network = plan.build(False)
    assert compare(network, plan, path, []) > 1e-3      # else the weights would not matter
    load_deployed(network, model, path, _pictures(model))
    assert compare(network, plan, path, []) < 1e-5      # float32 rounding


@pytest.mark.parametrize('model', ['deeplabv3plus_resnet18_segmenter', 'densenet169_classifier'])
def test_normalisations_that_export_leaves_come_back_too(model: str, tmp_path: Path) -> None:
    """Layers of a DenseNet normalise before they convolve: such are not folded."""
    torch.manual_seed(0)
    plan, network = architecture(model), architecture(model).build(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    torch.save({'model': model, 'network': network.state_dict(), 'training_data': {},
                'validation': {'score': 0.0, 'threshold': 0.5, 'metrics': []}},
               tmp_path / 'start.best.pt')
    path = export(tmp_path / 'start.best.pt', tmp_path).model
    other = plan.build(False)
    load_deployed(other, model, path, _pictures(model))
    assert compare(other, plan, path, []) < 1e-4


def test_training_goes_on_from_a_shipped_model(drawn_cracks: Path, tmp_path: Path) -> None:
    """After one small step the network still answers nearly as before."""
    path = find_card(SEGMENTER).with_suffix('.onnx')
    recipe = replace(OURS['segmenter'], epochs=1, samples_per_epoch=2, batch_size=2,
                     crop_side=96, learning_rate=1e-6, average_decay=0.0)
    best = train(SEGMENTER, drawn_cracks, tmp_path, recipe=recipe, start_from=path)
    plan = architecture(SEGMENTER)
    network = plan.build(False)
    network.load_state_dict(read_checkpoint(best)['network'])
    picture = _pictures(SEGMENTER)[:1]
    fresh = plan.build(False)
    load_deployed(fresh, SEGMENTER, path, picture)
    normal = (picture.permute(0, 3, 1, 2).float() - 127.0) / 128.0
    with torch.inference_mode():
        before, after = (each.eval()(normal).sigmoid() for each in (fresh, network))
    # batch statistics moved by a tenth of the way to two small crops
    assert float((before - after).abs().mean()) < 0.05


def test_file_of_another_model_is_refused(tmp_path: Path) -> None:
    """The error names the file, what it is and what was expected."""
    network = architecture('efficientnet_lite1_classifier').build(False)
    path = find_card(CLASSIFIER).with_suffix('.onnx')
    with pytest.raises(ValueError, match=f'is {CLASSIFIER} .*expected efficientnet_lite1'):
        load_deployed(network, 'efficientnet_lite1_classifier', path, _pictures(CLASSIFIER))
    with pytest.raises(ValueError, match='no such model file'):
        load_deployed(network, CLASSIFIER, tmp_path / 'none.onnx', _pictures(CLASSIFIER))
