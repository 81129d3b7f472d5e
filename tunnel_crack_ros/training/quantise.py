# SPDX-License-Identifier: Apache-2.0
"""Quantise a graph to int8: weights and the tensors between the layers.

QDQ format, one scale an output channel for weights, one a tensor for activations, ranges from the
smallest and largest value on training images. Weights use 7 of the 8 bits: a CPU without VNNI adds
two products in 16 bits, which 8 overflow, and the build would be worse there than where it was
measured. Normalisation, and the last layer with the sigmoid
or softmax behind it, stay in float32: they cost nothing, and a logit in steps of a 255th of its
range would make a coarse probability.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    quantize_static,
    QuantType,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

# layers, and the question for a shape: not the way of pixels
_ENDS = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'Shape')


class _Images(CalibrationDataReader):  # type: ignore[misc]

    def __init__(self, images: Iterable[npt.NDArray[np.uint8]]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._images, None)
        return None if image is None else {'image': image[np.newaxis]}


def quantise(model: onnx.ModelProto, images: Iterable[npt.NDArray[np.uint8]],
             taps: Sequence[str] = ()) -> onnx.ModelProto:
    """Copy a graph of the model contract, quantised.

    Shape arithmetic on constants, as fixed paddings leave it, is computed beforehand.

    :param model: float32, input `image`, one output.
    :param images: to calibrate on: uint8, H x W x 3, RGB, of a size that the graph takes.
    :param taps: tensors that must keep their names; they hold the dequantised values then.
    :raises ValueError: no image, or a tap is lost.
    """
    result = model.graph.output[0].name
    with tempfile.TemporaryDirectory() as folder:
        plain, folded, small = (Path(folder) / f'{name}.onnx'
                                for name in ('plain', 'folded', 'small'))
        onnx.save(_with_outputs(model, taps), plain)
        quant_pre_process(plain, folded, skip_symbolic_shape=True)
        graph = onnx.load(str(folded))
        for number, node in enumerate(graph.graph.node):
            node.name = node.name or f'{node.op_type}_{number}'
        onnx.save(graph, folded)
        reader = _Images(images)
        quantize_static(
            str(folded), str(small), reader, quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=True,
            nodes_to_exclude=sorted(_float_nodes(graph.graph, result)),
            calibrate_method=CalibrationMethod.MinMax)
        made = onnx.load(str(small))
    kept = [output for output in made.graph.output if output.name == result]
    del made.graph.output[:]
    made.graph.output.extend(kept)
    # the tools declare operator sets that no node uses and that other engines do not know
    used = {node.domain for node in made.graph.node}
    sets = [entry for entry in made.opset_import if entry.domain in used]
    del made.opset_import[:]
    made.opset_import.extend(sets)
    missing = sorted(set(taps) - {name for node in made.graph.node for name in node.output})
    if missing:
        raise ValueError(f"quantisation lost the tensors {', '.join(missing)}")
    return made


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Copy a graph with more outputs: the tools keep an output's name."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in dict.fromkeys(names))
    return made


def _float_nodes(graph: onnx.GraphProto, result: str) -> set[str]:
    """Name the nodes before the first layer, the last layer, and those behind it."""
    behind = _walk(result, lambda name: [n for n in graph.node if name in n.output],
                   lambda node: node.input)
    before = _walk('image', lambda name: [n for n in graph.node if name in n.input],
                   lambda node: node.output)
    return ({node.name for node in behind}
            | {node.name for node in before if node.op_type not in _ENDS})


def _walk(start: str, nodes_at: Callable[[str], list[onnx.NodeProto]],
          further: Callable[[onnx.NodeProto], Iterable[str]]) -> list[onnx.NodeProto]:
    """Follow tensors from one on, up to and with the first layer on each way."""
    found: dict[str, onnx.NodeProto] = {}
    names = [start]
    while names:
        for node in nodes_at(names.pop()):
            if node.name not in found:
                found[node.name] = node
                if node.op_type not in _ENDS:
                    names += [name for name in further(node) if name]
    return list(found.values())
