# SPDX-License-Identifier: Apache-2.0
"""Smaller builds keep what the model can do, or are refused."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from tunnel_crack_ros.cli import app
from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset
from tunnel_crack_ros.simulation import render_single
from tunnel_crack_ros.training import builds as builds_module
from tunnel_crack_ros.training.builds import export_builds, images_of_run
from tunnel_crack_ros.training.checkpoint import read_checkpoint
from tunnel_crack_ros.training.checkpoint_model import CheckpointModel
from tunnel_crack_ros.training.export import write_graph
from tunnel_crack_ros.training.fit import train
from tunnel_crack_ros.training.models import ARCHITECTURES, Normalise
from tunnel_crack_ros.training.onnx_network import OnnxNetwork, SegmenterNetwork
from tunnel_crack_ros.training.quantise import quantise
from tunnel_crack_ros.training.recipes import Recipe
from tunnel_crack_ros.training.samples import fit, SampleMix
from tunnel_crack_ros.training.small_weights import store_fp16, store_int8
from tunnel_crack_ros.vision import CrackClassifier, CrackSegmenter, Model
from tunnel_crack_ros.vision.model_card import ModelCard, sha256_of
from tunnel_crack_ros.vision.model_folder import find_card, SEGMENTER

pytestmark = pytest.mark.training

CLASSIFIER = 'efficientnet_lite0_classifier'
NETWORKS = [CLASSIFIER, 'unet_efficientnet_lite0_segmenter', 'deeplabv3plus_resnet18_segmenter']
BUILDS = ['int8', 'fp16', 'int8_weights']
SHORT = Recipe(epochs=3, samples_per_epoch=64, batch_size=8, learning_rate=5e-4,
               source_weights={}, mix=SampleMix(distractor_share=0.0, paste_share=0.0),
               average_decay=0.8, validate_every=3, input_side=160)


@pytest.fixture(scope='module')
def checkpoint(drawn_cracks, tmp_path_factory):
    """Train a classifier that tells the drawn frames apart."""
    return train(CLASSIFIER, drawn_cracks, tmp_path_factory.mktemp('run'), recipe=SHORT)


@pytest.fixture
def few_calibration_images(monkeypatch):
    monkeypatch.setattr(builds_module, 'CALIBRATION_IMAGES', 8)


@pytest.fixture(scope='module')
def pictures(drawn_cracks):
    return [image.read() for image in CrackDataset.read(drawn_cracks).images]


@pytest.fixture(scope='module', params=NETWORKS)
def graphs(request, pictures, tmp_path_factory):
    """Return an untrained network as a graph, its builds, its taps and a frame."""
    plan = ARCHITECTURES[request.param]
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp('graphs') / 'network.onnx'
    network = plan.build(False).eval()
    taps = write_graph(network, plan, path)
    frames = [np.ascontiguousarray(fit(*picture, plan.input_size)[0]) for picture in pictures]
    model = onnx.load(str(path))
    made = {'fp32': model, 'fp16': store_fp16(model), 'int8_weights': store_int8(model),
            'int8': quantise(model, frames[:4], list(taps.values()))}
    return plan, made, taps, frames[5], network, path


def run_with(model, tensors, image):
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    whole.graph.output.extend(onnx.helper.make_tensor_value_info(
        tensor, onnx.TensorProto.FLOAT, None) for tensor in tensors)
    session = onnxruntime.InferenceSession(whole.SerializeToString(),
                                           providers=['CPUExecutionProvider'])
    return session.run(None, {'image': image})


def test_every_tap_of_each_build_gives_what_it_gives_in_fp32(graphs):
    _, made, taps, frame, *_ = graphs
    tensors = sorted(set(taps.values()))
    expected = run_with(made['fp32'], tensors, frame[np.newaxis])
    for build in BUILDS:
        assert [output.name for output in made[build].graph.output] == [
            output.name for output in made['fp32'].graph.output]
        found = run_with(made[build], tensors, frame[np.newaxis])
        for name, one, other in zip(['result', *tensors], found, expected):
            assert one.shape == other.shape, (build, name)
            if name != 'result':    # of an untrained network it is nearly constant
                assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95, (build, name)


def test_builds_are_smaller_and_take_every_size_and_batch(graphs):
    plan, made, *_ = graphs
    size = {build: len(model.SerializeToString()) for build, model in made.items()}
    assert size['fp16'] < 0.53 * size['fp32']
    assert max(size['int8'], size['int8_weights']) < 0.32 * size['fp32']
    width, height = plan.input_size if plan.task == 'classifier' else (96, 160)
    for build in BUILDS:
        found, = run_with(made[build], [], np.full((2, height, width, 3), 90, np.uint8))
        assert found.shape == ((2, 2) if plan.task == 'classifier' else (2, height, width))


def test_normalisation_and_the_last_layer_stay_in_float(graphs):
    _, made, *_ = graphs
    graph = made['int8'].graph
    makers = {name: node for node in graph.node for name in node.output}
    layers = [node for node in graph.node if node.op_type in ('Conv', 'Gemm')]
    quantised = [node for node in layers
                 if getattr(makers.get(node.input[1]), 'op_type', '') == 'DequantizeLinear']
    assert [node for node in layers if node not in quantised] == layers[-1:]
    softened, = (node for node in graph.node if node.op_type in ('Sigmoid', 'Softmax'))
    assert makers[softened.input[0]].op_type != 'DequantizeLinear'
    scaled, = (node for node in graph.node if node.op_type == 'Div')
    assert makers[scaled.input[0]].op_type == 'Sub'
    assert {entry.domain for entry in made['int8'].opset_import} == {''}


def test_a_segmenter_is_scored_with_all_its_passes():
    """The shipped one: as the nodes use it, not as a single pass of the network."""
    path = find_card(SEGMENTER).with_suffix('.onnx')
    frame = render_single(7).rgb[:160, :192]
    batch = Normalise()(torch.from_numpy(np.ascontiguousarray(frame)[np.newaxis]))
    found = SegmenterNetwork(path)(batch).sigmoid()[0, 0].numpy()
    segmenter = CrackSegmenter(Model.load(path))
    assert np.abs(found - segmenter.confidence(frame)).max() < 1e-5
    assert (found >= OnnxNetwork(path)(batch).sigmoid()[0, 0].numpy() - 1e-4).all()
    assert segmenter.model.card.enlarge > 1.0


def test_a_file_stands_in_for_its_network(graphs):
    plan, _, _, frame, network, path = graphs
    batch = Normalise()(torch.from_numpy(frame[np.newaxis]))
    with torch.inference_mode():
        found, expected = OnnxNetwork(path)(batch), network(batch)
    assert found.shape == expected.shape
    # float32 rounding; a classifier's logits may differ by what softmax leaves out
    if plan.task == 'classifier':
        found, expected = found.softmax(1), expected.softmax(1)
    assert torch.allclose(found.sigmoid(), expected.sigmoid(), atol=1e-4)


def test_a_weight_beyond_fp16_is_refused():
    weight = onnx.numpy_helper.from_array(np.full((2, 2), 1e6, np.float32), 'w')
    graph = onnx.helper.make_graph([], 'g', [], [], [weight])
    with pytest.raises(ValueError, match=r'w: holds 1e\+06, beyond the range of fp16'):
        store_fp16(onnx.helper.make_model(graph))


def test_builds_lie_side_by_side_and_say_what_they_are(
        checkpoint, drawn_cracks, tmp_path, few_calibration_images):
    told = []
    made = export_builds(checkpoint, tmp_path, drawn_cracks, ['fp32', *BUILDS],
                         progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert [build.refused for build in made] == [''] * 4
    assert {path.name for path in tmp_path.iterdir()} == {
        f'{CLASSIFIER}{build}{suffix}' for build in ('', '_int8', '_fp16', '_int8_weights')
        for suffix in ('.onnx', '.yaml')}
    for build in made:
        card = ModelCard.read(build.model.with_suffix('.yaml'))
        assert (card.name, card.precision) == (build.name, build.precision)
        assert card.sha256 == sha256_of(build.model)
        props = {p.key: p.value for p in onnx.load(str(build.model)).metadata_props}
        assert props == card.metadata_props()
        values = {metric['name']: metric['value'] for metric in reversed(card.metrics)}
        assert values['accuracy'] == build.value == 1.0
        assert values.get('accuracy_lost') == (None if build.precision == 'fp32' else 0.0)
        classifier = CrackClassifier(Model.load(build.model))
        assert len(classifier.classify([np.full((100, 140, 3), 90, np.uint8)])) == 1


def test_a_build_that_loses_too_much_is_not_written(
        checkpoint, drawn_cracks, tmp_path, monkeypatch):
    def forget(model):
        """Store weights in so few bits that nothing is left of them."""
        made = onnx.ModelProto()
        made.CopyFrom(model)
        for tensor in made.graph.initializer:
            if len(tensor.dims) >= 2:
                nothing = np.zeros(tuple(tensor.dims), np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(nothing, tensor.name))
        return made

    monkeypatch.setattr(builds_module, 'store_fp16', forget)
    fp32, fp16 = export_builds(checkpoint, tmp_path, drawn_cracks, ['fp32', 'fp16'])
    assert not fp32.refused
    assert fp16.refused == (
        f'{CLASSIFIER}_fp16: accuracy on 2 validation images is 0.5000, 1.0000 in fp32: it loses '
        '0.5000, expected at most 0.005')
    assert {path.stem for path in tmp_path.iterdir()} == {CLASSIFIER}
    result = CliRunner().invoke(app, ['export', str(checkpoint), '--out', str(tmp_path / 'cli'),
                                      '--data', str(drawn_cracks), '--builds', 'fp16'])
    assert result.exit_code == 1
    assert 'not written:' in result.output and 'it loses 0.5000' in result.output
    assert not (tmp_path / 'cli').exists()


@pytest.mark.parametrize(('arguments', 'complaint'), [
    (['--builds', 'int8'], 'give the data of the training with --data'),
    (['--at', '0.5', '0.9'], '--at is scored on the data of the training: give --data'),
    (['--at', '0.5', '0.9', '--data', 'DATA'], 'for a classifier; expected a segmenter'),
    (['--builds', 'int4', '--data', 'DATA'], "unknown build 'int4'; expected some of fp32, int8"),
])
def test_a_wrong_request_is_one_line(checkpoint, drawn_cracks, tmp_path, arguments, complaint):
    given = [str(drawn_cracks) if word == 'DATA' else word for word in arguments]
    result = CliRunner().invoke(app, ['export', str(checkpoint), '--out', str(tmp_path), *given])
    assert result.exit_code == 1
    assert complaint in result.output


def test_calibration_and_scores_use_other_images(checkpoint, drawn_cracks):
    state = read_checkpoint(checkpoint)
    training, validating = images_of_run(state, drawn_cracks, checkpoint.parent)
    assert {image.stem for image in training}.isdisjoint(image.stem for image in validating)
    assert len(training) + len(validating) == 12
    assert sum(state['training_data'].values()) == len(training)


def test_a_classifier_is_deployed_at_the_size_it_was_trained_at_or_another(
        drawn_cracks, tmp_path):
    best = train(CLASSIFIER, drawn_cracks, tmp_path, pretrained=False, recipe=replace(
        SHORT, epochs=1, samples_per_epoch=8, input_side=96))
    assert CheckpointModel.load_checkpoint(best).card.input_size == (96, 96)
    for side, expected in ((0, 96), (128, 128)):
        made, = export_builds(best, tmp_path / str(side), drawn_cracks, ['fp32'],
                              input_side=side)
        model = Model.load(made.model)
        assert model.card.input_size == (expected, expected)
        assert CrackClassifier(model).classify([np.full((100, 140, 3), 90, np.uint8)])
    result = CliRunner().invoke(app, ['export', str(best), '--input-side', '100'])
    assert result.exit_code == 1
    assert 'an input side of 100 px; expected a multiple of 32' in result.output


def test_simulated_frames_of_the_run_are_found_again(drawn_cracks, tmp_path):
    best = train(CLASSIFIER, drawn_cracks, tmp_path, pretrained=False, simulated=6, recipe=replace(
        SHORT, epochs=1, samples_per_epoch=8))
    state = read_checkpoint(best)
    training, validating = images_of_run(state, drawn_cracks, tmp_path)
    assert state['training_data'] == {
        name: sum(image.source == name for image in training)
        for name in sorted({image.source for image in training})}
    assert 'simulated' in {image.source for image in validating}


def test_a_segmenter_gets_the_threshold_and_peak_it_is_given(drawn_cracks, tmp_path):
    """The card's metrics are those at these, not at the best ones."""
    best = train(NETWORKS[1], drawn_cracks, tmp_path, simulated=8, recipe=replace(
        SHORT, epochs=1, samples_per_epoch=8, crop_side=96, learning_rate=1e-6,
        average_decay=0.0, validate_every=1, input_side=0),
        start_from=find_card(SEGMENTER).with_suffix('.onnx'))
    with pytest.raises(ValueError, match=r'threshold is 1.5; expected one of 0.2, 0.25,'):
        export_builds(best, tmp_path, drawn_cracks, ['fp32'], at=(1.5, 0.9))
    with pytest.raises(ValueError, match=r'peak is 0.5; expected one of 0, 0.7, 0.8,'):
        export_builds(best, tmp_path, drawn_cracks, ['fp32'], at=(0.5, 0.5))
    cards = []
    for at in (['0.3', '0.8'], ['0.8', '0.99']):
        result = CliRunner().invoke(app, [
            'export', str(best), '--out', str(tmp_path / at[0]), '--data', str(drawn_cracks),
            '--at', *at])
        assert result.exit_code == 0, result.output
        cards.append(ModelCard.read(tmp_path / at[0] / f'{NETWORKS[1]}.yaml'))
    low, high = cards
    assert (low.threshold, low.peak, high.threshold, high.peak) == (0.3, 0.8, 0.8, 0.99)
    recalls = [next(metric['value'] for metric in card.metrics if metric['name'] == 'recall')
               for card in cards]
    assert recalls[0] > recalls[1]
