# SPDX-License-Identifier: Apache-2.0
"""The paper's comparison, anew: its twelve networks under one small budget, its Tables 2 and 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
import os
from pathlib import Path
import platform
import textwrap
from typing import Any

import torch

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset, DatasetError
from tunnel_crack_ros.evaluation.evaluate import evaluate
from tunnel_crack_ros.training.checkpoint import read_checkpoint
from tunnel_crack_ros.training.models import architecture
from tunnel_crack_ros.training.recipes import OURS, Recipe
from tunnel_crack_ros.training.samples import SampleMix
from tunnel_crack_ros.training.table_runs import (
    finished_scores,
    Line,
    NOBODY,
    run_lines,
    Scores,
    teacher_identity,
    Watch,
)
from tunnel_crack_ros.vision.model_folder import DEFAULT_SET, model_set

# Feng et al., arXiv 2507.14010, Table 2: accuracy in %, frames/s on one RTX 3090.
PAPER_CLASSIFIERS: Mapping[str, tuple[float, float]] = {
    'densenet169_classifier': (92.23, 39.80),
    'densenet201_classifier': (90.16, 35.60),
    'efficientnet_b0_classifier': (75.65, 40.77),
    'resnet50_classifier': (75.13, 60.22),
    'resnet101_classifier': (73.58, 51.68),
    'swin_t_classifier': (75.65, 42.48),
    'vit_b16_classifier': (75.65, 69.64),
}
# Their Table 3: IoU, F1, precision and recall in %; it gives no frames/s.
PAPER_SEGMENTERS: Mapping[str, tuple[float, float, float, float]] = {
    'deeplabv3plus_resnet101_segmenter': (57.01, 67.44, 62.95, 82.12),
    'deeplabv3_resnet101_segmenter': (55.24, 66.33, 60.93, 81.29),
    'pspnet_resnet50_segmenter': (51.24, 62.18, 59.23, 73.60),
    'unet_vgg13_segmenter': (56.84, 67.68, 62.35, 83.91),
    'unetplusplus_vgg13_segmenter': (56.42, 67.31, 60.31, 84.91),
}
MODELS = (*PAPER_CLASSIFIERS, *PAPER_SEGMENTERS)

THIN_LABELS = ('uav75', 'uavcrack_cc0', 'web_concrete24', 'tunnel_tdt20')
"""Sources that the segmenters are tested on, where the data has them."""
_OTHER_SURFACES = ('asphalt_', 'masonry')
_PLAIN = SampleMix(distractor_share=0.0, paste_share=0.0, scales=(1.0, 1.0), vary=False)
_MEASURES = ('iou', 'f1', 'precision', 'recall')


@dataclass(frozen=True, slots=True)
class Budget:
    """What every network of a table gets."""

    epochs: int = 3
    classifier_samples: int = 416   # an epoch
    segmenter_samples: int = 640
    batch_size: int = 4             # few samples teach more in many small steps
    crop_side: int = 128            # segmenters, px
    simulated: int = 0              # frames mixed in
    teachers: str = DEFAULT_SET     # set of deployed models that all learn from; '': none

    def teacher(self, task: str) -> str | None:
        """Return the name of the model that networks of a task learn from.

        :raises ModelNotFound: there is no such set.
        """
        return getattr(model_set(self.teachers), task) if self.teachers else None

    def recipe(self, task: str) -> Recipe:
        """Cut our recipe down.

        Without what some networks cannot have (labels of cells) and what takes longer than the
        budget to pay off (drawn distractors, pasted cracks, variation, the silence term). Only
        the last epoch is validated, and kept.
        """
        return replace(
            OURS[task], epochs=self.epochs, crop_side=self.crop_side, mix=_PLAIN, silence=0.0,
            cells=0.0, average_decay=0.9, validate_every=self.epochs,
            batch_size=self.batch_size,
            samples_per_epoch=(self.classifier_samples if task == 'classifier'
                               else self.segmenter_samples))


def compare(data: Path, out: Path, report: Path, models: Sequence[str] = MODELS,
            budget: Budget = Budget(), seed: int = 0, watch: Watch = NOBODY) -> None:
    """Train and score networks of the paper; write the report after each.

    Finished networks are not trained again, a stopped one goes on.

    :param data: folder that `CrackDataset` reads, with splits.
    :param out: folder of the runs.
    :param report: Markdown file. It shows every network that is finished, whichever are asked
        for; the others stand there as not run.
    :param models: names in `MODELS`.
    :raises DatasetError: the data cannot be read, or has no splits.
    :raises ValueError: a network that is not in the paper; a run in `out` of another budget.
    """
    unknown = sorted(set(models) - set(MODELS))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: not in the paper's tables; expected names of "
                         f"{', '.join(MODELS)}")
    tested_on = _test_sources(data)
    lines = {name: _line(name, budget, seed) for name in MODELS}

    def score(line: Line, best: Path) -> Scores:
        return _score(line, best, data, tested_on[architecture(line.model).task], watch)

    def write() -> None:
        found = finished_scores(list(lines.values()), data, out)
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(comparison_report(found, budget, seed), encoding='utf-8')

    write()
    run_lines([lines[name] for name in models], data, out, score, write, watch)


def comparison_report(scores: Mapping[str, Scores], budget: Budget, seed: int) -> str:
    """Write the page.

    :param scores: of the finished networks, by name, as `_score` makes them.
    """
    classifiers = [scores[name] | {'title': architecture(name).title}
                   for name in PAPER_CLASSIFIERS if name in scores]
    segmenters = [scores[name] for name in PAPER_SEGMENTERS if name in scores]
    return '\n'.join([
        "# The paper's networks, compared anew", '',
        '<!-- Written by `tunnel_crack compare`: change that, not this. -->', '',
        'Feng, Zhang, Feng, Zhao and Chen compare seven classifiers (their Table 2) and five '
        'segmenters (Table 3). Here all twelve are trained again under one budget, far smaller '
        "than the paper's, from one command:", '',
        '```', _command(budget, seed), '```', '',
        'The budget is so small that the order of the networks says who learns fast'
        f"{' from a teacher' if budget.teachers else ' from nothing'}, not who is best in the "
        'end. One run each, one seed: small differences mean nothing.', '',
        '## Table 2: classification', '', *_classifier_rows(scores), '',
        *_classifier_notes(classifiers),
        '## Table 3: segmentation', '', *_segmenter_rows(scores), '',
        *_segmenter_notes(segmenters),
        '## What differs', '', *_differences(classifiers + segmenters, budget), ''])


def _line(name: str, budget: Budget, seed: int) -> Line:
    plan = architecture(name)
    return Line(name, plan.title, name, budget.recipe(plan.task), budget.simulated, seed,
                pretrained=False, teacher=budget.teacher(plan.task))


def _test_sources(data: Path) -> dict[str, list[str]]:
    dataset = CrackDataset.read(data)
    if not dataset.has_splits:
        raise DatasetError(f'{data}: has no splits, so all its images are trained on; expected '
                           'splits for train, val and test')
    everything = [source for source in dataset.select('test').sources
                  if not source.startswith(_OTHER_SURFACES)]
    return {'classifier': everything,
            'segmenter': [name for name in everything if name in THIN_LABELS] or everything}


def _score(line: Line, best: Path, data: Path, sources: Sequence[str], watch: Watch) -> Scores:
    task = architecture(line.model).task
    found = evaluate(data, 'test', sources, only=task, progress=watch.on_image,
                     **{task: best}).to_json_dict()
    state = read_checkpoint(best, line.model)
    parameters = sum(p.numel() for p in architecture(line.model).build(False).parameters())
    return {'parameters': parameters, 'sources': list(sources), 'hardware': hardware(),
            'training_images': sum(state['training_data'].values()),
            'threshold': found['thresholds'][task], 'clean': found['clean'], task: found[task]}


def hardware() -> str:
    """Name what the networks run on here."""
    if torch.cuda.is_available():
        return f'{torch.cuda.get_device_name()}, PyTorch {torch.__version__}'
    return (f'{os.cpu_count()} cores of a {platform.machine()} CPU, no GPU, '
            f'PyTorch {torch.__version__}')


def _command(budget: Budget, seed: int) -> str:
    return ('tunnel_crack compare --data DIR --out runs/comparison '
            f'--epochs {budget.epochs} --classifier-samples {budget.classifier_samples} '
            f'--segmenter-samples {budget.segmenter_samples} --batch {budget.batch_size} '
            f'--crop {budget.crop_side} '
            f"--simulated {budget.simulated} --teachers {budget.teachers or 'none'} --seed {seed}")


def _classifier_rows(scores: Mapping[str, Scores]) -> list[str]:
    rows = [
        '| Models | accuracy (%), paper | accuracy (%), here | 95 % interval | ROC AUC, here | '
        'frames/s, paper | frames/s, here | parameters (M) |',
        '|---|---|---|---|---|---|---|---|']
    for name, (accuracy, rate) in PAPER_CLASSIFIERS.items():
        title, found = architecture(name).title, scores.get(name)
        here = ['not run', '', '', '', ''] if found is None else [
            _percent(found['classifier']['accuracy']),
            _percents(found['classifier']['ci']['accuracy']),
            _number(found['classifier']['roc_auc']),
            _number(found['classifier']['frames_per_second'], 1), _millions(found)]
        rows.append(_row(title, f'{accuracy:.2f}', *here[:3], f'{rate:.2f}', *here[3:]))
    return rows


def _classifier_notes(found: Sequence[Scores]) -> list[str]:
    # 146 of 193
    notes = ['The paper says of its Swin and Vision Transformer that they call every image '
             'cracked: 75.65 % is the share of cracked images in its test set.']
    if found:
        judged, clean = found[0]['classifier'], found[0]['clean']['n']
        notes.append(f"Here the test set has {judged['n']} images, {clean} of them without crack: "
                     f"calling all cracked would give {_percent(1 - clean / judged['n'])} %. "
                     f"Sources: {', '.join(found[0]['sources'])}.")
    unsure = [str(scores['title']) for scores in found if _may_be_chance(scores)]
    if unsure:
        notes.append('The 95 % interval of ROC AUC begins at 0.5 or below, so that nothing may '
                     f"have been learned, for {', '.join(unsure)}.")
    return [*_wrapped(notes), '']


def _may_be_chance(scores: Scores) -> bool:
    limits = scores['classifier']['ci']['roc_auc']
    return limits is not None and bool(limits[0] <= 0.5)


def _segmenter_rows(scores: Mapping[str, Scores]) -> list[str]:
    rows = ['| Models | | IoU (%) | F1 (%) | precision (%) | recall (%) | frames/s | '
            'parameters (M) |', '|---|---|---|---|---|---|---|---|']
    for name, values in PAPER_SEGMENTERS.items():
        title, found = architecture(name).title, scores.get(name)
        rows.append(_row(title, 'paper', *(f'{value:.2f}' for value in values), 'not given', ''))
        if found is None:
            rows.append(_row('', 'here', 'not run', '', '', '', '', ''))
            continue
        mean, pooled = found['segmenter']['per_image'], found['segmenter']
        rows.append(_row('', 'here, mean over images', *(_percent(mean[m]) for m in _MEASURES),
                         _number(pooled['frames_per_second'], 1), _millions(found)))
        rows.append(_row('', 'here, pixels pooled', *(_percent(pooled[m]) for m in _MEASURES),
                         '', ''))
    return rows


def _segmenter_notes(found: Sequence[Scores]) -> list[str]:
    # 2 * 0.6295 * 0.8212 / (0.6295 + 0.8212) = 0.7127
    notes = ['The paper does not say how it averages. Of pooled pixels, precision 62.95 and '
             'recall 82.12 would give F1 71.27, not 67.44: its figures look like means over '
             'images, and that line is the one to compare.']
    if found:
        notes.append(f"Here: the {found[0]['segmenter']['n']} test images with crack of "
                     f"{', '.join(found[0]['sources'])}.")
    return [*_wrapped(notes), '']


def _differences(found: Sequence[Scores], budget: Budget) -> list[str]:
    machines = sorted({scores['hardware'] for scores in found}) or ['not run']
    images = sorted({str(scores['training_images']) for scores in found}) or ['(not run)']
    classifier, segmenter = (budget.recipe(task) for task in ('classifier', 'segmenter'))
    drawn = f' and {budget.simulated} simulated frames' if budget.simulated else ''
    machine = '; '.join(machines)
    taught = ", those of the networks' teachers among them" if budget.teachers else ''
    return ['| | paper | here |', '|---|---|---|', *(_row(*cells) for cells in (
        ('data', 'NUAACrack-2000, tunnel linings: 1,362 training images for the classifiers, '
         '1,028 for the segmenters',
         f'photographs of many sources ([training.md](training.md)){drawn}: '
         f"{' or '.join(images)} training images{taught}"),
        ('test images', '193; the 146 cracked ones for the segmenters',
         'the test split; places that no training image shows, but of uav75, which keeps its '
         "authors' split"),
        ('budget, classifiers', '100 epochs of 1,362 images of 224 x 224 px, batch 4',
         f'{budget.epochs} epochs of {budget.classifier_samples} samples of 224 x 224 px, '
         f'batch {classifier.batch_size}'),
        ('budget, segmenters', '100 epochs of 1,028 images of 512 x 384 px, batch 8',
         f'{budget.epochs} epochs of {budget.segmenter_samples} crops of {budget.crop_side} x '
         f'{budget.crop_side} px, batch {segmenter.batch_size}'),
        ('start', '-', 'random weights for all: ImageNet weights of these networks could not be '
         'had'),
        ('teacher', 'none', _taught(budget)),
        ('optimiser', 'learning rate 0.005 (classifiers) or 0.001 (segmenters), in steps',
         f'AdamW, learning rate {classifier.learning_rate:g} or {segmenter.learning_rate:g}, '
         'warm-up and cosine, moving average of the weights'),
        ('weights kept', 'of the best validation loss', 'of the last epoch'),
        ('threshold', '-', 'chosen on validation data'),
        ('frames/s', 'one RTX 3090',
         f'{machine}; a frame at a time, from pixels to verdict or mask, float32')))]


def _taught(budget: Budget) -> str:
    if not budget.teachers:
        return 'none'
    names = ' and '.join(teacher_identity(budget.teacher(task))
                         for task in ('classifier', 'segmenter'))
    return (f'{names}: beside the labels all learn its answers, and its features where a network '
            'has layers like its own ([training.md](training.md))')


def _wrapped(notes: Sequence[str]) -> list[str]:
    return textwrap.wrap(' '.join(notes), 99)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.2f}'


def _percents(limits: Sequence[float] | None) -> str:
    return '-' if limits is None else f'{100 * limits[0]:.1f} to {100 * limits[1]:.1f}'


def _number(value: float | None, places: int = 3) -> str:
    return '-' if value is None else f'{value:.{places}f}'


def _millions(found: Mapping[str, Any]) -> str:
    return f"{found['parameters'] / 1e6:.1f}"
