# SPDX-License-Identifier: Apache-2.0
"""Make inner tensors of an ONNX graph outputs, in memory and without the `onnx` package."""

from __future__ import annotations

from collections.abc import Sequence

# field numbers of onnx.proto
_MODEL_GRAPH = 7
_GRAPH_OUTPUT = 12
_VALUE_NAME = 1


def with_outputs(model: bytes, tensors: Sequence[str]) -> bytes:
    """Return an ONNX file that also gives some inner tensors.

    Protocol Buffers merges a message that comes twice, and joins its lists: a second graph that
    holds nothing but outputs adds them to the first. ONNX Runtime infers their types.

    :param model: the file's bytes.
    :param tensors: names of tensors that the graph makes.
    """
    outputs = b''.join(_field(_GRAPH_OUTPUT, _field(_VALUE_NAME, name.encode()))
                       for name in tensors)
    return model + _field(_MODEL_GRAPH, outputs) if outputs else model


def _field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Return a whole number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while value > 0x7f:
        groups.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes([*groups, value])
