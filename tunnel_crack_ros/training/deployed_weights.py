# SPDX-License-Identifier: Apache-2.0
"""Take the weights of a deployed ONNX model back into its network, to train it further.

Export folds each batch normalisation into the convolution before it. To be trained again the
network needs them apart: the convolution keeps the folded weights, and the normalisation gets the
mean and variance of that convolution's output on some pictures, with a scale and shift that undo
them. In evaluation the network then does what the file does; in training its batches are
normalised as they should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper
import torch
from torch import nn

from tunnel_crack_ros.training.models import Normalise
from tunnel_crack_ros.training.small_weights import restored
from tunnel_crack_ros.vision.model_card import ModelCard

_PRECISIONS = ('fp32', 'fp16', 'int8_weights')
_KINDS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
_NODES = {'Conv': nn.Conv2d, 'BatchNormalization': nn.BatchNorm2d, 'Gemm': nn.Linear}


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer of the graph and the weights it carries."""

    kind: type[nn.Module]
    weights: list[torch.Tensor]


def load_deployed(network: nn.Module, model: str, path: Path, images: torch.Tensor) -> int:
    """Give a network the weights of an ONNX file that was exported from one like it.

    :param network: as `models.architecture(model).build` makes it.
    :param path: ONNX file with its card beside it: fp32, or one whose weights only are stored
        small (fp16, int8_weights).
    :param images: uint8, N x H x W x 3, sides multiples of 32: pictures as the network will be
        trained on; their statistics become those of the batch normalisations.
    :return: number of layers that got weights.
    :raises ValueError: no such file; a file of another model or an int8 build, whose layers are
        rounded too; or layers that differ.
    """
    if not path.is_file():
        raise ValueError(f'{path}: no such model file')
    card = ModelCard.read(path.with_suffix('.yaml'))
    if (card.name.removesuffix(f'_{card.precision}') != model
            or card.precision not in _PRECISIONS):
        raise ValueError(f'{path} is {card.name} ({card.precision}); expected {model} '
                         f"({', '.join(_PRECISIONS)})")
    graph = _layers_of_graph(path)
    modules = list(_in_order(network, images[:1]))
    taken = 0
    followers: dict[nn.Module, nn.Module] = dict(zip(modules, modules[1:]))
    hooks = []
    waiting = iter(graph)
    skipped: nn.Module | None = None
    with torch.no_grad():
        for module in modules:
            if module is skipped:
                continue
            layer = next(waiting, None)
            if layer is None or not isinstance(module, layer.kind):
                raise _differs(path, module, layer)
            shift = layer.weights[1] if len(layer.weights) > 1 else None
            if isinstance(module, nn.Conv2d) and module.bias is None and shift is not None:
                skipped = followers.get(module)
                if not isinstance(skipped, nn.BatchNorm2d):
                    raise _differs(path, module, layer)
                _copy(path, module, ('weight',), layer.weights[:1])
                hooks.append(skipped.register_forward_pre_hook(_unfold(shift)))
            else:
                names = ('weight', 'bias', 'running_mean', 'running_var')
                _copy(path, module, names[:len(layer.weights)], layer.weights)
            taken += 1
        if next(waiting, None) is not None:
            raise ValueError(f'{path}: has more layers than {model} ({taken})')
        network.eval()(Normalise()(images))     # the hooks set the normalisations on the way
    for hook in hooks:
        hook.remove()
    return taken


def _layers_of_graph(path: Path) -> list[_Layer]:
    graph = restored(onnx.load(str(path))).graph
    numbers = {each.name: each for each in graph.initializer}
    return [_Layer(_NODES[node.op_type],
                   [torch.from_numpy(numpy_helper.to_array(numbers[name]).copy())
                    for name in node.input[1:] if name in numbers])
            for node in graph.node if node.op_type in _NODES]


def _in_order(network: nn.Module, images: torch.Tensor) -> Iterator[nn.Module]:
    """Give the layers in the order in which they run, which is the graph's."""
    seen: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        seen.append(module)

    hooks = [module.register_forward_hook(note) for module in network.modules()
             if isinstance(module, _KINDS)]
    with torch.inference_mode():
        network.eval()(Normalise()(images))
    for hook in hooks:
        hook.remove()
    return iter(seen)


def _unfold(shift: torch.Tensor) -> Any:
    def set_statistics(module: nn.BatchNorm2d, inputs: tuple[torch.Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
        assert module.running_mean is not None and module.running_var is not None
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance)
        module.weight.copy_((variance + module.eps).sqrt())
        module.bias.copy_(shift + mean)
    return set_statistics


def _copy(path: Path, module: nn.Module, names: tuple[str, ...],
          weights: list[torch.Tensor]) -> None:
    for name, tensor in zip(names, weights):
        own = getattr(module, name)
        if own is None or own.shape != tensor.shape:
            raise ValueError(f'{path}: {name} of {list(tensor.shape)} where the network has '
                             f'{None if own is None else list(own.shape)}')
        own.copy_(tensor)


def _differs(path: Path, module: nn.Module, layer: _Layer | None) -> ValueError:
    found = 'no more layers' if layer is None else f'a {layer.kind.__name__}'
    return ValueError(f'{path}: has {found} where the network has a {type(module).__name__}')
