# SPDX-License-Identifier: Apache-2.0
"""Draw what an evaluation saw: choose the pictures, run the models on them again, make figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tunnel_crack_ros.evaluation.evaluate import CHECKPOINT, load_model
from tunnel_crack_ros.evaluation.figures import (
    draw_curves,
    draw_model_grid,
    draw_precision_recall,
    draw_predictions,
    ModelRow,
    Prediction,
)
from tunnel_crack_ros.evaluation.report import EvaluationReport
from tunnel_crack_ros.evaluation.score_image import ImageScore
from tunnel_crack_ros.vision import CrackSegmenter

PREDICTIONS = 30
ROWS = 8


def draw_evaluation(report: EvaluationReport, folder: Path,
                    models: Sequence[str | Path]) -> list[Path]:
    """Draw an evaluation as PNG files.

    `predictions.png` (classifier), `masks.png` and `precision_recall.png` (segmenter), and
    `curves.png` for checkpoints with a `<model>.curves.csv` beside them.

    :param folder: made when missing.
    :param models: names or paths of what was evaluated, and of further models: segmenters among
        them become columns of `masks.png`, checkpoints lines of `curves.png`.
    :return: the files written.
    :raises OSError: a file cannot be written.
    :raises ModelError: a model cannot be loaded or run.
    """
    drawn = []
    names = titles(models)
    if report.threshold is not None:
        drawn.append(draw_predictions(
            [_prediction(score, report.threshold) for score in varied(report.scores, PREDICTIONS)],
            folder / 'predictions.png'))
    if report.segmenter_model is not None and report.segmenter_threshold is not None:
        loaded = {title: load_model(name) for title, name in names.items()}
        segmenters = {title: CrackSegmenter(model) for title, model in loaded.items()
                      if model.card.task == 'segmenter'}
        drawn.append(draw_model_grid(
            [_row(score, segmenters) for score in varied(report.scores, ROWS)],
            folder / 'masks.png'))
        title = report.segmenter_model.partition('@')[0]
        drawn.append(draw_precision_recall(
            {title: report.to_json_dict()['segmenter']['pr_curve']},
            folder / 'precision_recall.png', {title: report.segmenter_threshold}))
    curves = {title: file for title, name in names.items() if (file := _curves_of(name))}
    if curves:
        drawn.append(draw_curves(curves, folder / 'curves.png'))
    return drawn


def titles(models: Sequence[str | Path]) -> dict[str, str | Path]:
    """Give each model a title: its file's name without endings, longer where two are alike.

    :return: title -> model, in order; the same model twice is listed once.
    """
    different = list(dict.fromkeys(models))
    lengths = [[name(model) for model in different] for name in (_stem, _with_folder, str)]
    return {next((names[i] for names in lengths if names.count(names[i]) == 1), str(model)): model
            for i, model in enumerate(different)}


def varied(scores: Sequence[ImageScore], count: int) -> list[ImageScore]:
    """Choose images in turn from every source, cracked and clean, spread over each.

    The choice depends on the images alone, not on how any model did on them.
    """
    kinds: dict[tuple[str, bool], list[ImageScore]] = {}
    for score in scores:
        kinds.setdefault((score.image.source, score.image.has_crack), []).append(score)
    queues = [_spread(kinds[kind], -(-count // len(kinds)) + 1) for kind in sorted(kinds)]
    turns = [queue[turn] for turn in range(max(map(len, queues), default=0))
             for queue in queues if turn < len(queue)]
    return sorted(turns[:count], key=lambda score: (score.image.source, score.image.stem))


def _spread(scores: Sequence[ImageScore], count: int) -> list[ImageScore]:
    if len(scores) <= count:
        return list(scores)
    # from the middle of equal parts: neighbours in a source are often crops of one photograph
    return [scores[int((part + 0.5) * len(scores) / count)] for part in range(count)]


def _prediction(score: ImageScore, threshold: float) -> Prediction:
    assert score.verdict is not None
    return Prediction(score.image.read_image(), score.verdict.crack_probability, threshold,
                      score.image.has_crack, f'{score.image.source}/{score.image.stem}')


def _row(score: ImageScore, segmenters: Mapping[str, CrackSegmenter]) -> ModelRow:
    frame, label = score.image.read()
    frame = np.ascontiguousarray(frame)
    return ModelRow(f'{score.image.source}/{score.image.stem}', frame, label, {
        title: segmenter.segment(frame).mask > 0 for title, segmenter in segmenters.items()})


def _curves_of(name: str | Path) -> Path | None:
    path = Path(name)
    if path.suffix != CHECKPOINT:
        return None
    file = path.with_name(path.name.removesuffix('.best.pt') + '.curves.csv')
    return file if file.is_file() else None


def _stem(model: str | Path) -> str:
    name = Path(model).name
    for ending in (f'.best{CHECKPOINT}', CHECKPOINT, '.onnx', '.yaml'):
        name = name.removesuffix(ending)
    return name


def _with_folder(model: str | Path) -> str:
    return '/'.join([*Path(model).parts[-2:-1], _stem(model)])
