# SPDX-License-Identifier: Apache-2.0
"""A line chart, drawn with OpenCV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import math

import cv2
import numpy as np

from tunnel_crack_ros.evaluation.canvas import (
    BLACK,
    blank,
    Colour,
    GREY,
    Picture,
    text_width,
    write,
)

# Okabe and Ito's colours, which colour-blind readers can tell apart
COLOURS: tuple[Colour, ...] = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167),
                               (230, 159, 0), (86, 180, 233), (20, 20, 20), (150, 110, 60))
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 36, 48
_SHIFT = 4      # bits of a fraction of a pixel
_TICKS = 6

Line = Sequence[tuple[float, float]]


def line_chart(lines: Mapping[str, Line], title: str, x_title: str, *,
               size: tuple[int, int] = (560, 400), x_range: tuple[float, float] | None = None,
               y_range: tuple[float, float] | None = None,
               marks: Mapping[str, tuple[float, float]] | None = None,
               whole_x: bool = False) -> Picture:
    """Draw lines over common axes.

    :param lines: name -> points (x, y), x rising; a line of one point is a dot.
    :param size: width and height, px, without the list of names below.
    :param x_range: ends of the axis; None: those of the points.
    :param y_range: likewise.
    :param marks: name of a line -> a point on it to be marked by a ring.
    :param whole_x: no fractions on the x axis (epochs).
    """
    width, height = size
    points = [point for line in lines.values() for point in line]
    x_axis = _axis(x_range, [x for x, _ in points])
    y_axis = _axis(y_range, [y for _, y in points])
    chart = blank(width, height)
    write(chart, title, (_LEFT, 22))
    write(chart, x_title, ((width + _LEFT - text_width(x_title)) // 2, height - 8))
    box = (_LEFT, _TOP, width - _RIGHT, height - _BOTTOM)

    def place(x: float, y: float) -> tuple[float, float]:
        return (box[0] + (x - x_axis[0]) / (x_axis[1] - x_axis[0]) * (box[2] - box[0]),
                box[3] - (y - y_axis[0]) / (y_axis[1] - y_axis[0]) * (box[3] - box[1]))

    for x in _ticks(*x_axis, least=1.0 if whole_x else 0.0):
        column = round(place(x, y_axis[0])[0])
        cv2.line(chart, (column, box[1]), (column, box[3]), (230, 230, 230), 1)
        write(chart, f'{x:g}', (column - text_width(f'{x:g}') // 2, box[3] + 18), GREY)
    for y in _ticks(*y_axis):
        row = round(place(x_axis[0], y)[1])
        cv2.line(chart, (box[0], row), (box[2], row), (230, 230, 230), 1)
        write(chart, f'{y:g}', (box[0] - text_width(f'{y:g}') - 6, row + 5), GREY)
    cv2.rectangle(chart, box[:2], box[2:], GREY, 1)
    for name, line, colour in _coloured(lines):
        path = np.array([place(x, y) for x, y in line]).reshape(-1, 1, 2) * 2 ** _SHIFT
        whole = np.round(path).astype(np.int32)
        cv2.polylines(chart, [whole], False, colour, 2, cv2.LINE_AA, _SHIFT)
        if len(line) <= 30:
            for x, y in whole[:, 0]:
                cv2.circle(chart, (int(x), int(y)), 3 << _SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)
        if marks and name in marks:
            x, y = (round(value) for value in place(*marks[name]))
            cv2.circle(chart, (x, y), 7, colour, 2, cv2.LINE_AA)
    return chart


def legend(names: Sequence[str], width: int) -> Picture:
    """List the names of a chart's lines with their colours, one a row."""
    rows = blank(width, 20 * len(names) + 8)
    for number, (name, _, colour) in enumerate(_coloured(dict.fromkeys(names, ()))):
        cv2.line(rows, (_LEFT, 20 * number + 10), (_LEFT + 30, 20 * number + 10), colour, 3)
        write(rows, name, (_LEFT + 40, 20 * number + 15), BLACK)
    return rows


def _coloured(lines: Mapping[str, Line]) -> list[tuple[str, Line, Colour]]:
    return [(name, line, COLOURS[number % len(COLOURS)])
            for number, (name, line) in enumerate(lines.items())]


def _axis(wanted: tuple[float, float] | None, values: Sequence[float]) -> tuple[float, float]:
    if wanted is not None:
        return wanted
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    rough = max((high - low) / _TICKS, least)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]
