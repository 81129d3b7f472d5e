# SPDX-License-Identifier: Apache-2.0
"""A model is used only when file, card and graph fit together and its numbers are finite."""

import gc
import threading
import weakref

import numpy as np
import onnxruntime
import pytest

from tunnel_crack_ros.vision import Model, ModelError
from tunnel_crack_ros.vision.model import RunStopped
from tunnel_crack_ros.vision.providers import choose_providers, fallback

CPU, CUDA, TENSORRT = ('CPUExecutionProvider', 'CUDAExecutionProvider',
                       'TensorrtExecutionProvider')


def test_a_model_answers(toy_models, toy_folder):
    model = Model.load(toy_folder / f"{toy_models.NAMES['classifier']}.onnx")
    image = np.full((2, 64, 64, 3), 200, np.uint8)
    image[1, 5, 5] = 30
    p = [toy_models.probability(200), toy_models.probability(30)]
    assert np.allclose(model.run(image), [[1 - p[0], p[0]], [1 - p[1], p[1]]], atol=1e-6)
    assert model.provider == 'cpu'
    assert model.fallback == ''


def test_a_flipped_byte_is_found(toy_models, tmp_path):
    file = toy_models.write_model(tmp_path, 'segmenter')
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ModelError, match='SHA-256 is .*, the card says .*changed or damaged'):
        Model.load(file)


def test_a_file_that_onnx_runtime_cannot_read_is_refused(toy_models, tmp_path):
    import hashlib
    junk = b'no model' * 9
    card = {'sha256': hashlib.sha256(junk).hexdigest()}
    toy_models.write_model(tmp_path, 'segmenter', **card).write_bytes(junk)
    with pytest.raises(ModelError, match='ONNX Runtime cannot load it'):
        Model.load(next(tmp_path.glob('*.onnx')))


def test_the_other_task_is_refused(toy_models, toy_folder):
    with pytest.raises(ModelError, match='is a segmenter, expected a classifier'):
        Model.load(toy_folder / f"{toy_models.NAMES['segmenter']}.onnx", task='classifier')


def test_a_missing_file_or_card_is_named(toy_models, tmp_path):
    file = toy_models.write_model(tmp_path, 'segmenter')
    card = file.with_suffix('.yaml')
    file.rename(tmp_path / 'away')
    with pytest.raises(ModelError, match='named by its card, but there is no such file'):
        Model.load(card)
    (tmp_path / 'away').rename(file)
    card.unlink()
    with pytest.raises(ModelError, match='no such model card'):
        Model.load(file)


TWO = np.array([[0.5, 0.5]], np.float32)


@pytest.mark.parametrize(('task', 'graph', 'complaint'), [
    ('classifier', {'image': 'picture'}, 'input is picture tensor.uint8. .*; expected image'),
    ('classifier', {'image_type': 1}, r'input is image tensor\(float\)'),
    ('classifier', {'image_shape': ('N', 3, 64, 64)}, r"input is image .* \['N', 3, 64, 64\]"),
    ('classifier', {'image_shape': ('N', 96, 64, 3)},
     r'takes pictures of \[96, 64\] .*card says \[64, 64\]'),
    ('classifier', {'output': 'logits'}, 'output is logits .*; expected probabilities'),
    ('classifier', {'shape': ('N', 1, 2), 'value': TWO[None]}, 'of rank 2'),
    ('classifier', {'shape': (1, 2), 'value': TWO.astype(np.int64)}, r'output is .*\(int64\)'),
    ('classifier', {'shape': (1, 3), 'value': np.ones((1, 3), np.float32)},
     'gives 3 probabilities, the card says 2 classes'),
    ('segmenter', {'shape': ('N', 2), 'output': 'confidence'}, 'of rank 3'),
    ('segmenter', {'shape': (1, 1, 2), 'value': TWO[None], 'output': 'confidence',
                   'image_shape': ('N', 64, 64, 3)}, 'expected both sides dynamic'),
])
def test_a_graph_that_does_not_fit_the_contract_is_refused(toy_models, tmp_path, task, graph,
                                                           complaint):
    made = toy_models.constant_graph(
        **{'output': 'probabilities', 'shape': ('N', 2), 'value': TWO} | graph)
    file = toy_models.write_model(tmp_path, task, graph=made)
    with pytest.raises(ModelError, match=complaint):
        Model.load(file)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_an_error_not_a_sound_lining(toy_models, tmp_path, bad):
    graph = toy_models.constant_graph('probabilities', ('N', 2),
                                      np.array([[bad, bad]], np.float32))
    model = Model.load(toy_models.write_model(tmp_path, 'classifier', graph=graph))
    with pytest.raises(ModelError, match='not finite'):
        model.run(np.zeros((1, 64, 64, 3), np.uint8))


