# SPDX-License-Identifier: Apache-2.0
"""Run the shipped method over labelled photographs and score it.

What runs here is `vision`, the code of the nodes, on the ONNX files that they load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset, CrackImage
from tunnel_crack_ros.evaluation.metrics import accuracy, PixelCounts, pooled, roc_auc
from tunnel_crack_ros.vision import CrackClassifier, CrackSegmenter, Model
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, SEGMENTER

LEFT_OUT = 'asphalt_'       # sources left out unless named: a road is no lining
FALSE_CRACK_PX = 50         # a clean image with more marked pixels counts as a false mask


@dataclass(frozen=True, slots=True)
class FrameScore:
    """What both stages made of one image."""

    image: CrackImage
    crack_probability: float    # 0..1; of the classifier, the quality gate being off
    pixels: PixelCounts         # of the segmenter's mask against the label


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Scores of one classifier and one segmenter on one split."""

    data: str
    split: str                  # 'all' when the data has no splits
    classifier_model: str       # name and start of the hash
    segmenter_model: str
    threshold: float            # of the classifier
    segmenter_threshold: float
    scores: tuple[FrameScore, ...]

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file.

        `classifier` counts all images, `segmenter` those with crack (pixels pooled; `per_image`
        is the mean over images), `clean` those without. Numbers that the data cannot give (the
        area under the curve of a single class) are null.
        """
        by_source: dict[str, Any] = {}
        for source in sorted({score.image.source for score in self.scores}):
            by_source[source] = self._scores(
                [score for score in self.scores if score.image.source == source])
        return {
            'data': self.data, 'split': self.split,
            'models': {'classifier': self.classifier_model, 'segmenter': self.segmenter_model},
            'thresholds': {'classifier': self.threshold, 'segmenter': self.segmenter_threshold},
            'quality_gate': 'off: every image is judged',
            'segmenter_images': 'with crack; classifier not consulted; pixels pooled',
            **self._scores(self.scores), 'by_source': by_source}

    def table(self) -> Table:
        """Return the scores as a table, one row a source."""
        table = Table(
            title=f'{self.data}, split {self.split}',
            caption='Classifier: every image, quality gate off. Segmenter: images with crack, '
                    'pixels pooled.\nFalse masks: images without crack on which the segmenter '
                    f'marks more than {FALSE_CRACK_PX} px.')
        for column in ('source', 'images', 'accuracy', 'ROC AUC', 'cracked', 'IoU', 'F1',
                       'precision', 'recall', 'clean', 'false masks'):
            table.add_column(column, justify='left' if column == 'source' else 'right')
        values = self.to_json_dict()
        for source, row in values['by_source'].items():
            table.add_row(source, *_cells(row))
        table.add_section()
        table.add_row('all', *_cells(values), style='bold')
        return table

    def _scores(self, scores: Sequence[FrameScore]) -> dict[str, Any]:
        probabilities = [score.crack_probability for score in scores]
        labels = [score.image.has_crack for score in scores]
        cracked = [score.pixels for score in scores if score.image.has_crack]
        marked = [score.pixels.false_positive for score in scores if not score.image.has_crack]
        return {
            'classifier': _plain({
                'n': len(scores), 'accuracy': accuracy(probabilities, labels, self.threshold),
                'roc_auc': roc_auc(probabilities, labels)}),
            'segmenter': _plain(_pixel_scores(pooled(cracked)) | {'n': len(cracked)}) | {
                'per_image': _plain(_mean_scores(cracked))},
            'clean': _plain({
                'n': len(marked),
                'false_masks': _mean([float(count > FALSE_CRACK_PX) for count in marked])})}


def evaluate(data: Path, split: str = 'test', sources: Sequence[str] | None = None,
             classifier: str | Path | None = None, segmenter: str | Path | None = None,
             progress: Callable[[int, int], None] | None = None) -> EvaluationReport:
    """Score a classifier and a segmenter on labelled photographs.

    :param data: folder that `CrackDataset` reads.
    :param split: train, val or test; a folder without splits is evaluated whole.
    :param sources: names of sources; None: all but `asphalt_*`.
    :param classifier: name or path of the model; None: the default one.
    :param segmenter: name or path of the model; None: the default one.
    :param progress: told images done and images in all.
    :raises DatasetError: the data cannot be read, or nothing is left of it.
    :raises ModelError: a model cannot be loaded or run.
    """
    dataset = CrackDataset.read(data)
    images = dataset.select(split, sources, () if sources else (LEFT_OUT,)).images
    judge = CrackClassifier(Model.load(classifier or CLASSIFIER, task='classifier'))
    outliner = CrackSegmenter(Model.load(segmenter or SEGMENTER, task='segmenter'))
    scores = []
    for number, image in enumerate(images, 1):
        scores.append(score_image(image, judge, outliner))
        if progress:
            progress(number, len(images))
    return EvaluationReport(
        data=str(data), split=split if dataset.has_splits else 'all',
        classifier_model=judge.model.card.identity, segmenter_model=outliner.model.card.identity,
        threshold=judge.threshold, segmenter_threshold=outliner.threshold, scores=tuple(scores))


def score_image(image: CrackImage, classifier: CrackClassifier,
                segmenter: CrackSegmenter) -> FrameScore:
    """Run both stages on one image, the second whatever the first says.

    :param classifier: without quality gate, so that every image gets a probability.
    """
    frame, label = image.read()
    frame = np.ascontiguousarray(frame)
    verdict, = classifier.classify([frame])
    mask = segmenter.segment(frame).mask > 0
    return FrameScore(image, verdict.crack_probability, PixelCounts.of(mask, label))


def _pixel_scores(counts: PixelCounts) -> dict[str, float]:
    return {'iou': counts.iou, 'f1': counts.f1, 'precision': counts.precision,
            'recall': counts.recall}


def _mean_scores(counts: Sequence[PixelCounts]) -> dict[str, float]:
    # an image on which nothing was marked has no precision: it is left out of that mean only
    each = [_pixel_scores(one) for one in counts]
    return {name: _mean([scores[name] for scores in each if not math.isnan(scores[name])])
            for name in ('iou', 'f1', 'precision', 'recall')}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else value for key, value in values.items()}


def _cells(row: Mapping[str, Any]) -> list[str]:
    judged, outlined, clean = row['classifier'], row['segmenter'], row['clean']
    return [str(judged['n']), _cell(judged['accuracy']), _cell(judged['roc_auc']),
            str(outlined['n']), *(_cell(outlined[key]) for key in (
                'iou', 'f1', 'precision', 'recall')),
            str(clean['n']), _cell(clean['false_masks'])]


def _cell(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'
