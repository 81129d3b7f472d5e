# SPDX-License-Identifier: Apache-2.0
"""Turn a checkpoint into an ONNX file and its card, and check one against the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
import warnings

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import nn

from tunnel_crack_ros import __version__
from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.training.checkpoint import plan_of, read_checkpoint
from tunnel_crack_ros.training.licences import licence_summary, training_data
from tunnel_crack_ros.training.models import Architecture, Normalise, Tap
from tunnel_crack_ros.training.same_padding import freeze_same_padding
from tunnel_crack_ros.training.samples import fit
from tunnel_crack_ros.training.validation import Metric, Validation
from tunnel_crack_ros.vision.model_card import ModelCard, sha256_of

OPSET = 17
MAX_DIFFERENCE = 1e-3   # of a probability; float32 rounding in 60 layers stays far below
_TAP_PREFIX = 'tap_'


class ExportError(RuntimeError):
    """The exported graph does not do what the network does."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` wrote."""

    model: Path
    card: Path
    max_difference: float   # of a probability, ONNX Runtime against PyTorch
    compared_frames: int


class Deployed(nn.Module):
    """A network from camera pixels to probabilities, as the model contract wants it."""

    def __init__(self, network: nn.Module, plan: Architecture, with_taps: bool = False) -> None:
        """Wrap a trained network.

        :param network: used as it is, not copied.
        :param with_taps: also give the tensors of `plan.taps`, in their order.
        """
        super().__init__()
        self._normalise = Normalise()
        self._network = network
        self._is_segmenter = plan.task == 'segmenter'
        self._taps: dict[str, torch.Tensor] = {}
        for tap in dict.fromkeys(plan.taps.values() if with_taps else ()):
            self._listen(tap)

    def _listen(self, tap: Tap) -> None:
        def keep(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            self._taps[_tensor_name(tap)] = inputs[0] if tap.of_input else output
        self._network.get_submodule(tap.module).register_forward_hook(keep)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...] | torch.Tensor:
        """Run uint8 N x H x W x 3, RGB; sides of a segmenter's image are multiples of 32."""
        self._taps.clear()
        logits = self._network(self._normalise(image))
        result = logits[:, 0].sigmoid() if self._is_segmenter else logits.softmax(1)
        return (result, *self._taps.values()) if self._taps else result

    @property
    def tap_names(self) -> list[str]:
        """Names of the tensors that the last call gave beside the result, in their order."""
        return list(self._taps)


def export(checkpoint: Path, out: Path, *, frames: Sequence[CrackImage] = (),
           half_scale: bool = False, enlarge: float = 1.0, input_side: int = 0) -> Exported:
    """Write `<model>.onnx` and `<model>.yaml`.

    :param checkpoint: a `.best.pt` of `fit.train`.
    :param out: folder of the model files; made when missing.
    :param frames: photographs on which the graph is compared with PyTorch, besides noise.
    :param half_scale: segmenters: have frames seen at half their size too, see the card.
    :param enlarge: segmenters: have frames seen enlarged by this factor too; 1: not.
    :param input_side: classifiers: see frames at this many px a side; 0: as in training. The
        card's threshold and metrics still are the training's; `builds` finds new ones.
    :raises ValueError: no such checkpoint, or it cannot take such an input.
    :raises ExportError: the graph's probabilities differ by more than 0.001.
    """
    state = read_checkpoint(checkpoint)
    name = state['model']
    plan = plan_of(state, input_side)
    network = plan.build(False)
    network.load_state_dict(state['network'])
    network.eval()
    validation = Validation.from_dict(state['validation'])
    out.mkdir(parents=True, exist_ok=True)
    path = out / f'{name}.onnx'
    taps = write_graph(network, plan, path)
    data = training_data(state['training_data'])
    write_card(path, ModelCard(
        name=name, file=path.name, sha256='', task=plan.task, architecture=plan.title,
        classes=['background', 'crack'], input_size=plan.input_size,
        threshold=round(validation.threshold, 3), peak=round(validation.peak, 3),
        half_scale=half_scale and plan.task == 'segmenter',
        enlarge=enlarge if plan.task == 'segmenter' else 1.0,
        precision='fp32', version=__version__, teacher=state.get('teacher', ''),
        training_data=data, licences=licence_summary(data),
        metrics=plain_metrics(validation.metrics), taps=taps))
    difference = compare(network, plan, path, frames)
    if difference > MAX_DIFFERENCE:
        path.with_suffix('.yaml').unlink()
        raise ExportError(f'{path}: probabilities differ from PyTorch by {difference:.2e}; '
                          f'expected at most {MAX_DIFFERENCE:.0e}')
    return Exported(path, path.with_suffix('.yaml'), difference, len(frames))


