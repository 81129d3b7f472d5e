# SPDX-License-Identifier: Apache-2.0
"""Figures like the paper's 7, 8 and 9, as PNG: verdicts, curves of training, masks of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import csv
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.evaluation.agreement import strict_agreement, widened
from tunnel_crack_ros.evaluation.canvas import (
    BLUE,
    caption,
    Colour,
    fitted,
    framed,
    GREEN,
    LINE_PX,
    ORANGE,
    Picture,
    RED,
    sheet,
    stacked,
    write,
)
from tunnel_crack_ros.evaluation.chart import legend, Line, line_chart
from tunnel_crack_ros.vision.picture_file import write_picture

Mask = npt.NDArray[np.bool_]

_HIT: Colour = (0, 190, 70)
_MISSED, _FALSE = BLUE, ORANGE
_PREDICTION = (216, 162)    # cell of one verdict: width, height, px
_MODEL = (320, 240)         # cell of one mask
_COLUMNS = 6
_VISIBLE = 0.1              # of a reduced pixel: what covers more of it is drawn


@dataclass(frozen=True, slots=True)
class Prediction:
    """One picture with the classifier's verdict, for `draw_predictions`."""

    picture: Picture            # uint8, H x W x 3, RGB
    crack_probability: float    # 0..1
    threshold: float            # 0..1; crack from here on
    has_crack: bool             # the truth
    title: str = ''             # where the picture comes from

    @property
    def is_right(self) -> bool:
        """Whether the verdict is the label."""
        return (self.crack_probability >= self.threshold) == self.has_crack


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One picture with its label and what each model marked, for `draw_model_grid`."""

    title: str
    picture: Picture                # uint8, H x W x 3, RGB
    label: Mask                     # bool, H x W
    masks: Mapping[str, Mask]       # name of a model -> bool, H x W


def draw_predictions(items: Sequence[Prediction], path: Path) -> Path:
    """Draw a grid of pictures with verdict, probability and truth (the paper's Figure 7).

    Wrong verdicts are framed red, right ones green.

    :raises OSError: the file cannot be written.
    :raises ValueError: no items.
    """
    cells = []
    for item in items:
        flagged = item.crack_probability >= item.threshold
        colour = GREEN if item.is_right else RED
        said = f"{'crack' if flagged else 'no crack'}, p = {item.crack_probability:.2f}"
        truth = 'right' if item.is_right else 'WRONG'   # no more has room
        photo = framed(fitted(item.picture, *_PREDICTION), colour, 4)
        cells.append(stacked([photo, caption(f'{said}: {truth}', photo.shape[1], colour),
                              caption(item.title, photo.shape[1])]))
    return write_picture(path, sheet([cells[start:start + _COLUMNS]
                                      for start in range(0, len(cells), _COLUMNS)]))


def draw_curves(curves: Mapping[str, Path], path: Path) -> Path:
    """Draw loss and validation score over the epochs (the paper's Figure 8).

    :param curves: title of a model -> the `<model>.curves.csv` that `train` wrote.
    :raises OSError: a file cannot be read or written.
    :raises ValueError: a file is no such table.
    """
    losses: dict[str, Line] = {}
    scores: dict[str, Line] = {}
    for title, file in curves.items():
        losses[title] = _column(file, 'loss')
        scores[title] = _column(file, 'validation_score')
    last = max((epoch for line in losses.values() for epoch, _ in line), default=1.0)
    charts = [line_chart(lines, title, 'epoch', x_range=(0.0, last + 0.5), whole_x=True)
              for lines, title in ((losses, 'training loss'),
                                   (scores, 'score on validation data'))]
    return write_picture(
        path, stacked([sheet([charts]), legend(list(curves), charts[0].shape[1])]))


def draw_precision_recall(curves: Mapping[str, Mapping[str, Any]], path: Path,
                          thresholds: Mapping[str, float] | None = None) -> Path:
    """Draw precision over recall, strict and with the tolerance of 2 px.

    :param curves: title of a model -> its `segmenter.pr_curve` of an evaluation.
    :param thresholds: title -> the threshold in use; marked by a ring.
    :raises OSError: the file cannot be written.
    """
    charts = []
    for suffix, title in (('', 'pixel by pixel'), ('_tolerant', 'within 2 px')):
        lines = {name: _pairs(curve, suffix) for name, curve in curves.items()}
        marks = {name: _at_threshold(curves[name], suffix, threshold)
                 for name, threshold in (thresholds or {}).items()}
        charts.append(line_chart(
            lines, f'precision, {title}', 'recall (ring: threshold in use)', x_range=(0, 1),
            y_range=(0, 1), marks={name: at for name, at in marks.items() if at is not None}))
    return write_picture(
        path, stacked([sheet([charts]), legend(list(curves), charts[0].shape[1])]))


def draw_model_grid(rows: Sequence[ModelRow], path: Path) -> Path:
    """Draw pictures against models (the paper's Figure 9).

    Columns: photograph, label, then each model's mask over the greyed photograph: hits green,
    missed blue, false orange, IoU below. Pixels that are only missed or false because
    the label is wider or narrower than the mask (within 2 px) are paler.

    :param rows: all with the same models.
    :raises OSError: the file cannot be written.
    :raises ValueError: no rows.
    """
    if not rows:
        raise ValueError('nothing to draw')
    models = list(rows[0].masks)
    heads = [caption(name, _MODEL[0]) for name in ('photograph', 'label', *models)]
    lines = [heads]
    for row in rows:
        size = _inside(row.label, _MODEL)
        label = np.repeat(_reduced(row.label, size)[..., np.newaxis] * np.uint8(255), 3, axis=2)
        cells = [stacked([fitted(row.picture, *_MODEL), caption(row.title, _MODEL[0])]),
                 fitted(label, *_MODEL)]
        for name in models:
            faults = draw_faults(row.picture, row.masks[name], row.label, size)
            cells.append(stacked([fitted(faults, *_MODEL), caption(
                _agreement_text(row.masks[name], row.label), _MODEL[0])]))
        lines.append(cells)
    key = caption('', sum(head.shape[1] for head in heads))
    at = 2
    for text, colour in (('hit', _HIT), ('missed', _MISSED), ('false', _FALSE)):
        cv2.rectangle(key, (at, 6), (at + 12, LINE_PX - 4), colour, -1)
        write(key, text, (at + 18, LINE_PX - 6))
        at += 90
    write(key, 'paler: within 2 px of the label or of the mask', (at, LINE_PX - 6))
    return write_picture(path, sheet([[key], *lines]))


def draw_faults(picture: Picture, marked: Mask, label: Mask,
                size: tuple[int, int] | None = None) -> Picture:
    """Paint hits, missed and false pixels over the greyed photograph.

    :param picture: uint8, H x W x 3, RGB.
    :param marked: bool, H x W.
    :param label: bool, H x W.
    :param size: width and height of the result, px; None: the picture's own. When it is smaller,
        thin lines keep at least a pixel of width.
    """
    size = size or (picture.shape[1], picture.shape[0])
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), size,
                      interpolation=cv2.INTER_AREA)
    painted = np.repeat((grey // 2 + 100)[..., np.newaxis], 3, axis=2).astype(np.uint8)
    false, missed = marked & ~label, label & ~marked
    near_label, near_marked = widened(label), widened(marked)
    for part, colour in ((false & near_label, _pale(_FALSE)), (missed & near_marked,
                         _pale(_MISSED)), (marked & label, _HIT), (false & ~near_label, _FALSE),
                         (missed & ~near_marked, _MISSED)):
        painted[_reduced(part, size)] = colour
    return painted


def _reduced(mask: Mask, size: tuple[int, int]) -> Mask:
    covered = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return covered > _VISIBLE


def _pale(colour: Colour) -> Colour:
    red, green, blue = ((value + 2 * 215) // 3 for value in colour)
    return red, green, blue


def _inside(picture: npt.NDArray[np.generic], cell: tuple[int, int]) -> tuple[int, int]:
    """Return the size that a picture takes in a cell."""
    factor = min(cell[0] / picture.shape[1], cell[1] / picture.shape[0])
    return (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))


def _agreement_text(marked: Mask, label: Mask) -> str:
    if not label.any():
        return f'{np.count_nonzero(marked)} px false'
    found = strict_agreement(marked, label)
    return f'IoU {found.right / (found.marked + found.labelled - found.right):.2f}'


def _column(file: Path, name: str) -> Line:
    with file.open(newline='', encoding='utf-8') as stream:
        try:
            return [(float(row['epoch']), float(row[name])) for row in csv.DictReader(stream)
                    if row[name] and math.isfinite(float(row[name]))]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{file}: no table of epochs with the column {name}') from error


def _pairs(curve: Mapping[str, Any], suffix: str) -> Line:
    pairs = zip(curve[f'recall{suffix}'], curve[f'precision{suffix}'])
    return sorted((recall, precision) for recall, precision in pairs
                  if recall is not None and precision is not None)


def _at_threshold(curve: Mapping[str, Any], suffix: str,
                  threshold: float) -> tuple[float, float] | None:
    nearest = int(np.argmin(np.abs(np.asarray(curve['threshold']) - threshold)))
    recall, precision = curve[f'recall{suffix}'][nearest], curve[f'precision{suffix}'][nearest]
    return None if recall is None or precision is None else (recall, precision)
