# SPDX-License-Identifier: Apache-2.0
"""The folder that an inspection's results go to: pictures, tables, and one JSON with all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
import csv
from dataclasses import dataclass, field
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.inspection.frame_record import FrameRecord
from tunnel_crack_ros.inspection.lining_table import (
    LINING_COLUMNS,
    lining_note,
    lining_row,
    lining_values,
)
from tunnel_crack_ros.json_file import write_json
from tunnel_crack_ros.vision import Crack, Label, RgbFrame
from tunnel_crack_ros.vision.lining_cracks import LiningCracks
from tunnel_crack_ros.vision.picture_file import write_picture

LINING_TABLE = 'lining_cracks.csv'
_TABLES = ('frames.csv', 'cracks.csv', LINING_TABLE, 'cracks.json', 'cracks.geojson')
_JOURNAL = '.unfinished'    # a line for every frame with pictures, until the tables name them
FRAME_COLUMNS = ('frame', 'camera', 'stamp', 'verdict', 'crack_probability', 'reason', 'cracks',
                 'chainage_m', 'chainage_sigma_m', 'clock_h')
_MEASURES = (
    'length_px', 'length_mm', 'length_sigma_mm', 'width_mean_px', 'width_mean_mm',
    'width_sigma_px', 'width_sigma_mm', 'width_floor_mm', 'width_p95_px', 'width_p95_mm',
    'width_max_px', 'width_max_mm', 'area_px', 'area_mm2')
_PLACE = ('chainage_m', 'chainage_from_m', 'chainage_to_m', 'chainage_sigma_m', 'clock_h',
          'clock_sigma_h')
CRACK_COLUMNS = (
    'frame', 'camera', 'stamp', 'crack', 'confidence', 'kind', *_MEASURES, 'orientation_deg',
    'tortuosity', 'touches_border', 'bbox_x_px', 'bbox_y_px', 'bbox_width_px', 'bbox_height_px',
    'mm_per_px', 'mm_per_px_sigma', 'scale_source', *_PLACE, 'lining_crack')


@dataclass(frozen=True)
class Summary:
    """An inspection in a few numbers."""

    frames: int
    flagged: int
    unknown: int
    unreadable: int
    cracks: int
    longest: Crack | None
    widest: Crack | None
    notes: dict[str, int] = field(default_factory=dict)
    """What was wrong with calibration or depth, and in how many frames."""
    cracked: int = 0
    """Frames that have cracks."""
    faults: dict[str, int] = field(default_factory=dict)
    """Why frames could not be read, and how many."""
    lining_cracks: int = 0
    """Cracks of the lining, each once, whatever number of frames shows it."""
    lining_length_mm: float = 0.0
    """Of all those."""
    lining_note: str = ''
    """Which cracks may still be counted twice, and why."""

    def sentence(self) -> str:
        """Say it in one line."""
        parts = [f'{self.flagged} flagged of {self.frames} frames', f'{self.unknown} UNKNOWN']
        if self.unreadable:
            parts.append(f'{self.unreadable} unreadable')
        parts.append(f'{self.cracks} cracks' + (
            f' in {self.cracked} frames (one that several frames show counts in each)'
            if self.cracked > 1 else ''))
        if self.lining_cracks:
            parts.append(f'{self.lining_cracks} on the lining, each once, together '
                         f'{_with_unit(self.lining_length_mm, math.nan)}')
        if self.longest is not None and self.widest is not None:
            parts.append(f'longest {_with_unit(self.longest.length_mm, self.longest.length_px)}')
            parts.append(f'widest (mean) {_width(self.widest)}')
        return ', '.join(parts)


class ResultFolder:
    """Writes `masks/`, `overlays/`, `cracks.json` and the tables beside it."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, or clear it of what an earlier inspection wrote there.

        :raises OSError: it cannot be made.
        :raises ValueError: it holds tables of these names that no inspection wrote.
        """
        self.folder = folder
        if foreign := _foreign_tables(folder):
            raise ValueError(f"{folder}: holds {', '.join(foreign)}, which no inspection wrote "
                             'and which would be lost; expected another folder for the results')
        self._journal, self._noted = folder / _JOURNAL, set[str]()
        for name in _earlier_frames(folder / 'cracks.json') + _noted_frames(self._journal):
            self._mask(name).unlink(missing_ok=True)
            self._overlay(name).unlink(missing_ok=True)
        for name in (*_TABLES, _JOURNAL):
            (folder / name).unlink(missing_ok=True)
        for name in ('masks', 'overlays'):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def _mask(self, name: str) -> Path:
        return self.folder / 'masks' / f'{name}.png'

    def _overlay(self, name: str) -> Path:
        return self.folder / 'overlays' / f'{name}.jpg'

    def save_mask(self, name: str, mask: npt.NDArray[np.uint8]) -> None:
        """Save a mask (H x W, 0 or 255) as `masks/<name>.png`."""
        self._note(name)
        write_picture(self._mask(name), mask)

    def save_overlay(self, name: str, overlay: RgbFrame) -> None:
        """Save an overlay (RGB) as `overlays/<name>.jpg`."""
        self._note(name)
        write_picture(self._overlay(name), overlay)

    def _note(self, name: str) -> None:
        """Write down whose pictures come, as one that is killed writes no tables to say it."""
        if name not in self._noted:
            with self._journal.open('a', encoding='utf-8') as file:
                file.write(json.dumps(name) + '\n')
            self._noted.add(name)

    def write_tables(self, records: Sequence[FrameRecord], about: dict[str, Any],
                     lining: LiningCracks | None = None) -> Summary:
        """Write the tables and the JSON, in order of camera and stamp.

        :param about: what the results were made with: recording, models, thresholds.
        :param lining: the cracks that are one on the lining; None: nobody asked.
        :return: the inspection in a few numbers.
        """
        lining = lining or LiningCracks()
        ids = lining.of_observations()
        with (self.folder / 'frames.csv').open('w', newline='', encoding='utf-8') as file:
            frames = csv.writer(file)
            frames.writerow(FRAME_COLUMNS)
            frames.writerows([r.name, r.camera, _stamp(r.stamp), r.verdict,
                              _rounded(r.crack_probability, 4), r.reason, len(r.cracks),
                              *(_rounded(value, 3) for value in _frame_place(r))]
                             for r in records)
        with (self.folder / 'cracks.csv').open('w', newline='', encoding='utf-8') as file:
            cracks = csv.writer(file)
            cracks.writerow(CRACK_COLUMNS)
            cracks.writerows([*_crack_row(record, crack), ids.get((i, j), '')]
                             for i, record in enumerate(records)
                             for j, crack in enumerate(record.cracks))
        on_lining = [lining_values(records, crack) for crack in lining.cracks]
        if on_lining:   # no table rather than an empty one: that would say there are no cracks
            with (self.folder / LINING_TABLE).open('w', newline='', encoding='utf-8') as file:
                table = csv.writer(file)
                table.writerow(LINING_COLUMNS)
                table.writerows(map(lining_row, on_lining))
        summary = summarise(records, lining)
        content = {**about, 'summary': _summary_values(summary),
                   'lining_cracks': on_lining or None, 'lining_note': summary.lining_note,
                   'frames': [_frame_values(record, [ids.get((i, j))
                                                     for j in range(len(record.cracks))])
                              for i, record in enumerate(records)]}
        write_json(self.folder / 'cracks.json', content)
        self._journal.unlink(missing_ok=True)
        return summary


def _foreign_tables(folder: Path) -> list[str]:
    """Return the names of tables that would be overwritten and are not an inspection's."""
    if (folder / _JOURNAL).is_file():   # one that was killed, perhaps in the middle of a table
        return []
    foreign = []
    for name, head in (('frames.csv', FRAME_COLUMNS), ('cracks.csv', CRACK_COLUMNS),
                       (LINING_TABLE, LINING_COLUMNS)):
        with suppress(FileNotFoundError), (folder / name).open(encoding='utf-8',
                                                               errors='replace') as file:
            if not file.readline().startswith(','.join(head[:3]) + ','):
                foreign.append(name)
    with suppress(FileNotFoundError):
        try:
            content = json.loads((folder / 'cracks.json').read_bytes())
        except ValueError:
            content = None
        if not isinstance(content, dict) or 'summary' not in content:
            foreign.append('cracks.json')
    return foreign