def write_card(path: Path, card: ModelCard) -> None:
    """Write a card into an ONNX file's metadata, and beside the file with its hash.

    :param path: the ONNX file.
    """
    graph = onnx.load(str(path))
    onnx.helper.set_model_props(graph, card.metadata_props())
    onnx.save(graph, str(path))
    replace(card, sha256=sha256_of(path)).write(path.with_suffix('.yaml'))


def plain_metrics(metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Metrics as a card holds them."""
    return [asdict(metric) | {'value': round(metric.value, 4)} for metric in metrics]


def write_graph(network: nn.Module, plan: Architecture, path: Path) -> dict[str, str]:
    """Trace a network into an ONNX file without metadata.

    :param network: trained, in evaluation mode.
    :return: plain name of each tapped layer -> name of its tensor in the graph.
    """
    width, height = plan.input_size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    deployed = Deployed(freeze_same_padding(network), plan, with_taps=True).eval()
    with torch.inference_mode():
        deployed(example)
    result = 'confidence' if plan.task == 'segmenter' else 'probabilities'
    axes: dict[str, dict[int, str]] = {'image': {0: 'batch'}, result: {0: 'batch'}}
    if plan.task == 'segmenter':
        axes['image'] |= {1: 'height', 2: 'width'}
        axes[result] |= {1: 'height', 2: 'width'}
    names = deployed.tap_names
    with warnings.catch_warnings():
        # the tracing exporter is the one that allows free sizes here; it announces its end
        warnings.simplefilter('ignore', DeprecationWarning)
        warnings.filterwarnings('ignore', 'Constant folding', UserWarning)
        torch.onnx.export(
            deployed, (example,), str(path), input_names=['image'],
            output_names=[result, *names], dynamic_axes=axes, opset_version=OPSET, dynamo=False)
    graph = onnx.load(str(path))
    # The tapped tensors keep their names but are no outputs: only the explainer asks for them.
    kept = [output for output in graph.graph.output if output.name == result]
    del graph.graph.output[:]
    graph.graph.output.extend(kept)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(path))
    made = {tensor for node in graph.graph.node for tensor in node.output}
    missing = sorted(set(names) - made)
    if missing:
        raise ExportError(f"{path}: the graph lost the tensors {', '.join(missing)}")
    return {layer: _tensor_name(tap) for layer, tap in plan.taps.items()}


def compare(network: nn.Module, plan: Architecture, path: Path,
            frames: Sequence[CrackImage]) -> float:
    """Run PyTorch and ONNX Runtime on the same pixels.

    Noise of several sizes and batches, then the photographs.

    :return: the largest difference of a probability.
    """
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    # the network itself, with its own padding, is what the graph must equal
    deployed = Deployed(network, plan).eval()
    worst = 0.0
    for pixels in _inputs(plan, frames):
        with torch.inference_mode():
            expected = deployed(torch.from_numpy(pixels)).numpy()  # type: ignore[union-attr]
        found, = session.run(None, {'image': pixels})
        worst = max(worst, float(np.abs(found - expected).max()))
    return worst


def _inputs(plan: Architecture, frames: Sequence[CrackImage]) -> list[npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    width, height = plan.input_size
    shapes = [(1, height, width)]
    shapes += [(3, 96, 160), (2, 352, 224)] if plan.task == 'segmenter' else [(3, height, width)]
    noise = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    pictures = [fit(*frame.read(), (width, height))[0] for frame in frames]
    return noise + [np.ascontiguousarray(picture)[np.newaxis] for picture in pictures]


def _tensor_name(tap: Tap) -> str:
    side = '.input' if tap.of_input else ''
    return f'{_TAP_PREFIX}{tap.module}{side}'
