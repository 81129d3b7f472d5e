# SPDX-License-Identifier: Apache-2.0
"""An exported file does what the network does, and its card says what it is."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset
from tunnel_crack_ros.training.export import export, ExportError
from tunnel_crack_ros.training.models import ARCHITECTURES
from tunnel_crack_ros.training.same_padding import freeze_same_padding, has_same_padding
from tunnel_crack_ros.training.validation import Metric, Validation
from tunnel_crack_ros.vision import CrackClassifier, CrackSegmenter, Model
from tunnel_crack_ros.vision.model_card import ModelCard, sha256_of

pytestmark = pytest.mark.training

SHIPPED = ['unet_efficientnet_lite0_segmenter', 'efficientnet_lite0_classifier']
NAMES = [*SHIPPED, 'deeplabv3plus_resnet18_segmenter']  # and one without SAME padding
VALIDATION = Validation(0.9, 0.4321, (Metric('f1', 0.123456, 'drawn', 'val', 7),))


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """Checkpoints of untrained networks: what they say does not matter here."""
    folder = tmp_path_factory.mktemp('checkpoints')
    paths = {}
    for name in NAMES:
        plan = ARCHITECTURES[name]
        torch.manual_seed(1)
        paths[name] = folder / f'{name}.best.pt'
        torch.save({'model': name, 'network': plan.build(False).state_dict(),
                    'validation': VALIDATION.to_dict(), 'training_data': {'uav75': 50}},
                   paths[name])
    return paths


@pytest.fixture(scope='module')
def exported(checkpoints, drawn_cracks, tmp_path_factory):
    frames = CrackDataset.read(drawn_cracks).images[:2]
    out = tmp_path_factory.mktemp('models')
    return {name: export(path, out, frames=frames) for name, path in checkpoints.items()}


@pytest.mark.parametrize('name', NAMES)
def test_graph_gives_what_pytorch_gives(exported, name):
    # export() compares on noise of several sizes and on the frames; float32 rounding only
    assert exported[name].max_difference < 1e-4
    assert exported[name].compared_frames == 2


@pytest.mark.parametrize('name', NAMES)
def test_card_fits_its_file(exported, name):
    card = ModelCard.read(exported[name].card)
    assert card.sha256 == sha256_of(exported[name].model)
    assert card.threshold == 0.432
    assert card.training_data == [{'name': 'uav75', 'licence': 'GPL-3.0', 'images': 50}]
    assert card.metrics == [
        {'name': 'f1', 'value': 0.1235, 'data': 'drawn', 'split': 'val', 'images': 7}]


@pytest.mark.parametrize('name', NAMES)
def test_metadata_of_the_file_repeats_the_card(exported, name):
    props = {p.key: p.value for p in onnx.load(str(exported[name].model)).metadata_props}
    assert props == ModelCard.read(exported[name].card).metadata_props()
    assert json.loads(props['taps'])


@pytest.mark.parametrize('name', NAMES)
def test_taps_are_tensors_that_can_be_read(exported, name, tmp_path):
    card = ModelCard.read(exported[name].card)
    graph = onnx.load(str(exported[name].model))
    assert [output.name for output in graph.graph.output] == [
        'confidence' if card.task == 'segmenter' else 'probabilities']
    tensors = sorted(set(card.taps.values()))
    graph.graph.output.extend(
        onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None)
        for tensor in tensors)
    session = onnxruntime.InferenceSession(graph.SerializeToString(),
                                           providers=['CPUExecutionProvider'])
    width, height = card.input_size
    image = np.full((1, height, width, 3), 120, np.uint8)
    shapes = {tensor: value.shape for tensor, value in zip(
        tensors, session.run(tensors, {'image': image}))}
    assert shapes[card.taps['layer1']][2:] == (height // 4, width // 4)
    if card.task == 'segmenter':
        assert card.taps['high_level'] == card.taps['layer4']
        if 'aspp' in card.taps:     # DeepLabV3+
            assert shapes[card.taps['aspp']] == (1, 256, height // 16, width // 16)
            assert shapes[card.taps['fused']][:2] == (1, 256 + 48)
        else:                       # U-Net
            assert shapes[card.taps['low_level']][2:] == (height // 2, width // 2)
            assert shapes[card.taps['decoder']] == (1, 16, height, width)


@pytest.mark.parametrize('name', NAMES)
def test_convolutions_carry_no_shape_arithmetic(exported, name):
    """Shapes are asked for where the decoder is resized to its neighbour, never to pad."""
    graph = onnx.load(str(exported[name].model)).graph
    asking = [node.name for node in graph.node if node.op_type == 'Shape']
    assert all('decoder' in node for node in asking), asking


def test_vision_runs_the_exported_files(exported):
    frames = [np.full((100, 140, 3), 90, np.uint8)] * 3
    for files in exported.values():
        model = Model.load(files.model)
        if model.card.task == 'classifier':
            assert len(CrackClassifier(model).classify(frames)) == 3
        else:
            assert CrackSegmenter(model).segment(frames[0]).mask.shape == (100, 140)


@pytest.mark.parametrize('sides', [(32, 32), (64, 96), (224, 352)])
@pytest.mark.parametrize('name', SHIPPED)
def test_frozen_padding_changes_nothing_for_multiples_of_32(name, sides):
    network = ARCHITECTURES[name].build(False).eval()
    frozen = freeze_same_padding(network).eval()
    assert has_same_padding(network) and not has_same_padding(frozen)
    batch = torch.rand(1, 3, *sides)
    with torch.inference_mode():
        assert torch.equal(network(batch), frozen(batch))


def test_a_graph_that_differs_is_refused(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr('tunnel_crack_ros.training.export.compare', lambda *_: 0.5)
    with pytest.raises(ExportError, match=r'differ from PyTorch by 5\.00e-01'):
        export(checkpoints[NAMES[0]], tmp_path)
    assert not list(tmp_path.glob('*.yaml'))
