# SPDX-License-Identifier: Apache-2.0
"""How well a network does on a source it has never seen: train without it, score on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset, DatasetError
from tunnel_crack_ros.evaluation.evaluate import evaluate
from tunnel_crack_ros.training.models import architecture
from tunnel_crack_ros.training.recipes import OURS, Recipe
from tunnel_crack_ros.training.table_runs import (
    finished_scores,
    Line,
    NOBODY,
    run_lines,
    Scores,
    start_sentence,
    Watch,
)

ALL = 'all_sources'
_COLUMNS: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    'segmenter': (('F1', ('segmenter', 'f1')), ('F1 within 2 px', ('segmenter', 'f1_tolerant')),
                  ('IoU', ('segmenter', 'iou')), ('false masks', ('clean', 'false_masks'))),
    'classifier': (('accuracy', ('classifier', 'accuracy')),
                   ('tiles: ROC AUC', ('classifier', 'tiles', 'roc_auc')),
                   ('clean, flagged', ('clean', 'flagged'))),
}
"""Title of a column, and where an evaluation has its number."""


def leave_one_out(model: str, data: Path, out: Path, *, epochs: int, samples: int,
                  simulated: int, sources: Sequence[str] = (), seed: int = 0,
                  start_from: Path | None = None, learning_rate: float | None = None,
                  watch: Watch = NOBODY) -> str:
    """Train once a source without that source, and once with all of them; resumable.

    A source left out takes part neither in training nor in validation, so the threshold knows
    nothing of it either. It is scored on its validation images: the test split stays untouched.

    :param model: name in `models.ARCHITECTURES`.
    :param data: folder that `CrackDataset` reads, with splits and at least two sources.
    :param out: folder of the runs; the table is written to `<out>/leave_one_out.md` after each.
    :param samples: an epoch.
    :param simulated: frames of simulated linings mixed in; never left out.
    :param learning_rate: None: the recipe's.
    :param start_from: checkpoint that every line starts from, of a run that has seen none of the
        sources left out; None: ImageNet weights.
    :param sources: to leave out, each in its turn; empty: all that the recipe draws from and
        that have validation images.
    :return: the table, Markdown.
    :raises DatasetError: the data cannot be read, or has no such source.
    :raises ValueError: unknown network; a run in `out` of another budget.
    """
    task = architecture(model).task
    recipe = replace(OURS[task], epochs=epochs, samples_per_epoch=samples, validate_every=epochs)
    if learning_rate is not None:
        recipe = replace(recipe, learning_rate=learning_rate)
    available = _sources(data, recipe)
    unknown = sorted(set(sources) - set(available))
    if unknown:
        raise DatasetError(f"{data}: {', '.join(unknown)} cannot be left out; expected sources "
                           f"with images for training and validation: {', '.join(available)}")
    lines = leave_one_out_lines(model, recipe, simulated, seed, sources or available, start_from)

    def score(line: Line, best: Path) -> Scores:
        held_out = available if line.name == ALL else [line.name]
        found = evaluate(data, 'val', held_out, only=task, progress=watch.on_image,
                         **{task: best}).to_json_dict()
        return dict(found['by_source'])

    def table() -> str:
        return leave_one_out_table(task, lines, finished_scores(lines, data, out))

    def write() -> None:
        out.mkdir(parents=True, exist_ok=True)
        (out / 'leave_one_out.md').write_text(table(), encoding='utf-8')

    write()
    run_lines(lines, data, out, score, write, watch)
    return table()


def leave_one_out_lines(model: str, recipe: Recipe, simulated: int, seed: int,
                        sources: Sequence[str], start_from: Path | None = None) -> list[Line]:
    """Make a line with all sources and one without each."""
    everything = Line(ALL, 'all sources', model, recipe, simulated, seed, start_from=start_from)
    return [everything, *(
        replace(everything, name=source, title=source, recipe=replace(
            recipe, source_weights={**recipe.source_weights, source: 0.0}))
        for source in sources)]


def leave_one_out_table(task: str, lines: Sequence[Line], scores: Mapping[str, Scores]) -> str:
    """Write the table: each source's numbers when it was trained on and when it was not.

    :param scores: of the finished lines, by name: sections of an evaluation, by source.
    """
    full, columns = lines[0], _COLUMNS[task]
    titles = [f'{title}, {how}' for title, _ in columns for how in ('seen', 'unseen')]
    rows = [
        f'{architecture(full.model).title}, {full.recipe.epochs} epochs of '
        f'{full.recipe.samples_per_epoch} samples, {full.simulated} simulated frames, seed '
        f'{full.seed}, {start_sentence(full)}. Each source is scored on its validation images: by '
        'the network trained on all sources (seen), and by one trained without it (unseen), each '
        'at its own threshold.',
        '', f"| source | images | {' | '.join(titles)} |", '|---' * (len(titles) + 2) + '|']
    for line in lines[1:]:
        seen = scores.get(ALL, {}).get(line.name)
        unseen = scores.get(line.name, {}).get(line.name)
        cells = [_cell(section, path) for _, path in columns for section in (seen, unseen)]
        rows.append(f"| {line.title} | {_images(seen or unseen)} | {' | '.join(cells)} |")
    return '\n'.join(rows) + '\n'


def _sources(data: Path, recipe: Recipe) -> list[str]:
    dataset = CrackDataset.read(data)
    if not dataset.has_splits:
        raise DatasetError(f'{data}: has no splits; expected splits for train and val')
    both = set(dataset.select('train').sources) & set(dataset.select('val').sources)
    drawn = sorted(name for name in both if recipe.source_weights.get(name, 1.0) > 0)
    if len(drawn) < 2:
        raise DatasetError(f'{data}: has one source with images for training and validation '
                           f"({', '.join(drawn) or 'none'}); expected two or more")
    return drawn


def _images(section: Mapping[str, Any] | None) -> str:
    if section is None:
        return ''
    if section['classifier'] is not None:
        return str(section['classifier']['n'])
    return str(section['segmenter']['n'] + section['clean']['n'])


def _cell(section: Mapping[str, Any] | None, path: Sequence[str]) -> str:
    if section is None:
        return 'not run'
    value: Any = section
    for name in path:
        value = value[name]
    return '-' if value is None else f'{value:.3f}'
