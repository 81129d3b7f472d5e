# SPDX-License-Identifier: Apache-2.0
"""Small real ONNX files whose answer is known beforehand: what is dark is crack.

A pixel's probability is 1 / (1 + exp((grey - 60) / 10)); a frame's is that of its darkest value.
"""

from __future__ import annotations

from collections.abc import Sequence
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto

from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, SEGMENTER

SIZE = 64           # width and height of the classifier's input, px
NAMES = {'classifier': CLASSIFIER, 'segmenter': SEGMENTER}      # the default models


def probability(grey: float) -> float:
    """Return what the toy models answer for a grey value."""
    return float(1.0 / (1.0 + np.exp((grey - 60.0) / 10.0)))


def write_model(folder: Path, task: str, *, slow: int = 0, graph: onnx.GraphProto | None = None,
                **changes: Any) -> Path:
    """Write a toy model and its card.

    :param task: `classifier` or `segmenter`.
    :param slow: products of 700 x 700 matrices that the classifier computes for nothing; 10 take
        about a tenth of a second.
    :param graph: another graph in place of the task's own.
    :param changes: values of the card that are to be others.
    :return: path of the .onnx file.
    """
    own = _classifier(slow) if task == 'classifier' else _segmenter()
    model = helper.make_model(graph or own, opset_imports=[helper.make_opsetid('', 17)],
                              ir_version=8)
    name = changes.get('name', NAMES[task])
    file = folder / f'{name}.onnx'
    onnx.save(model, file)
    values: dict[str, Any] = {
        'name': name, 'file': file.name, 'task': task, 'architecture': 'toy',
        'sha256': hashlib.sha256(file.read_bytes()).hexdigest(),
        'classes': ['background', 'crack'], 'input_size': (SIZE, SIZE), 'threshold': 0.5,
        'precision': 'fp32', 'version': '0.1.0'}
    ModelCard(**values | changes).write(file.with_suffix('.yaml'))
    return file


def constant_graph(output: str, shape: Sequence[int | str], value: np.ndarray,
                   image_shape: Sequence[int | str] = ('N', 'H', 'W', 3),
                   image_type: int = TensorProto.UINT8, image: str = 'image') -> onnx.GraphProto:
    """Return a graph that answers with a constant, of whatever input and output one asks for."""
    kinds = {'float32': TensorProto.FLOAT, 'int64': TensorProto.INT64}
    return helper.make_graph(
        [helper.make_node('Shape', [image], ['unused']),
         helper.make_node('Identity', ['value'], [output])], 'constant',
        [helper.make_tensor_value_info(image, image_type, list(image_shape))],
        [helper.make_tensor_value_info(output, kinds[value.dtype.name], list(shape))],
        [numpy_helper.from_array(value, 'value')])


def _classifier(slow: int) -> onnx.GraphProto:
    node = helper.make_node
    nodes = [
        node('Cast', ['image'], ['grey'], to=TensorProto.FLOAT),
        node('ReduceMin', ['grey'], ['darkest'], axes=[1, 2, 3], keepdims=0),
        *_odds('darkest', 'odds'),
        *_delay(slow),
        node('Add', ['odds', f'delay{slow}' if slow else 'zero'], ['late']),
        node('Sigmoid', ['late'], ['crack']),
        node('Sub', ['one', 'crack'], ['background']),
        node('Unsqueeze', ['crack', 'axis'], ['crack_column']),
        node('Unsqueeze', ['background', 'axis'], ['background_column']),
        node('Concat', ['background_column', 'crack_column'], ['probabilities'], axis=1)]
    return helper.make_graph(
        nodes, 'classifier',
        [helper.make_tensor_value_info('image', TensorProto.UINT8, ['N', SIZE, SIZE, 3])],
        [helper.make_tensor_value_info('probabilities', TensorProto.FLOAT, ['N', 2])],
        _constants(slow))


def _segmenter() -> onnx.GraphProto:
    nodes = [
        helper.make_node('Cast', ['image'], ['colour'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['colour'], ['grey'], axes=[3], keepdims=0),
        *_odds('grey', 'odds'),
        helper.make_node('Sigmoid', ['odds'], ['confidence'])]
    return helper.make_graph(
        nodes, 'segmenter',
        [helper.make_tensor_value_info('image', TensorProto.UINT8, ['N', 'H', 'W', 3])],
        [helper.make_tensor_value_info('confidence', TensorProto.FLOAT, ['N', 'H', 'W'])],
        _constants(0))


def _odds(grey: str, odds: str) -> list[onnx.NodeProto]:
    return [helper.make_node('Mul', [grey, 'slope'], ['scaled']),
            helper.make_node('Add', ['scaled', 'offset'], [odds])]


def _delay(slow: int) -> list[onnx.NodeProto]:
    if not slow:
        return []
    node = helper.make_node
    nodes = [node('ReduceMean', ['darkest'], ['seed'], keepdims=0),
             node('Add', ['matrix', 'seed'], ['product0'])]
    for i in range(slow):
        nodes += [node('MatMul', [f'product{i}', 'matrix'], [f'product{i + 1}'])]
    return [*nodes, node('ReduceMean', [f'product{slow}'], ['mean'], keepdims=0),
            node('Mul', ['mean', 'zero'], [f'delay{slow}'])]


def _constants(slow: int) -> list[onnx.TensorProto]:
    values = {'slope': np.float32(-0.1), 'offset': np.float32(6.0), 'one': np.float32(1.0),
              'zero': np.float32(0.0), 'axis': np.array([1], np.int64)}
    if slow:
        values['matrix'] = np.full((700, 700), 1e-3, np.float32)
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
