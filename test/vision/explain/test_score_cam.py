# SPDX-License-Identifier: Apache-2.0
"""Score-CAM against a plain float64 computation of its equations, on a network that is one."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from two_layer_network import CHANNELS, write_network

from tunnel_crack_ros.vision import Model, ModelError
from tunnel_crack_ros.vision.explain.graph_outputs import with_outputs
from tunnel_crack_ros.vision.explain.heat_map import draw_heat_map
from tunnel_crack_ros.vision.explain.layer import Layer
from tunnel_crack_ros.vision.explain.passes import Passes
from tunnel_crack_ros.vision.explain.ranks import rank_correlation
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, find_card, SEGMENTER
from tunnel_crack_ros.vision.score_cam import ScoreCam


def reference(path: str | Path, frame: np.ndarray, layer: str, baseline: np.ndarray,
              region: np.ndarray | None) -> np.ndarray:
    """Return L of equations 1 to 4 in float64, at the frame's size; frame as large as the input.

    The session is another one, of the file on disk.
    """
    card = ModelCard.read(Path(path).with_suffix('.yaml'))
    tap = card.taps[layer]
    graph = onnx.load(path)
    graph.graph.output.append(onnx.ValueInfoProto(name=tap))
    session = onnxruntime.InferenceSession(graph.SerializeToString(),
                                           providers=['CPUExecutionProvider'])
    answer = 'confidence' if card.task == 'segmenter' else 'probabilities'

    def f(x: np.ndarray) -> float:
        pixels = np.floor(x + 0.5).clip(0, 255).astype(np.uint8)
        found = session.run([answer], {'image': pixels[np.newaxis]})[0][0].astype(np.float64)
        return found[1] if region is None else found[region].mean()

    activations = session.run([tap], {'image': frame[np.newaxis]})[0][0].astype(np.float64)
    x, low_res = frame.astype(np.float64), np.zeros(activations.shape[1:])
    for channel in activations:
        up = bilinear(channel, frame.shape[:2])
        if up.max() - up.min() < 1e-9:
            continue
        h = ((up - up.min()) / (up.max() - up.min()))[:, :, np.newaxis]
        low_res += (f(baseline + (x - baseline) * h) - f(baseline)) * channel
    return bilinear(np.maximum(low_res, 0.0), frame.shape[:2])


def bilinear(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge in float64: samples stand for the middles of pixels, borders are repeated."""
    for axis in (0, 1):
        count = values.shape[axis]
        places = np.clip((np.arange(size[axis]) + 0.5) * count / size[axis] - 0.5, 0, count - 1)
        below = np.minimum(places.astype(int), max(count - 2, 0))
        part = (places - below).reshape((-1, 1) if axis == 0 else (1, -1))
        values = np.take(values, below, axis) * (1 - part) + \
            np.take(values, np.minimum(below + 1, count - 1), axis) * part
    return values


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def baselines(frame: np.ndarray) -> dict[str, np.ndarray]:
    x = frame.astype(np.float64)
    return {'black': np.zeros_like(x), 'mean': np.broadcast_to(x.mean((0, 1)), x.shape),
            'blurred': cv2.GaussianBlur(x, (0, 0), 8.0, borderType=cv2.BORDER_REFLECT)}


@pytest.mark.parametrize('kind', ['black', 'mean', 'blurred'])
@pytest.mark.parametrize('layer', ['early', 'deep'])
def test_exact_maps_are_those_of_the_equations(folder, segmenter, frame, layer, kind):
    region = segmenter.run(frame[np.newaxis])[0] >= 0.5
    assert 0.02 < region.mean() < 0.98
    found = ScoreCam(segmenter, baseline=kind).explain(frame, [layer], method='exact')
    expected = reference(folder / 'segmenter.onnx', frame, layer, baselines(frame)[kind], region)
    heat, = found.heat_maps
    assert expected.max() > 0
    # float32 and float64, at times on two sides of the middle between two whole pixel values
    assert correlation(heat.values, expected) > 0.9999
    assert heat.values.max() == pytest.approx(1.0)
    assert heat.values.min() >= 0.0
    assert (heat.scored, heat.passes, heat.fidelity) == (CHANNELS[layer], CHANNELS[layer], 1.0)
    assert found.complete


def test_a_classifiers_maps_are_those_of_the_equations(folder):
    model = Model.load(write_network(folder, 'classifier'), with_taps=True)
    frame = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    heat, = ScoreCam(model).explain(frame, ['deep'], method='exact').heat_maps
    expected = reference(folder / 'classifier.onnx', frame, 'deep',
                         baselines(frame)['mean'], None)
    assert correlation(heat.values, expected) > 0.999
    fast, = ScoreCam(model, share=0.5).explain(frame, ['deep']).heat_maps
    assert rank_correlation(fast.values, heat.values) > 0.8


def test_the_shipped_segmenter_is_explained_as_the_equations_say():
    model = Model.load(SEGMENTER, with_taps=True)
    frame = np.full((64, 96, 3), 170, np.uint8)
    frame += np.random.default_rng(3).integers(0, 30, frame.shape[:2] + (1,), dtype=np.uint8)
    cv2.line(frame, (5, 10), (85, 50), (30, 30, 30), 2)
    region = np.zeros(frame.shape[:2], bool)
    region[8:56, 4:88] = True
    layer = list(model.card.taps)[1]
    heat, = ScoreCam(model).explain(frame, [layer], method='exact', region=region).heat_maps
    expected = reference(find_card(SEGMENTER).with_suffix('.onnx'), frame, layer,
                         baselines(frame)['mean'], region)
    assert expected.max() > 0
    assert correlation(heat.values, expected) > 0.999


