# SPDX-License-Identifier: Apache-2.0
"""Store a graph's weights in fewer bytes and compute in float32 as before.

On a CPU fp16 arithmetic is slow where it exists at all, and some graphs cannot be loaded in it.
Only the weights in the file are small here: a Cast (and for int8 a Mul by the scales) brings each
back to float32. ONNX Runtime computes these constants once, when it loads the file: speed and
memory are those of float32, on every provider, and the tensors between the layers keep their names
and nearly their values. TensorRT may still be told to compute in fp16.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, TensorProto

_LIMIT = 127    # of an int8 weight, the same on both sides


def store_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph with its weights in fp16: half the size.

    :raises ValueError: a weight is beyond fp16's range.
    """
    made = _copy(model)
    for weight, values in _weights(made.graph):
        with np.errstate(over='ignore'):
            half = values.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError(f'{weight.name}: holds {np.abs(values).max():.3g}, beyond the range '
                             'of fp16')
        stored = f'{weight.name}.fp16'
        _replace(made.graph, weight, [numpy_helper.from_array(half, stored)], [
            helper.make_node('Cast', [stored], [weight.name], to=TensorProto.FLOAT,
                             name=f'{weight.name}.restore')])
    return made


def store_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph with its weights in int8, one scale an output channel: a quarter of the size.

    Unlike quantisation of the whole graph it needs no calibration and rounds no activation.
    """
    made = _copy(model)
    for weight, values in _weights(made.graph):
        peak = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
        scale = (np.maximum(peak, np.finfo(np.float32).tiny * _LIMIT) / _LIMIT).astype(np.float32)
        whole = np.clip(np.round(values / scale), -_LIMIT, _LIMIT).astype(np.int8)
        stored, factor, cast = (f'{weight.name}.{part}' for part in ('int8', 'scale', 'cast'))
        _replace(made.graph, weight, [
            numpy_helper.from_array(whole, stored), numpy_helper.from_array(scale, factor)], [
            helper.make_node('Cast', [stored], [cast], to=TensorProto.FLOAT,
                             name=f'{weight.name}.restore'),
            helper.make_node('Mul', [cast, factor], [weight.name],
                             name=f'{weight.name}.rescale')])
    return made


def restored(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph with its weights in float32 again, rounded as they were stored.

    A graph whose weights are float32 already comes back as it is.
    """
    made = _copy(model)
    numbers = {each.name: each for each in made.graph.initializer}
    for node in list(made.graph.node):
        if not node.name.endswith(('.restore', '.rescale')):
            continue
        parts = [numpy_helper.to_array(numbers[name]).astype(np.float32) for name in node.input]
        numbers[node.output[0]] = numpy_helper.from_array(
            np.prod(np.broadcast_arrays(*parts), axis=0), node.output[0])
        made.graph.node.remove(node)
    used = {name for node in made.graph.node for name in node.input}
    del made.graph.initializer[:]
    made.graph.initializer.extend(each for name, each in numbers.items() if name in used)
    return made


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def _weights(graph: onnx.GraphProto
             ) -> Iterator[tuple[onnx.TensorProto, npt.NDArray[np.float32]]]:
    # biases and other vectors are few bytes and matter most: they stay
    for tensor in list(graph.initializer):
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) >= 2:
            yield tensor, numpy_helper.to_array(tensor)


def _replace(graph: onnx.GraphProto, weight: onnx.TensorProto,
             stored: list[onnx.TensorProto], restore: list[onnx.NodeProto]) -> None:
    graph.initializer.remove(weight)
    graph.initializer.extend(stored)
    for node in reversed(restore):      # nodes stand in the order of computation
        graph.node.insert(0, node)