def _earlier_frames(table: Path) -> list[str]:
    """Return the names of the frames that an earlier inspection judged; none if it is not ours."""
    try:
        names = [str(frame['frame']) for frame in json.loads(table.read_text('utf-8'))['frames']]
        return [name for name in names if Path(name).name == name]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _noted_frames(journal: Path) -> list[str]:
    """Return the names of the frames of an earlier inspection that did not get to its tables."""
    names: list[str] = []
    with suppress(OSError, ValueError):     # the last line may be torn, before its pictures
        names += (str(json.loads(line)) for line in journal.read_text('utf-8').splitlines())
    return [name for name in names if Path(name).name == name]


def summarise(records: Sequence[FrameRecord], lining: LiningCracks | None = None) -> Summary:
    """Count and pick the longest and the widest crack, by mm where a scale is known."""
    lining = lining or LiningCracks()
    cracked = sum(bool(record.cracks) for record in records)
    cracks = [crack for record in records for crack in record.cracks]
    verdicts = [record.verdict for record in records]
    return Summary(
        len(records), verdicts.count(Label.CRACK.name), verdicts.count(Label.UNKNOWN.name),
        verdicts.count('UNREADABLE'), len(cracks),
        _largest(cracks, 'length'), _largest(cracks, 'width_mean'),
        dict(Counter(record.measures.note for record in records if record.measures.note)),
        cracked, dict(Counter(r.reason for r in records if r.verdict == 'UNREADABLE')),
        len(lining.cracks), sum(crack.length_mm for crack in lining.cracks),
        lining_note(lining, cracked))


