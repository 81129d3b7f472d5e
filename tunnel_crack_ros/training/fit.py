# SPDX-License-Identifier: Apache-2.0
"""Train one network; resumable, and the same run for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import csv
from dataclasses import asdict, dataclass, replace
import math
from pathlib import Path
import time
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset, CrackImage
from tunnel_crack_ros.training.cell_head import CellHead
from tunnel_crack_ros.training.checkpoint import (
    data_of_start,
    differences,
    read_run,
    read_start,
    write_checkpoint,
)
from tunnel_crack_ros.training.clean_folder import clean_images, natural_order
from tunnel_crack_ros.training.deployed_weights import load_deployed
from tunnel_crack_ros.training.distillation import Distillation, reduced, Teacher
from tunnel_crack_ros.training.licences import most_of_each
from tunnel_crack_ros.training.losses import cell_loss, CrackLoss, DiceLoss, FrameLoss
from tunnel_crack_ros.training.mining import FalseAlarm, mine_false_alarms
from tunnel_crack_ros.training.models import Architecture, architecture, Normalise
from tunnel_crack_ros.training.precision import autocast, depthwise_in_float32
from tunnel_crack_ros.training.recipes import OURS, Recipe
from tunnel_crack_ros.training.samples import CropSamples, FrameSamples
from tunnel_crack_ros.training.simulated import simulated_images
from tunnel_crack_ros.training.tensorboard_curves import TensorBoardCurves
from tunnel_crack_ros.training.validation import (
    check_images,
    validate_classifier,
    validate_segmenter,
    Validation,
)
from tunnel_crack_ros.training.warm_start import start_network
from tunnel_crack_ros.training.whole_frames import WholeFrames

_OWN_CLEAN_WEIGHT = 3.0     # as often as the most drawn sources of the recipes
_CALIBRATION_SAMPLES = 32   # whose statistics a deployed model's normalisations start from
_OF = 200       # frames of which the first 20, one after the other, validate
_WARM_UP = 0.1      # share of the steps in which the learning rate rises


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch brought."""

    number: int                     # from 1
    of: int
    loss: float                     # mean over the epoch's steps
    seconds: float
    validation: Validation | None   # None when this epoch was not validated
    is_best: bool


