# SPDX-License-Identifier: Apache-2.0
"""What each part of the recipe gives: a network trained without it, scored on validation data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tunnel_crack_ros.training.checkpoint import read_checkpoint
from tunnel_crack_ros.training.fit import split_images
from tunnel_crack_ros.training.models import architecture
from tunnel_crack_ros.training.recipes import OURS, Recipe
from tunnel_crack_ros.training.samples import SampleMix
from tunnel_crack_ros.training.table_runs import (
    finished_scores,
    Line,
    NOBODY,
    run_lines,
    Scores,
    start_sentence,
    Watch,
)
from tunnel_crack_ros.training.validation import (
    validate_classifier,
    validate_segmenter,
    Validation,
)

FULL = 'full'
_POOLED = 'images with crack, pixels pooled'


@dataclass(frozen=True, slots=True)
class Column:
    """A number in the table, read from a validation."""

    title: str
    of: Callable[[Validation], float | None]


def ablate(model: str, data: Path, out: Path, *, epochs: int, samples: int, simulated: int,
           only: Sequence[str] = (), seed: int = 0, start_from: Path | None = None,
           learning_rate: float | None = None, watch: Watch = NOBODY) -> str:
    """Train a network once a part of the recipe, without that part; resumable.

    All lines share the budget, and all are scored on the same validation images, simulated ones
    included. Only the last epoch counts.

    :param model: name in `models.ARCHITECTURES`.
    :param data: folder that `CrackDataset` reads.
    :param out: folder of the runs; the table is written to `<out>/ablation.md` after each.
    :param samples: an epoch.
    :param simulated: frames of simulated linings in the full recipe; a tenth of them validates.
    :param only: names of lines to train now, see `ablation_lines`; empty: all.
    :param learning_rate: None: the recipe's.
    :param start_from: checkpoint or deployed file of this model that every line starts from,
        since a small budget from ImageNet weights teaches too little to be compared: one trained
        without any of the parts (`recipes.without_parts`), or one that knows them all and loses
        what it is not shown; None: ImageNet weights.
    :return: the table, Markdown.
    :raises DatasetError: the data cannot be read.
    :raises ValueError: unknown network or line; a run in `out` of another budget.
    """
    task = architecture(model).task
    recipe = replace(OURS[task], epochs=epochs, samples_per_epoch=samples, validate_every=epochs)
    if learning_rate is not None:
        recipe = replace(recipe, learning_rate=learning_rate)
    lines = ablation_lines(model, recipe, simulated, seed, start_from)
    unknown = sorted(set(only) - {line.name for line in lines})
    if unknown:
        raise ValueError(f"no line {', '.join(unknown)}; expected some of "
                         f"{', '.join(line.name for line in lines)}")
    out.mkdir(parents=True, exist_ok=True)
    judged = split_images(data, recipe, simulated, (), out)[1]

    def score(line: Line, best: Path) -> Scores:
        state = read_checkpoint(best, model)
        if line.simulated == simulated:     # the run itself judged the same images
            return dict(state['validation'])
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        plan = architecture(model)
        network = plan.build(False)
        network.load_state_dict(state['network'])
        network = network.eval().to(device)
        found = (validate_segmenter(network, judged, device) if task == 'segmenter' else
                 validate_classifier(network, judged, plan.input_size, device))
        return found.to_dict()

    def table() -> str:
        return ablation_table(model, lines, finished_scores(lines, data, out), len(judged))

    def write() -> None:
        (out / 'ablation.md').write_text(table(), encoding='utf-8')

    write()
    run_lines([line for line in lines if not only or line.name in only], data, out, score, write,
              watch)
    return table()


def ablation_lines(model: str, recipe: Recipe, simulated: int, seed: int,
                   start_from: Path | None = None) -> list[Line]:
    """Change one thing at a time.

    :param recipe: the full one.
    :param simulated: frames of simulated linings in the full recipe; 0: no line without them.
    """
    mix = recipe.mix
    segmenter = architecture(model).task == 'segmenter'
    full = Line(FULL, 'full recipe', model, recipe, simulated, seed, start_from=start_from)
    lines = [full, replace(full, name='other_seed', title='full recipe, another seed',
                           seed=seed + 1)]

    def add(name: str, title: str, changed: Recipe, frames: int = simulated) -> None:
        if (changed, frames) != (recipe, simulated):
            lines.append(replace(full, name=name, title=title, recipe=changed, simulated=frames))

    def mixed(name: str, title: str, changed: SampleMix) -> None:
        add(name, title, replace(recipe, mix=changed))

    add('no_simulated', 'no simulated frames', recipe, 0)
    mixed('no_distractors', 'no drawn distractors', replace(mix, distractor_share=0.0))
    mixed('no_paste', 'no pasted cracks', replace(mix, paste_share=0.0))
    mixed('labels_as_drawn', 'thick labels as they are', replace(mix, thin_labels=False))
    mixed('no_variation', 'no change of light, colour, blur, noise, JPEG',
          replace(mix, vary=False))
    if segmenter:
        mixed('no_scales', 'no change of scale', replace(mix, scales=(1.0, 1.0)))
        add('no_silence', 'no loss on false cracks', replace(recipe, silence=0.0))
        for side in (192, 256, 320):
            add(f'crop_{side}', f'crops of {side} px', replace(recipe, crop_side=side))
    elif 'layer4' in architecture(model).taps:
        add('no_cells', 'no loss on where the crack is', replace(recipe, cells=0.0))
    return lines


def ablation_table(model: str, lines: list[Line], scores: Mapping[str, Scores],
                   images: int) -> str:
    """Write the table; in brackets the difference from the full recipe.

    :param scores: of the finished lines, by name: `Validation.to_dict()`.
    :param images: validation images.
    """
    recipe = lines[0].recipe
    columns = (_SEGMENTER_COLUMNS if architecture(model).task == 'segmenter'
               else _CLASSIFIER_COLUMNS)
    found = {name: Validation.from_dict({**values, 'metrics': tuple(values['metrics'])})
             for name, values in scores.items()}
    rows = [
        f'{architecture(model).title}, {recipe.epochs} epochs of {recipe.samples_per_epoch} '
        f'samples, {lines[0].simulated} simulated frames, seed {lines[0].seed}, '
        f'{start_sentence(lines[0])}; {images} validation images, the same for all lines. In '
        'brackets: the difference from the full recipe. What another seed alone changes is in '
        'the second line: less than that says nothing.', '',
        f"| recipe | {' | '.join(column.title for column in columns)} |",
        '|---' * (len(columns) + 1) + '|']
    for line in lines:
        cells = [_cell(column, found.get(line.name),
                       found.get(FULL) if line.name != FULL else None) for column in columns]
        if line.name not in found:
            cells[0] = 'not run'
        rows.append(f"| {line.title} | {' | '.join(cells)} |")
    return '\n'.join(rows) + '\n'


def _cell(column: Column, found: Validation | None, full: Validation | None) -> str:
    if found is None:
        return ''
    value = column.of(found)
    if value is None:
        return '-'
    before = column.of(full) if full is not None else None
    return f'{value:.3f}' if before is None else f'{value:.3f} ({value - before:+.3f})'


def _metric(title: str, name: str, data: str) -> Column:
    return Column(title, lambda found: next(
        (metric.value for metric in found.metrics if (metric.name, metric.data) == (name, data)),
        None))


def _false_alarms(found: Validation) -> float | None:
    shares = [metric.value for metric in found.metrics if metric.name == 'false_alarms']
    return sum(shares) / len(shares) if shares else None


_SEGMENTER_COLUMNS = (
    Column('score', lambda found: found.score), _metric('IoU', 'iou', _POOLED),
    _metric('F1', 'f1', _POOLED), _metric('precision', 'precision', _POOLED),
    _metric('recall', 'recall', _POOLED), Column('false alarms', _false_alarms))
_CLASSIFIER_COLUMNS = (
    Column('score', lambda found: found.score), _metric('accuracy', 'accuracy', 'frames'),
    _metric('ROC AUC', 'roc_auc', 'frames'),
    _metric('ROC AUC, crack-free crops', 'roc_auc',
            'cracked frames against their crack-free crops'),
    _metric('clean photographs passed', 'accuracy', 'real clean frames'))
