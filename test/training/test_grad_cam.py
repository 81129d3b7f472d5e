# SPDX-License-Identifier: Apache-2.0
"""Grad-CAM of the shipped segmenter's ONNX file."""

import numpy as np
import pytest
import torch

from tunnel_crack_ros.bench.explain import measure_explain
from tunnel_crack_ros.bench.explanation_trials import library_of, methods_of
from tunnel_crack_ros.simulation import render_single
from tunnel_crack_ros.training.grad_cam import torch_network
from tunnel_crack_ros.vision import Model
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.model_folder import find_card, SEGMENTER
from tunnel_crack_ros.vision.score_cam import ScoreCam

pytestmark = pytest.mark.training


@pytest.fixture(scope='module')
def cam():
    return ScoreCam(Model.load(SEGMENTER, with_taps=True))


def test_maps_cover_the_frame_from_0_to_1(cam):
    frame = np.ascontiguousarray(render_single(3, (200, 150), 1.0, True).rgb)
    layers = ['layer2', 'layer4', 'high_level', 'decoder']
    maps = methods_of('grad-cam', cam, SEGMENTER)['grad-cam'](frame, layers)
    assert list(maps) == layers
    for values in maps.values():
        assert values.shape == (150, 200) and values.dtype == np.float32
        assert values.min() >= 0.0 and values.max() == pytest.approx(1.0)
    # two names of one tensor
    np.testing.assert_array_equal(maps['layer4'], maps['high_level'])


def test_the_decoder_looks_at_what_is_marked(cam):
    frame = np.ascontiguousarray(render_single(3, (200, 150), 1.0, True).rgb)
    values = methods_of('grad-cam', cam, SEGMENTER)['grad-cam'](frame, ['decoder'])['decoder']
    picture = cam.picture(frame)
    answer = cam.model.run(picture.pixels.astype(np.uint8)[np.newaxis])[0][:150, :200]
    marked = answer >= cam.model.card.threshold
    assert marked.any()
    assert values[marked].mean() > 3 * values[~marked].mean()


def test_a_file_with_small_weights_becomes_the_network_that_it_holds():
    """The weights of int8_weights are made by nodes, which onnx2torch does not look into."""
    file = find_card('deeplabv3plus_resnet101_segmenter')
    card = ModelCard.read(file)
    assert card.precision == 'int8_weights'
    frame = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    network = torch_network(file, card, [])
    with torch.inference_mode():
        found = network(torch.from_numpy(frame))
    found = found[0] if isinstance(found, (list, tuple)) else found
    assert np.abs(found.numpy() - Model.load(file).run(frame)).max() < 1e-4


def test_the_grad_cam_package_explains_the_same_network(cam):
    frame = np.ascontiguousarray(render_single(3, (128, 96), 1.0, True).rgb)
    library, missing = library_of(SEGMENTER)
    assert missing == ''
    assert 0.0 < library(cam, frame, 'decoder') < 300.0
    report = measure_explain(cam.model, [frame], layers=['decoder'], library=library)
    assert report.to_json_dict()['exact_to_grad_cam_library_time'] > 0.0
