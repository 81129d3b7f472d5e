# SPDX-License-Identifier: Apache-2.0
"""Smaller builds of an exported model, each scored on validation data before it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
import shutil
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.training.checkpoint import plan_of, read_checkpoint
from tunnel_crack_ros.training.export import export, plain_metrics, write_card
from tunnel_crack_ros.training.fit import split_images
from tunnel_crack_ros.training.models import Architecture
from tunnel_crack_ros.training.onnx_network import OnnxNetwork, SegmenterNetwork
from tunnel_crack_ros.training.quantise import quantise
from tunnel_crack_ros.training.recipes import OURS
from tunnel_crack_ros.training.samples import CropSamples, FrameSamples
from tunnel_crack_ros.training.small_weights import store_fp16, store_int8
from tunnel_crack_ros.training.validation import (
    Metric,
    PEAKS,
    THRESHOLDS,
    validate_classifier,
    validate_segmenter,
    Validation,
)
from tunnel_crack_ros.vision.model_card import ModelCard

PRECISIONS = ('fp32', 'int8', 'fp16', 'int8_weights')
CALIBRATION_IMAGES = 160
_COMPARED_FRAMES = 8
# task: the metric that decides, and how much of it a build may lose against fp32
_LIMITS = {'classifier': ('accuracy', 0.005), 'segmenter': ('iou', 0.01)}


@dataclass(frozen=True, slots=True)
class Build:
    """One build of a model: its files, or why there are none."""

    name: str
    precision: str
    metric: str             # accuracy or iou, on validation data
    value: float            # 0..1
    lost: float             # of that metric against fp32; negative: gained
    megabytes: float        # of the ONNX file
    refused: str            # ''; or why it was not written
    model: Path             # the ONNX file; its card has the same stem
    max_difference: float   # of a probability, fp32 in ONNX Runtime against PyTorch
    compared_frames: int


def export_builds(checkpoint: Path, out: Path, data: Path, precisions: Sequence[str], *,
                  without_crack: Sequence[Path] = (), half_scale: bool = False,
                  enlarge: float = 1.0, input_side: int = 0,
                  at: tuple[float, float] | None = None,
                  progress: Callable[[int, int], None] | None = None) -> list[Build]:
    """Write a checkpoint as `<model>.onnx` (fp32), `<model>_int8.onnx` and so on, with cards.

    Every build, fp32 first, is run by ONNX Runtime over the validation images and scored as
    training does; the metrics on its card come from there. Threshold and peak are chosen for fp32
    and all builds take them: what a build loses is not mixed with what another threshold gives.
    A build that loses more than 0.5 points of accuracy or 1 point of IoU against fp32 is not
    written.

    int8 is calibrated on 160 training samples. fp16 and int8_weights only store the weights so
    (see `small_weights`).

    :param checkpoint: a `.best.pt` of `fit.train`; simulated frames of the run are taken from the
        folder `simulated` beside it.
    :param out: folder of the model files; made when missing.
    :param data: the folder the network was trained on.
    :param precisions: some of PRECISIONS.
    :param without_crack: the folders of photographs without crack that the run was given.
    :param half_scale: segmenters: see the card, as of the next.
    :param enlarge: factor; 1: frames are not seen enlarged.
    :param input_side: classifiers: see frames at this many px a side; 0: as in training. A network
        trained on views of parts of a frame does best at more (Touvron et al., *Fixing the
        train-test resolution discrepancy*, 2019).
    :param at: threshold and peak of a segmenter instead of the best on validation, of those tried
        there (`validation.THRESHOLDS`, `PEAKS`).
    :param progress: told builds scored and builds in all.
    :return: one entry for each of `precisions`, in their order.
    :raises ValueError: an unknown precision, no such checkpoint, it cannot take such an input, or
        `at` is none of those tried, or given for a classifier.
    :raises DatasetError: the data cannot be read.
    :raises ExportError: the fp32 graph does not do what the network does.
    """
    unknown = sorted(set(precisions) - set(PRECISIONS))
    if unknown or not precisions:
        raise ValueError(f"unknown build '{', '.join(unknown)}'; expected some of "
                         f"{', '.join(PRECISIONS)}")
    state = read_checkpoint(checkpoint)
    plan = plan_of(state, input_side)
    point = _operating_point(plan, at)
    training, validating = images_of_run(state, data, checkpoint.parent, without_crack)
    metric, limit = _LIMITS[plan.task]
    order = [name for name in PRECISIONS if name == 'fp32' or name in precisions]
    made: dict[str, Build] = {}
    with tempfile.TemporaryDirectory() as folder:
        frames = validating[::max(1, len(validating) // _COMPARED_FRAMES)][:_COMPARED_FRAMES]
        fp32 = export(checkpoint, Path(folder), frames=frames, half_scale=half_scale,
                      enlarge=enlarge, input_side=input_side)
        card = ModelCard.read(fp32.card)
        reference: float = 0.0
        for done, precision in enumerate(order):
            if progress:
                progress(done, len(order))
            name = card.name if precision == 'fp32' else f'{card.name}_{precision}'
            path = Path(folder) / f'{name}.onnx'
            if precision != 'fp32':
                small = _make(precision, onnx.load(str(fp32.model)), card, plan, state, training)
                onnx.save(small, str(path))
                write_card(path, replace(card, name=name, file=path.name, precision=precision))
            found = score(path, plan, validating, point)
            decisive = next(entry for entry in found.metrics if entry.name == metric)
            if precision == 'fp32':
                reference, point = decisive.value, found
            lost = reference - decisive.value
            write_card(path, replace(
                card, name=name, file=path.name, precision=precision,
                threshold=round(found.threshold, 3), peak=found.peak, metrics=plain_metrics(
                    (*found.metrics, replace(decisive, name=f'{metric}_lost', value=lost))
                    if precision != 'fp32' else found.metrics)))
            refused = '' if lost <= limit else _refusal(name, decisive, reference, limit)
            made[precision] = Build(
                name, precision, metric, decisive.value, lost, path.stat().st_size / 1e6, refused,
                out / path.name, fp32.max_difference, fp32.compared_frames)
            if precision in precisions and not refused:
                out.mkdir(parents=True, exist_ok=True)
                for file in (path, path.with_suffix('.yaml')):
                    shutil.copyfile(file, out / file.name)
        if progress:
            progress(len(order), len(order))
    return [made[precision] for precision in precisions]


def _operating_point(plan: Architecture, at: tuple[float, float] | None) -> Validation | None:
    if at is None:
        return None
    if plan.task != 'segmenter':
        raise ValueError(f'threshold and peak are given for a {plan.task}; expected a segmenter')
    for name, value, tried in (('threshold', at[0], THRESHOLDS), ('peak', at[1], PEAKS)):
        if value not in tried:
            known = ', '.join(f'{each:g}' for each in tried)
            raise ValueError(f'{name} is {value:g}; expected one of {known}')
    return Validation(0.0, at[0], (), at[1])


def images_of_run(state: dict[str, Any], data: Path, folder: Path,
                  without_crack: Sequence[Path] = ()
                  ) -> tuple[list[CrackImage], list[CrackImage]]:
    """Find the images that a run was trained and validated on.

    :param state: the run's checkpoint.
    :param data: the folder it was given.
    :param folder: its folder of results; `simulated` in it holds the frames it rendered.
    :return: training and validation images.
    """
    rendered = len(list((folder / 'simulated' / 'masks').glob('*.png')))
    simulated = rendered if 'simulated' in state['training_data'] else 0
    recipe = replace(OURS[plan_of(state).task], source_weights=_weights(state))
    return split_images(data, recipe, simulated, without_crack, folder)


def score(path: Path, plan: Architecture, images: Sequence[CrackImage],
          at: Validation | None = None) -> Validation:
    """Run a deployed model over validation images and score it as training does the network.

    A segmenter sees them at all sizes that its card asks for.

    :param path: ONNX file, a segmenter's with its card beside it.
    :param at: whose threshold and peak to score at; None: the best.
    """
    device = torch.device('cpu')
    if plan.task == 'segmenter':
        return validate_segmenter(SegmenterNetwork(path), images, device, at)
    return validate_classifier(OnnxNetwork(path), images, plan.input_size, device, at)


def _make(precision: str, model: onnx.ModelProto, card: ModelCard, plan: Architecture,
          state: dict[str, Any], training: list[CrackImage]) -> onnx.ModelProto:
    if precision == 'fp16':
        return store_fp16(model)
    if precision == 'int8_weights':
        return store_int8(model)
    return quantise(model, calibration_pictures(plan, training, state), list(card.taps.values()))


def calibration_pictures(plan: Architecture, training: list[CrackImage],
                         state: dict[str, Any], count: int | None = None,
                         ) -> list[npt.NDArray[np.uint8]]:
    """Draw training samples of a run: uint8, H x W x 3, RGB, of the network's size.

    :param training: what the run trained on.
    :param state: its checkpoint.
    :param count: how many of them are wanted; default: all `CALIBRATION_IMAGES`.
    """
    weights = _weights(state)
    samples: CropSamples | FrameSamples
    if plan.task == 'segmenter':
        samples = CropSamples(training, weights, CALIBRATION_IMAGES, 0, min(plan.input_size))
    else:
        samples = FrameSamples(training, weights, CALIBRATION_IMAGES, 0, plan.input_size)
    return [samples[number][0].numpy() for number in range(count or CALIBRATION_IMAGES)]


def _weights(state: dict[str, Any]) -> dict[str, float]:
    weights: dict[str, float] = state.get('recipe', {}).get('source_weights', {})
    return weights


def _refusal(name: str, found: Metric, reference: float, limit: float) -> str:
    return (f'{name}: {found.name} on {found.images} validation images is {found.value:.4f}, '
            f'{reference:.4f} in fp32: it loses {reference - found.value:.4f}, '
            f'expected at most {limit:g}')
