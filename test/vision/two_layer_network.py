# SPDX-License-Identifier: Apache-2.0
"""A small network with two layers to look at, small enough to be computed another way."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto

from tunnel_crack_ros.vision.model_card import ModelCard

CHANNELS = {'early': 12, 'deep': 40}


def write_network(folder, task='segmenter', dead=False) -> str:
    """Write a small convolutional network with two layers to look at.

    :param dead: the deep layer's first channel is constant.
    """
    rng = np.random.default_rng(5)
    early, deep = CHANNELS['early'], CHANNELS['deep']
    values = {
        'scale': np.float32(1 / 128), 'shift': np.float32(127),
        'w1': rng.normal(0, 0.4, (early, 3, 3, 3)), 'b1': rng.normal(0, 0.2, early),
        'w2': rng.normal(0, 0.25, (deep, early, 3, 3)), 'b2': rng.normal(0, 0.2, deep),
        'w3': rng.normal(0, 0.3, (1 if task == 'segmenter' else 2, deep, 1, 1))}
    if dead:
        values['w2'][0], values['b2'][0] = 0.0, 0.7
    node = helper.make_node
    nodes = [
        node('Transpose', ['image'], ['t'], perm=[0, 3, 1, 2]),
        node('Cast', ['t'], ['f'], to=TensorProto.FLOAT),
        node('Sub', ['f', 'shift'], ['c']), node('Mul', ['c', 'scale'], ['x']),
        node('Conv', ['x', 'w1', 'b1'], ['a1'], strides=[2, 2], pads=[1, 1, 1, 1]),
        node('Relu', ['a1'], ['early_out']),
        node('Conv', ['early_out', 'w2', 'b2'], ['deep_out'], strides=[2, 2], pads=[1, 1, 1, 1]),
        node('Relu', ['deep_out'], ['r']), node('Conv', ['r', 'w3'], ['small'])]
    if task == 'segmenter':
        values['scales'] = np.array([1, 1, 4, 4], np.float32)
        values['axis'] = np.array([1], np.int64)
        nodes += [node('Resize', ['small', '', 'scales'], ['large'], mode='linear'),
                  node('Squeeze', ['large', 'axis'], ['logit']),
                  node('Sigmoid', ['logit'], ['confidence'])]
        output, shape = 'confidence', ['N', 'H', 'W']
    else:
        nodes += [node('GlobalAveragePool', ['small'], ['mean']), node('Flatten', ['mean'], ['l']),
                  node('Softmax', ['l'], ['probabilities'], axis=1)]
        output, shape = 'probabilities', ['N', 2]
    tensors = [numpy_helper.from_array(
        np.asarray(v, None if np.asarray(v).dtype == np.int64 else np.float32), k)
        for k, v in values.items()]
    graph = helper.make_graph(
        nodes, 'net', [helper.make_tensor_value_info('image', TensorProto.UINT8,
                                                     ['N', 'H', 'W', 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    name = f"{task}{'_dead' if dead else ''}"
    file = folder / f'{name}.onnx'
    onnx.save(model, file)
    ModelCard(name=name, file=file.name, sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
              task=task, architecture='toy', classes=['background', 'crack'],
              input_size=(96, 64), threshold=0.5, precision='fp32', version='0.1.0',
              taps={'early': 'early_out', 'deep': 'deep_out', 'again': 'deep_out'},
              ).write(file.with_suffix('.yaml'))
    return str(file)