def test_a_picture_of_the_wrong_size_is_an_error_and_the_next_one_works(toy_models, toy_folder):
    model = Model.load(toy_folder / f"{toy_models.NAMES['classifier']}.onnx")
    with pytest.raises(ModelError, match=r'inference failed on \(1, 8, 8, 3\)'):
        model.run(np.zeros((1, 8, 8, 3), np.uint8))
    assert model.run(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 2)


def test_a_gpu_that_is_required_and_missing_is_refused(toy_models, toy_folder, monkeypatch):
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: [CPU])
    file = toy_folder / f"{toy_models.NAMES['classifier']}.onnx"
    with pytest.raises(ModelError, match='runs on cpu, but require_gpu is set; available: CPU'):
        Model.load(file, require_gpu=True)
    with pytest.raises(ModelError, match='unknown provider rocm; expected tensorrt'):
        Model.load(file, wanted_providers=['rocm'])


def test_a_run_can_be_ended_from_another_thread(toy_models, tmp_path):
    model = Model.load(toy_models.write_model(tmp_path, 'classifier', slow=1000))   # 10 s
    begun, raised = threading.Event(), []

    def run():
        begun.set()
        with pytest.raises(RunStopped, match='stopped'):
            model.run(np.zeros((1, 64, 64, 3), np.uint8))
        raised.append(True)

    running = threading.Thread(target=run)
    running.start()
    begun.wait()
    while running.is_alive():       # before the run it says nothing
        model.stop_runs()
        running.join(0.02)
    assert raised
    other = Model.load(toy_models.write_model(tmp_path, 'segmenter'))
    other.stop_runs()       # of no consequence for runs to come
    assert other.run(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 64, 64)


def test_nothing_holds_a_model_that_its_user_let_go(toy_models, toy_folder):
    model = Model.load(toy_folder / f"{toy_models.NAMES['classifier']}.onnx")
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(('wanted', 'available', 'chosen'), [
    ([], [CPU], ['cpu']),
    ([], [CPU, CUDA, TENSORRT], ['tensorrt', 'cuda', 'cpu']),
    (['cuda', 'tensorrt'], [CPU, CUDA, TENSORRT], ['cuda', 'tensorrt', 'cpu']),
    (['cuda'], [CPU], ['cpu']),
    (['cpu'], [CPU, CUDA], ['cpu']),
    (['cpu', 'cuda'], [CPU, CUDA], ['cpu', 'cuda']),
])
def test_providers_are_taken_in_the_order_wanted(wanted, available, chosen):
    plain = {CPU: 'cpu', CUDA: 'cuda', TENSORRT: 'tensorrt'}
    assert [plain[name] for name, _ in choose_providers(wanted, available)] == chosen


def test_only_tensorrt_gets_a_cache_for_its_engines(tmp_path):
    options = dict(choose_providers([], [CPU, CUDA, TENSORRT], tmp_path))
    assert options[TENSORRT]['trt_engine_cache_path'] == str(tmp_path)
    assert not options[CUDA] and not options[CPU]


@pytest.mark.parametrize(('wanted', 'available', 'used', 'said'), [
    ([], [CPU], CPU, ''),
    (['tensorrt', 'cuda', 'openvino', 'cpu'], [CPU], CPU, ''),
    (['cuda'], [CPU, CUDA], CUDA, ''),
    (['cuda', 'cpu'], [CPU], CPU, 'runs on cpu instead of cuda'),
    ([], [CUDA, CPU], CPU, 'runs on cpu instead of cuda'),       # CUDA failed to start
])
def test_a_fallback_to_another_provider_is_said(wanted, available, used, said):
    assert fallback(wanted, available, used).startswith(said)
    assert bool(fallback(wanted, available, used)) == bool(said)
