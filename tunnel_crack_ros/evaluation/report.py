# SPDX-License-Identifier: Apache-2.0
"""The scores of an evaluation: as plain values for JSON, and as tables to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.box import SIMPLE_HEAD
from rich.table import Table

from tunnel_crack_ros.evaluation.agreement import (
    agreement_scores,
    CURVE_THRESHOLDS,
    TOLERANCE_PX,
)
from tunnel_crack_ros.evaluation.bootstrap import score_with_intervals
from tunnel_crack_ros.evaluation.score_image import ImageScore, MaskScore, no_curve, VerdictScore
from tunnel_crack_ros.evaluation.tiles import CRACKED_PX, TILE_PX
from tunnel_crack_ros.evaluation.weighted_scores import (
    Numbers,
    ratio,
    weighted_mean,
    weighted_recall,
    weighted_roc_auc,
)

FALSE_CRACK_PX = 50         # a clean image with more marked pixels counts as a false mask
FALSE_ALARMS = 0.05         # share of clean frames flagged at which the recall is given
DETECTED_IOU = 0.5          # a crack counts as detected above it

_SHARES = ('iou', 'f1', 'precision', 'recall')


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Scores of a classifier, a segmenter or both on one split."""

    data: str
    split: str                          # 'all' when the data has no splits
    classifier_model: str | None        # name and start of the hash; None: did not run
    segmenter_model: str | None
    threshold: float | None             # of the classifier
    segmenter_threshold: float | None
    scores: tuple[ImageScore, ...]

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file; `docs/evaluation.md` explains each key.

        `classifier` counts all images, `segmenter` those with crack (pixels pooled; `per_image`
        is the mean over images), `clean` those without, `distractors` those with a mask of
        things that look like cracks. Numbers that the data cannot give (the area under the curve
        of a single class) are null, and so is the section of a stage that did not run.
        """
        by_source: dict[str, Any] = {}
        for source in sorted({score.image.source for score in self.scores}):
            by_source[source] = self._sections(
                [score for score in self.scores if score.image.source == source])
        return {
            'data': self.data, 'split': self.split,
            'models': {'classifier': self.classifier_model, 'segmenter': self.segmenter_model},
            'thresholds': {'classifier': self.threshold, 'segmenter': self.segmenter_threshold},
            'quality_gate': 'off: every image is judged',
            'segmenter_images': 'with crack; classifier not consulted; pixels pooled',
            **self._sections(self.scores), 'by_source': by_source}

    def tables(self) -> list[Table]:
        """Return one table a stage that ran, one row a source."""
        values = self.to_json_dict()
        title = f'{self.data}, split {self.split}'
        return [make(values, f'{title}: {model}') for make, model in (
            (_classifier_table, self.classifier_model), (_segmenter_table, self.segmenter_model))
            if model is not None]

    def _sections(self, scores: Sequence[ImageScore]) -> dict[str, Any]:
        judged = [score for score in scores if score.verdict is not None]
        outlined = [score for score in scores if score.mask is not None]
        cracked = [score for score in outlined if score.image.has_crack]
        clean = [score for score in scores if not score.image.has_crack]
        distracted = [score for score in outlined
                      if score.mask is not None and score.mask.distractor is not None]
        return {
            'classifier': None if self.threshold is None else _classifier_scores(
                judged, self.threshold),
            'segmenter': None if self.segmenter_model is None else _segmenter_scores(cracked),
            'clean': _clean_scores(clean, self.threshold),
            'distractors': None if self.segmenter_model is None
            else _distractor_scores(distracted)}


def _classifier_scores(scores: Sequence[ImageScore], threshold: float) -> dict[str, Any]:
    verdicts = [_verdict(score) for score in scores]
    truth = np.array([score.image.has_crack for score in scores], bool)
    probabilities = np.array([verdict.crack_probability for verdict in verdicts], float)
    flagged = probabilities >= threshold
    tiles = [(tile, score.image.group) for score, verdict in zip(scores, verdicts)
             for tile in verdict.tiles]
    tile_truth = np.array([tile.has_crack for tile, _ in tiles], bool)
    tile_probabilities = np.array([tile.crack_probability for tile, _ in tiles], float)
    return {
        'n': len(scores),
        **_decisions(probabilities, truth, threshold, [score.image.group for score in scores]),
        'confusion': {name: int(np.count_nonzero(found)) for name, found in (
            ('tp', flagged & truth), ('fp', flagged & ~truth),
            ('fn', ~flagged & truth), ('tn', ~flagged & ~truth))},
        'frames_per_second': _rate([verdict.seconds for verdict in verdicts]),
        'tiles': {
            'n': len(tiles), 'n_cracked': int(tile_truth.sum()),
            **_decisions(tile_probabilities, tile_truth, threshold,
                         [group for _, group in tiles])}}


def _decisions(probabilities: Numbers, truth: npt.NDArray[np.bool_], threshold: float,
               groups: Sequence[str]) -> dict[str, Any]:
    right = ((probabilities >= threshold) == truth).astype(float)

    def score(weights: Numbers) -> dict[str, Numbers]:
        return {
            'accuracy': weighted_mean(right, weights),
            'roc_auc': weighted_roc_auc(probabilities, truth, weights),
            'recall_at_5_percent_false_alarms': weighted_recall(
                probabilities, truth, weights, FALSE_ALARMS)}

    values, limits = score_with_intervals(score, groups)
    return {**values, 'ci': limits}


def _segmenter_scores(scores: Sequence[ImageScore]) -> dict[str, Any]:
    masks = [_mask(score) for score in scores]
    groups = [score.image.group for score in scores]
    counts = {name: np.array([astuple(getattr(mask, name)) for mask in masks],
                             float).reshape(-1, 4)
              for name in ('strict', 'tolerant', 'centre_lines')}
    each = _named({name: agreement_scores(found) for name, found in counts.items()})
    detected = (each['iou'] > DETECTED_IOU).astype(float)

    def pooled(weights: Numbers) -> dict[str, Numbers]:
        found = _named({name: agreement_scores(weights @ of_image)
                        for name, of_image in counts.items()})
        return found | {'detected': weighted_mean(detected, weights)}

    def per_image(weights: Numbers) -> dict[str, Numbers]:
        # an image on which nothing was marked has no precision: it is left out of that mean only
        return {name: weighted_mean(values, weights) for name, values in each.items()}

    values, limits = score_with_intervals(pooled, groups)
    means, mean_limits = score_with_intervals(per_image, groups)
    return {
        **values, 'n': len(scores), 'ci': limits, 'per_image': {**means, 'ci': mean_limits},
        'frames_per_second': _rate([mask.seconds for mask in masks]), 'pr_curve': _curve(masks)}


def _named(found: Mapping[str, Mapping[str, Numbers]]) -> dict[str, Numbers]:
    return {
        **{name: found['strict'][name] for name in _SHARES},
        **{f'{name}_tolerant': found['tolerant'][name] for name in _SHARES},
        'cldice': found['centre_lines']['f1']}


def _curve(masks: Sequence[MaskScore]) -> dict[str, list[float | None]]:
    counts = sum((mask.curve for mask in masks if mask.curve is not None), no_curve())
    marked, right, nearly_right, nearly_found = counts.astype(float)
    labelled = np.full(marked.shape, float(sum(mask.strict.labelled for mask in masks)))
    curve = {'threshold': CURVE_THRESHOLDS.round(6),
             'precision': ratio(right, marked), 'recall': ratio(right, labelled),
             'precision_tolerant': ratio(nearly_right, marked),
             'recall_tolerant': ratio(nearly_found, labelled)}
    return {name: [None if np.isnan(value) else float(value) for value in values]
            for name, values in curve.items()}


def _clean_scores(scores: Sequence[ImageScore], threshold: float | None) -> dict[str, Any]:
    unknown = np.full(len(scores), np.nan)
    false_masks = flagged = unknown
    if all(score.mask is not None for score in scores):
        false_masks = np.array([_mask(score).strict.marked > FALSE_CRACK_PX for score in scores],
                               float)
    if threshold is not None:
        flagged = np.array([_verdict(score).crack_probability >= threshold for score in scores],
                           float)

    def score(weights: Numbers) -> dict[str, Numbers]:
        return {'false_masks': weighted_mean(false_masks, weights),
                'flagged': weighted_mean(flagged, weights),
                'false_masks_of_chain': weighted_mean(false_masks * flagged, weights)}

    values, limits = score_with_intervals(score, [score.image.group for score in scores])
    return {'n': len(scores), **values, 'ci': limits}


def _distractor_scores(scores: Sequence[ImageScore]) -> dict[str, Any]:
    found = [mask.distractor for mask in map(_mask, scores) if mask.distractor is not None]
    marked = np.array([one.marked_px for one in found], float)
    area = np.array([one.area_px for one in found], float)

    def score(weights: Numbers) -> dict[str, Numbers]:
        return {'area_marked': ratio(weights @ marked, weights @ area),
                'false_masks': weighted_mean((marked > FALSE_CRACK_PX).astype(float), weights)}

    values, limits = score_with_intervals(score, [score.image.group for score in scores])
    return {'n': len(scores), **values, 'ci': limits}


def _verdict(score: ImageScore) -> VerdictScore:
    assert score.verdict is not None
    return score.verdict


def _mask(score: ImageScore) -> MaskScore:
    assert score.mask is not None
    return score.mask


def _rate(seconds: Sequence[float]) -> float | None:
    return 1 / median(seconds) if seconds else None


def _classifier_table(values: Mapping[str, Any], title: str) -> Table:
    table = _table(
        title,
        'Every image, quality gate off. recall @ 5 %: with at most 5 % of the clean ones '
        f'flagged.\nTiles of about {TILE_PX} px, cracked from {CRACKED_PX} labelled px on. '
        f'{_rate_text(values["classifier"])}',
        ('images', 'accuracy', 'ROC AUC', 'recall\n@ 5 %', 'clean', 'clean,\nflagged', 'tiles',
         'of tiles:\naccuracy', 'ROC AUC', 'recall\n@ 5 %'))
    names = ('accuracy', 'roc_auc', 'recall_at_5_percent_false_alarms')

    def cells(row: Mapping[str, Any]) -> list[str]:
        judged, clean = row['classifier'], row['clean']
        return [str(judged['n']), *(_cell(judged[name]) for name in names), str(clean['n']),
                _cell(clean['flagged']), str(judged['tiles']['n']),
                *(_cell(judged['tiles'][name]) for name in names)]

    def limits(row: Mapping[str, Any]) -> list[str]:
        judged = row['classifier']
        return ['', *(_span(judged['ci'][name]) for name in names), '',
                _span(row['clean']['ci']['flagged']), '',
                *(_span(judged['tiles']['ci'][name]) for name in names)]

    return _filled(table, values, cells, limits)


def _segmenter_table(values: Mapping[str, Any], title: str) -> Table:
    table = _table(
        title,
        f'Images with crack, pixels pooled. ~: within {TOLERANCE_PX} px. /img: mean over images. '
        f'det.: images with IoU > {DETECTED_IOU}.\n'
        f'false: clean images with more than {FALSE_CRACK_PX} px marked; chain: flagged by the '
        'classifier, too.\ndistr.: share of the labelled distractors (joints, leaks, spalls) '
        f'that is marked. {_rate_text(values["segmenter"])}',
        ('crack', 'IoU', 'F1', 'prec.', 'recall', 'F1 ~', 'clDice', 'IoU\n/img', 'F1\n/img',
         'det.', 'clean', 'false', 'chain', 'distr.'))
    pooled = ('iou', 'f1', 'precision', 'recall', 'f1_tolerant', 'cldice')

    def numbers(row: Mapping[str, Any], show: Any, inner: str | None) -> list[str]:
        def part(section: Mapping[str, Any], name: str) -> str:
            return str(show((section[inner] if inner else section)[name]))
        outlined, clean = row['segmenter'], row['clean']
        return ['' if inner else str(outlined['n']), *(part(outlined, name) for name in pooled),
                part(outlined['per_image'], 'iou'), part(outlined['per_image'], 'f1'),
                part(outlined, 'detected'), '' if inner else str(clean['n']),
                part(clean, 'false_masks'), part(clean, 'false_masks_of_chain'),
                part(row['distractors'], 'area_marked')]

    return _filled(table, values, lambda row: numbers(row, _cell, None),
                   lambda row: numbers(row, _span, 'ci'))


def _table(title: str, caption: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, caption=caption, caption_justify='left', box=SIMPLE_HEAD,
                  padding=(0, 0), pad_edge=False)
    table.add_column('source', no_wrap=True)
    for column in columns:
        table.add_column(column, justify='right', no_wrap=True)
    return table


def _filled(table: Table, values: Mapping[str, Any], cells: Any, limits: Any) -> Table:
    for source, row in values['by_source'].items():
        table.add_row(source, *cells(row))
    table.add_section()
    table.add_row('all', *cells(values), style='bold')
    table.add_row('95 % from', *(text.partition(' ')[0] for text in limits(values)), style='dim')
    table.add_row('to', *(text.partition(' ')[2] for text in limits(values)), style='dim')
    return table


def _cell(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def _span(limits: Sequence[float] | None) -> str:
    return '- -' if limits is None else f'{limits[0]:.3f} {limits[1]:.3f}'


def _rate_text(section: Mapping[str, Any]) -> str:
    rate = section['frames_per_second']
    return '' if rate is None else f'{rate:.1f} frames/s here, this stage alone.'