def _largest(cracks: Sequence[Crack], measure: str) -> Crack | None:
    """Pick by mm: a pixel of one camera may cover more of the lining than one of another."""
    measured = [crack for crack in cracks if math.isfinite(getattr(crack, f'{measure}_mm'))]
    unit = 'mm' if measured else 'px'
    return max(measured or cracks, key=lambda crack: getattr(crack, f'{measure}_{unit}'),
               default=None)


def _crack_row(record: FrameRecord, crack: Crack) -> list[Any]:
    scale = crack.scale
    return [record.name, record.camera, _stamp(record.stamp), crack.id,
            _rounded(crack.confidence, 3), crack.kind.name,
            *(_rounded(getattr(crack, name), 3) for name in _MEASURES),
            _rounded(math.degrees(crack.orientation), 1), _rounded(crack.tortuosity, 3),
            int(crack.touches_border), *crack.bounding_box,
            _rounded(scale.mm_per_px, 5), _rounded(scale.sigma, 5), scale.source.name,
            *(_rounded(getattr(crack.place, name), 3) for name in _PLACE)]


def _frame_place(record: FrameRecord) -> tuple[float, float, float]:
    measures = record.measures
    return measures.chainage.metres, measures.chainage.sigma_m, measures.clock_h


def _frame_values(record: FrameRecord, lining_ids: Sequence[int | None]) -> dict[str, Any]:
    return {
        'frame': record.name, 'camera': record.camera, 'stamp': _stamp(record.stamp),
        'verdict': record.verdict, 'crack_probability': _number(record.crack_probability, 4),
        'reason': record.reason, 'mm_per_px': _number(record.scale.mm_per_px, 6),
        'mm_per_px_sigma': _number(record.scale.sigma, 6),
        'scale_source': record.scale.source.name, 'scale_note': record.measures.note,
        **dict(zip(('chainage_m', 'chainage_sigma_m', 'clock_h'),
                   (_number(value, 4) for value in _frame_place(record)))),
        'cracks': [crack_values(crack, number) for crack, number in zip(record.cracks,
                                                                        lining_ids)]}


def crack_values(crack: Crack, lining_id: int | None) -> dict[str, Any]:
    """Return a crack's measures by name, px, mm, m, h and rad; None for what is unknown.

    :param lining_id: which crack of the lining it is a part of.
    """
    line = _line_values(crack.centre_line, crack.widths_px)
    return {
        'id': crack.id, 'confidence': _number(crack.confidence, 4), 'kind': crack.kind.name,
        'bounding_box_px': list(crack.bounding_box),
        **{name: _number(getattr(crack, name), 3) for name in (
            *_MEASURES, 'orientation', 'tortuosity')},
        'mm_per_px': _number(crack.scale.mm_per_px, 6),
        'mm_per_px_sigma': _number(crack.scale.sigma, 6), 'scale_source': crack.scale.source.name,
        **{name: _number(getattr(crack.place, name), 4) for name in _PLACE},
        'touches_border': crack.touches_border, 'centre_line_x_y_width_px': line,
        'branches_x_y_width_px': [_line_values(branch.points, branch.widths_px)
                                  for branch in crack.branches],
        'lining_crack': lining_id}


def _line_values(points: npt.NDArray[Any], widths: npt.NDArray[Any]) -> list[list[float | None]]:
    return [[_number(float(x), 2), _number(float(y), 2), _number(float(w), 2)]
            for (x, y), w in zip(points, widths)]


def _summary_values(summary: Summary) -> dict[str, Any]:
    return {'frames': summary.frames, 'flagged': summary.flagged, 'unknown': summary.unknown,
            'unreadable': summary.unreadable, 'cracks': summary.cracks,
            'lining_cracks': summary.lining_cracks or None}


def _stamp(stamp: tuple[int, int]) -> str:
    return f'{stamp[0]}.{stamp[1]:09d}'


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _rounded(value: float, digits: int) -> str:
    return f'{value:.{digits}f}' if math.isfinite(value) else ''


def _with_unit(millimetres: float, pixels: float) -> str:
    if not math.isfinite(millimetres):
        return f'{pixels:.1f} px'
    return f'{millimetres / 1000:.2f} m' if millimetres >= 1000 else f'{millimetres:.1f} mm'


def _width(crack: Crack) -> str:
    if not crack.resolved and math.isfinite(crack.width_floor_mm):
        return f'below {crack.width_floor_mm:.1f} mm'
    return _with_unit(crack.width_mean_mm, crack.width_mean_px)