def test_every_tap_of_the_shipped_models_can_be_explained():
    for name in (SEGMENTER, CLASSIFIER):
        model = Model.load(name, with_taps=True)
        frame = np.random.default_rng(1).integers(60, 200, (64, 96, 3), dtype=np.uint8)
        found = ScoreCam(model).explain(frame, deadline_s=0.0)
        assert [heat.layer for heat in found.heat_maps] == list(model.card.taps)
        for heat in found.heat_maps:
            assert heat.values.shape == (64, 96)
            assert np.isfinite(heat.values).all()


def test_a_constant_channel_costs_no_pass_and_makes_no_nan(folder, frame):
    model = Model.load(write_network(folder, dead=True), with_taps=True)
    found = ScoreCam(model).explain(frame, ['deep'], method='exact')
    heat, = found.heat_maps
    assert heat.channels == heat.passes == CHANNELS['deep'] - 1
    assert heat.weights[0] == 0.0
    assert np.isfinite(heat.values).all() and np.isfinite(heat.weights).all()


def test_a_frame_of_one_colour_makes_no_nan(segmenter):
    for method in ('exact', 'fast'):
        for value in (0, 255):
            found = ScoreCam(segmenter).explain(np.full((64, 96, 3), value, np.uint8),
                                                method=method)
            assert all(np.isfinite(heat.values).all() for heat in found.heat_maps)


@pytest.mark.parametrize('method', ['exact', 'fast'])
def test_where_nothing_tells_the_maps_are_empty(segmenter, method):
    """Every masked picture of one grey is that grey: what differs is rounding."""
    found = ScoreCam(segmenter).explain(np.full((64, 96, 3), 128, np.uint8), method=method)
    assert all(heat.values.max() == 0.0 for heat in found.heat_maps)


@pytest.mark.parametrize('method', ['exact', 'fast'])
def test_a_pass_that_gives_no_number_leaves_its_channel_out(segmenter, frame, method,
                                                            monkeypatch):
    """It was asked for again and again until the deadline, or for ever without one."""
    scores = Passes.scores

    def broken(passes, masks):
        return np.where(passes.count % 3 == 0, math.nan, scores(passes, masks))
    monkeypatch.setattr(Passes, 'scores', broken)
    found = ScoreCam(segmenter, share=0.5).explain(frame, ['deep'], method=method, deadline_s=20.0)
    heat, = found.heat_maps
    assert found.complete and found.passes <= 2 + CHANNELS['deep']
    assert np.isfinite(heat.values).all() and np.isfinite(heat.weights).all()
    assert (heat.weights == 0.0).any() and heat.values.any()


def test_answers_that_are_no_numbers_are_named(segmenter, frame, monkeypatch):
    monkeypatch.setattr(Passes, 'score_of', lambda passes, answer: math.nan)
    with pytest.raises(ModelError, match='answers nan for the frame'):
        ScoreCam(segmenter).explain(frame, ['deep'])


def test_a_layer_without_any_channel_to_score_has_an_empty_map():
    layer = Layer('flat', np.ones((3, 4, 5), np.float32))
    assert len(layer) == 0 and layer.complete
    assert not layer.heat(np.zeros(0)).any()


def test_batches_do_not_change_the_map(segmenter, frame):
    one, many = (ScoreCam(segmenter, batch=batch).explain(frame, ['deep'], method='exact')
                 for batch in (1, 7))
    np.testing.assert_allclose(one.heat_maps[0].values, many.heat_maps[0].values, atol=1e-4)


def test_names_of_one_tensor_share_their_passes(segmenter, frame):
    found = ScoreCam(segmenter).explain(frame, ['deep', 'again'], method='exact')
    assert found.passes == 2 + CHANNELS['deep']
    deep, again = found.heat_maps
    assert (deep.layer, again.layer) == ('deep', 'again')
    assert (deep.values == again.values).all()


def test_maps_have_the_frames_size_whatever_it_is(segmenter):
    for size in ((64, 96), (50, 33), (200, 300)):
        frame = np.random.default_rng(4).integers(0, 255, (*size, 3), dtype=np.uint8)
        heat, = ScoreCam(segmenter).explain(frame, ['deep']).heat_maps
        assert heat.values.shape == size
        assert draw_heat_map(frame, heat.values).shape == (*size, 3)


def test_unknown_words_are_refused(segmenter, frame):
    with pytest.raises(ModelError, match='no layer nowhere'):
        ScoreCam(segmenter).explain(frame, ['nowhere'])
    with pytest.raises(ValueError, match='expected one of fast, exact'):
        ScoreCam(segmenter).explain(frame, method='magic')
    with pytest.raises(ValueError, match='expected one of black'):
        ScoreCam(segmenter, baseline='pink')


def test_outputs_are_added_to_the_bytes_of_a_file_and_nothing_else(folder):
    data = open(write_network(folder), 'rb').read()
    graph = onnx.load_from_string(with_outputs(data, ['early_out', 'x' * 200]))
    assert [o.name for o in graph.graph.output] == ['confidence', 'early_out', 'x' * 200]
    del graph.graph.output[1:]
    assert graph == onnx.load_from_string(data)
    assert with_outputs(data, []) == data


def test_a_model_without_taps_says_so(folder, tmp_path):
    path = write_network(tmp_path)
    card = tmp_path / 'segmenter.yaml'
    text = card.read_text()
    card.write_text(text[:text.index('taps:')] + 'taps: {}\n')
    with pytest.raises(ModelError, match='names no layers'):
        ScoreCam(Model.load(path, with_taps=True))