def train(model: str, data: Path, out: Path, *, recipe: Recipe | None = None,
          simulated: int = 0, without_crack: Sequence[Path] = (), seed: int = 0,
          resume: bool = False,
          start_from: Path | None = None, pretrained: bool = True, teacher: str | None = None,
          mine_with: str | None = None,
          on_step: Callable[[int, int, float], None] | None = None,
          on_epoch: Callable[[Epoch], None] | None = None) -> Path:
    """Train a network and keep the weights of its best epoch.

    Files in `out`: `<model>.best.pt` (for `export`), `<model>.last.pt` (for `resume`),
    `<model>.curves.csv` and `tensorboard/<model>`.

    :param model: name in `models.ARCHITECTURES`.
    :param data: folder that `CrackDataset` reads. Without splits of its own, every tenth group is
        held out for validation.
    :param out: folder of the results; made when missing.
    :param recipe: by default that of the model's task in `recipes.OURS`.
    :param simulated: frames of simulated linings to render and mix in; a tenth of them validates.
    :param without_crack: folders of photographs without any crack, to mix in; the name of each
        is a source, and a tenth of its pictures validates.
    :param seed: of weights, samples and dropout.
    :param resume: go on from `<model>.last.pt`; the result is that of a run never stopped.
    :param start_from: `.best.pt` of an earlier run whose weights are the start: all of them, or
        of another model those of the encoder, if that is the same (`warm_start`); or a state
        dict of the encoder, as torchvision's ImageNet weights; or a deployed `.onnx` of this
        model, but int8 (`deployed_weights`).
    :param pretrained: start from ImageNet weights, unless `start_from` is given.
    :param teacher: name or path of an ONNX model of the same task, whose answers and features
        are learned beside the labels (`distillation`).
    :param mine_with: segmenters: name or path of an ONNX segmenter whose false alarms on the
        training images without crack are drawn more often (`mining`).
    :param on_step: told steps done, steps in all and the loss.
    :param on_epoch: told every epoch's result.
    :return: path of `<model>.best.pt`.
    :raises DatasetError: the data cannot be read.
    :raises ModelError: the teacher cannot be loaded.
    :raises ValueError: unknown model, one that cannot take the recipe's input, or a checkpoint
        of another run.
    """
    recipe = recipe or OURS[architecture(model).task]
    plan = architecture(model, recipe.input_side)
    recipe = replace(recipe, source_weights=dict(recipe.source_weights) | {
        folder.resolve().name: _OWN_CLEAN_WEIGHT for folder in without_crack})
    out.mkdir(parents=True, exist_ok=True)
    training, validating = split_images(data, recipe, simulated, without_crack, out)
    check_images(validating, plan.task)
    torch.manual_seed(seed)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    network = plan.build(pretrained and start_from is None)
    taught_by = Teacher(teacher, plan) if teacher else None
    mined = (mine_false_alarms(mine_with, training)
             if mine_with is not None and plan.task == 'segmenter' else [])
    samples = _samples(plan, recipe, training, seed,
                       taught_by.input_size if taught_by else plan.input_size, mined)
    before: dict[str, int] = {}
    if start_from is not None:
        _start(network, model, start_from, samples)
        before = data_of_start(start_from)
    run = _Run(plan, recipe, network, len(samples) // recipe.batch_size, device, taught_by)
    best, first_epoch, best_score = out / f'{model}.best.pt', 0, -math.inf
    last = out / f'{model}.last.pt'
    made_of = {
        'seed': seed, 'start': start_from.name if start_from is not None else '',
        'teacher': taught_by.identity if taught_by is not None else '',
        'images': count_sources(training),
        'mined': [[alarm.image.source, alarm.image.stem, alarm.x, alarm.y] for alarm in mined],
        # how often one looks changes nothing of what is learned
        'recipe': _plain(replace(recipe, validate_every=1))}
    if resume:
        state = read_run(last, model)
        if others := differences({'mined': [], **state.get('made_of', {})}, made_of):
            raise ValueError(f'{last}: was trained with another {others}; expected the same for '
                             'a run that goes on, or another --out')
        run.load_state_dict(state['run'])
        first_epoch, best_score = state['epoch'], state['best_score']
    # what taught the start or the teacher taught the network too
    training_data = most_of_each(before, taught_by.training_data if taught_by else {},
                                 count_sources(training))
    total = recipe.epochs * run.steps_per_epoch
    curves = TensorBoardCurves(out / 'tensorboard' / model, first_epoch * run.steps_per_epoch)
    for number in range(first_epoch, recipe.epochs):
        start = time.monotonic()
        samples.set_epoch(number)
        torch.manual_seed(seed * 100_003 + number)      # dropout, the same after a resume
        losses = []
        for images, *labels in DataLoader(samples, recipe.batch_size, drop_last=True):
            learning_rate = run.learning_rate
            losses.append(run.step(images, *labels))
            steps_done = number * run.steps_per_epoch + len(losses)
            curves.step(steps_done, losses[-1], learning_rate)
            if on_step:
                on_step(steps_done, total, losses[-1])
        due = (number + 1) % recipe.validate_every == 0 or number + 1 == recipe.epochs
        validation = run.validate(validating) if due else None
        score = -math.inf
        if validation is not None:
            score = (validation.score if recipe.best_by == 'score'
                     else -run.mean_loss(validating))
        # of equal ones the longest trained: a small folder's are all 1, or still 0
        is_best = validation is not None and score >= best_score
        if is_best and validation is not None:
            best_score = score
            write_checkpoint({
                'model': model, 'network': run.average.module.state_dict(),
                'validation': validation.to_dict(), 'training_data': training_data,
                'teacher': taught_by.identity if taught_by else '',
                'recipe': _plain(recipe), 'seed': seed, 'epoch': number + 1}, best)
        write_checkpoint({'model': model, 'run': run.state_dict(), 'epoch': number + 1,
                          'best_score': best_score, 'made_of': made_of}, last)
        epoch = Epoch(number + 1, recipe.epochs, sum(losses) / len(losses),
                      time.monotonic() - start, validation, is_best)
        _write_curve(out / f'{model}.curves.csv', epoch)
        curves.epoch((number + 1) * run.steps_per_epoch, epoch.loss, validation)
        if on_epoch:
            on_epoch(epoch)
    curves.close()
    return best


def _start(network: nn.Module, model: str, path: Path,
           samples: CropSamples | FrameSamples | WholeFrames) -> None:
    if path.suffix != '.onnx':
        start_network(network, model, read_start(path), path)
        return
    count = min(len(samples), _CALIBRATION_SAMPLES)
    load_deployed(network, model, path,
                  torch.stack([samples[number][0] for number in range(count)]))


def count_sources(images: list[CrackImage]) -> dict[str, int]:
    """Count images by source, names sorted."""
    names = sorted({image.source for image in images})
    return {name: sum(image.source == name for image in images) for name in names}


class _Run:
    """Network, its moving average, optimiser and schedule: all that a resume must restore."""

    def __init__(self, plan: Architecture, recipe: Recipe, network: nn.Module,
                 steps_per_epoch: int, device: torch.device,
                 teacher: Teacher | None = None) -> None:
        if steps_per_epoch < 1:
            raise ValueError(f'fewer samples than one batch of {recipe.batch_size}')
        self._plan = plan
        self._recipe = recipe
        self._device = device
        self.steps_per_epoch = steps_per_epoch
        if device.type == 'cpu':
            depthwise_in_float32(network)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore
        self.average = AveragedModel(
            self.network, multi_avg_fn=rising_average(recipe.average_decay), use_buffers=True)
        self._cells: CellHead | None = None
        if plan.task == 'classifier' and recipe.cells > 0.0 and 'layer4' in plan.taps:
            head = CellHead(self.network, plan.taps['layer4'].module, plan.input_size)
            self._cells = head.to(device)
        self._distillation = (Distillation(self.network, plan, teacher).to(device)
                              if teacher is not None else None)
        beside = [part for part in (self._cells, self._distillation) if part is not None]
        self._optimiser = _optimiser(
            recipe, [weights for part in (self.network, *beside) for weights in part.parameters()])
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: _rate(recipe, step, steps_per_epoch))
        self._loss = _loss(plan.task, recipe)
        self._normalise = Normalise()

    @property
    def learning_rate(self) -> float:
        return float(self._schedule.get_last_lr()[0])

    def step(self, images: torch.Tensor, labels: torch.Tensor,
             cells: torch.Tensor | None = None) -> float:
        self.network.train()
        seen = (reduced(images, self._plan.input_size) if self._plan.task == 'classifier'
                else images)
        with autocast(self._device):
            logits = self.network(self._normalise(seen.to(self._device)))
        loss = self._loss(logits, labels.to(self._device))
        if self._distillation is not None:
            with autocast(self._device):
                loss = loss + self._distillation(images, logits, labels)
        if self._cells is not None and cells is not None:
            with autocast(self._device):
                where = self._cells((cells.shape[1], cells.shape[2]))
            loss = loss + self._recipe.cells * cell_loss(where, cells.to(self._device))
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._optimiser.step()
        self._schedule.step()
        self.average.update_parameters(self.network)
        return float(loss.detach())

    def mean_loss(self, images: list[CrackImage]) -> float:
        """Loss on whole images."""
        network = self.average.module.eval()
        frames = WholeFrames(images, self._plan.task, self._plan.input_size)
        losses = []
        with torch.inference_mode(), autocast(self._device):
            for pixels, label in DataLoader(frames, self._recipe.batch_size):
                logits = network(self._normalise(pixels.to(self._device)))
                losses.append(float(self._loss(logits, label.to(self._device))) * len(pixels))
        return sum(losses) / len(frames)

    def validate(self, images: list[CrackImage]) -> Validation:
        network = self.average.module.eval()
        if self._plan.task == 'segmenter':
            return validate_segmenter(network, images, self._device)
        return validate_classifier(network, images, self._plan.input_size, self._device)

    def state_dict(self) -> dict[str, Any]:
        return {'network': self.network.state_dict(), 'average': self.average.state_dict(),
                'cells': self._cells.state_dict() if self._cells is not None else {},
                'distillation': (self._distillation.state_dict()
                                 if self._distillation is not None else {}),
                'optimiser': self._optimiser.state_dict(),
                'schedule': self._schedule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state['network'])
        self.average.load_state_dict(state['average'])
        if self._cells is not None:
            self._cells.load_state_dict(state['cells'])
        if self._distillation is not None:
            self._distillation.load_state_dict(state['distillation'])
        self._optimiser.load_state_dict(state['optimiser'])
        self._schedule.load_state_dict(state['schedule'])


