# SPDX-License-Identifier: Apache-2.0
"""The mean of a trained network's weights and those of the deployed file that it started from.

A network that learns new pictures forgets some of what it knew. Where it started from a deployed
file and has not gone far, the mean of both sets of weights keeps most of the old and has most of
the new (Wortsman et al., *Robust fine-tuning of zero-shot models*, CVPR 2022, equation 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper
import torch

from tunnel_crack_ros.training.builds import calibration_pictures, images_of_run, score
from tunnel_crack_ros.training.checkpoint import (
    data_of_start,
    plan_of,
    read_checkpoint,
    write_checkpoint,
)
from tunnel_crack_ros.training.deployed_weights import load_deployed
from tunnel_crack_ros.training.export import export, write_card
from tunnel_crack_ros.training.licences import most_of_each
from tunnel_crack_ros.training.small_weights import restored
from tunnel_crack_ros.vision.model_card import ModelCard

_PICTURES = 16      # whose statistics the batch normalisations get
_WITH_WEIGHTS = ('Conv', 'BatchNormalization', 'Gemm')


def write_mean(checkpoint: Path, deployed: Path, data: Path, out: Path,
               share: float = 0.5, without_crack: Sequence[Path] = ()) -> Path:
    """Write `<model>.best.pt`, a checkpoint of the mean of both.

    The weights are those of the exported graphs, in which batch normalisations are folded into
    the convolutions before them. The mean is scored on the validation images anew.

    :param checkpoint: a `.best.pt` of `fit.train`.
    :param deployed: ONNX file of the same model with its card beside it: fp32, fp16 or
        int8_weights.
    :param data: the folder the checkpoint was trained on.
    :param out: folder for the checkpoint; made when missing.
    :param share: of the checkpoint's weights, 0..1; the rest is the deployed file's.
    :param without_crack: the folders of photographs without crack that the run was given.
    :return: the checkpoint's path.
    :raises ValueError: a share outside 0..1, a missing file, or a file of another model.
    :raises DatasetError: the data cannot be read.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f'share is {share}; expected 0 to 1')
    state = read_checkpoint(checkpoint)
    model, plan = state['model'], plan_of(state)
    path = out / f'{model}.best.pt'
    if path.resolve() == checkpoint.resolve():
        raise ValueError(f'{path} is the checkpoint itself; expected another folder to write to')
    training, validating = images_of_run(state, data, checkpoint.parent, without_crack)
    pictures = torch.from_numpy(np.stack(calibration_pictures(
        plan, training, state, _PICTURES)))
    network = plan.build(False)
    load_deployed(network, model, deployed, pictures[:1])   # says what is wrong with the file
    with tempfile.TemporaryDirectory() as folder:
        made = export(checkpoint, Path(folder))
        graph = onnx.load(str(made.model))
        _mix(graph, restored(onnx.load(str(deployed))), share)
        onnx.save(graph, str(made.model))
        write_card(made.model, ModelCard.read(made.card))       # its hash is another now
        load_deployed(network, model, made.model, pictures)
        validation = score(made.model, plan, validating)
    out.mkdir(parents=True, exist_ok=True)
    rendered, beside = checkpoint.parent / 'simulated', out / 'simulated'
    if rendered.is_dir() and not beside.exists():
        beside.symlink_to(rendered.resolve())       # export validates on the run's own frames
    write_checkpoint(state | {
        'network': network.state_dict(), 'validation': validation.to_dict(),
        'training_data': most_of_each(data_of_start(deployed), state['training_data'])}, path)
    return path


def _mix(graph: onnx.ModelProto, other: onnx.ModelProto, share: float) -> None:
    own = {each.name: each for each in graph.graph.initializer}
    foreign = {each.name: each for each in other.graph.initializer}
    for mine, theirs in zip(_weights(graph), _weights(other), strict=True):
        kept = numpy_helper.to_array(own[mine])
        mixed = share * kept + (1.0 - share) * numpy_helper.to_array(foreign[theirs])
        own[mine].CopyFrom(numpy_helper.from_array(mixed.astype(kept.dtype), mine))


def _weights(graph: onnx.ModelProto) -> Iterator[str]:
    """Give the names of all layers' weights, in the order in which the layers run."""
    names = {each.name for each in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type in _WITH_WEIGHTS:
            yield from (name for name in node.input[1:] if name in names)