def rising_average(decay: float) -> Callable[..., None]:
    """Make a moving average whose decay rises: min(decay, (1 + n) / (10 + n)) after n steps.

    As TensorFlow's ExponentialMovingAverage does it with `num_updates`. With one decay from the
    start, a run of a hundred steps would keep a third of the weights that it began with.

    :param decay: 0..1, of a long run.
    :return: what `AveragedModel` takes as `multi_avg_fn`.
    """
    def update(averages: Any, weights: Any, count: torch.Tensor) -> None:
        steps = float(count)
        get_ema_multi_avg_fn(min(decay, (1.0 + steps) / (10.0 + steps)))(
            averages, weights, count)
    return update


def _optimiser(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if recipe.optimiser == 'sgd':
        return torch.optim.SGD(parameters, lr=recipe.learning_rate, momentum=0.9,
                               weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(parameters, lr=recipe.learning_rate,
                             weight_decay=recipe.weight_decay)


def _rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Share of the learning rate at a step."""
    if recipe.schedule == 'steps':
        return float(recipe.step_factor ** (step // (recipe.step_epochs * steps_per_epoch)))
    done = step / (recipe.epochs * steps_per_epoch)
    if done < _WARM_UP:
        return 0.05 + 0.95 * done / _WARM_UP
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))) / 2


def _loss(task: str, recipe: Recipe) -> nn.Module:
    if task == 'classifier':
        return FrameLoss(0.0 if recipe.loss == 'paper' else 0.05)
    return DiceLoss() if recipe.loss == 'paper' else CrackLoss(recipe.silence)


def split_images(data: Path, recipe: Recipe, simulated: int, without_crack: Sequence[Path],
                 out: Path) -> tuple[list[CrackImage], list[CrackImage]]:
    """List what a run trains on and what validates it; the parameters are those of `train`."""
    photographs = CrackDataset.read(data)
    if photographs.has_splits:
        training = list(photographs.select('train').images)
        validating = list(photographs.select('val').images)
    else:
        training, validating = _hold_out(list(photographs.images), _OF)
    extra = [(clean_images(folder), _OF) for folder in without_crack]
    if simulated:       # no two of them show the same place
        extra.append((simulated_images(out / 'simulated', simulated), 10))
    for images, of in extra:
        kept, held_out = _hold_out(images, of)
        training += kept
        validating += held_out
    drawn = [image for image in training if recipe.source_weights.get(image.source, 1.0) > 0]
    judged = [image for image in validating if recipe.source_weights.get(image.source, 1.0) > 0]
    return drawn, judged


def _hold_out(images: list[CrackImage], of: int) -> tuple[list[CrackImage], list[CrackImage]]:
    """Keep a tenth of the cracked and of the clean images, whole groups, for validation.

    :param of: the first tenth of so many groups, in order of their names, is kept: neighbours,
        as frames of a drive overlap those before and after them.
    """
    held_out: set[str] = set()
    for cracked in (True, False):
        groups = sorted({i.group for i in images if i.has_crack is cracked}, key=natural_order)
        run = max(1, min(of, len(groups)) // 10)
        held_out.update(group for start in range(0, len(groups), of)
                        for group in groups[start:start + run])
    return ([image for image in images if image.group not in held_out],
            [image for image in images if image.group in held_out])


def _samples(plan: Architecture, recipe: Recipe, images: list[CrackImage],
             seed: int, size: tuple[int, int],
             mined: Sequence[FalseAlarm]) -> CropSamples | FrameSamples | WholeFrames:
    count, weights = recipe.samples_per_epoch, recipe.source_weights
    if count == 0:
        return WholeFrames(images, plan.task, plan.input_size, seed)
    if plan.task == 'segmenter':
        return CropSamples(images, weights, count, seed, recipe.crop_side, recipe.mix,
                           mined)
    return FrameSamples(images, weights, count, seed, size, recipe.mix)


def _plain(recipe: Recipe) -> dict[str, Any]:
    return asdict(recipe) | {'source_weights': dict(recipe.source_weights)}


def _write_curve(path: Path, epoch: Epoch) -> None:
    new = epoch.number == 1 or not path.exists()
    with path.open('w' if new else 'a', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(['epoch', 'loss', 'seconds', 'validation_score', 'threshold'])
        found = epoch.validation
        writer.writerow([epoch.number, f'{epoch.loss:.5f}', f'{epoch.seconds:.1f}',
                         f'{found.score:.5f}' if found else '',
                         f'{found.threshold:.3f}' if found else ''])
