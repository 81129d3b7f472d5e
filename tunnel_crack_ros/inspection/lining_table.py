# SPDX-License-Identifier: Apache-2.0
"""The lining's cracks, each once, as a table and as values for JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import math
from typing import Any

from tunnel_crack_ros.inspection.frame_record import FrameRecord
from tunnel_crack_ros.vision.lining_cracks import find_lining_cracks, LiningCrack, LiningCracks

LINING_COLUMNS = (
    'lining_crack', 'kind', 'chainage_from_m', 'chainage_to_m', 'chainage_sigma_m',
    'clock_from_h', 'clock_to_h', 'clock_sigma_h', 'length_mm', 'length_sigma_mm',
    'width_max_mm', 'width_sigma_mm', 'width_floor_mm', 'widest_frame', 'best_frame',
    'best_crack', 'frames', 'seen_in')
"""`width_...` are those of `widest_frame`; `best_crack` is its number there, in `cracks.csv`."""
BETWEEN_NAMES = ';'
_NEEDS = {'scale': 'a scale', 'chainage': 'odometry', 'clock position': 'tunnel_radius_m'}


def lining_cracks_of(records: Sequence[FrameRecord], radius_m: float,
                     progress: Callable[[int, int], None] | None = None) -> LiningCracks:
    """Recognise the cracks that several frames show.

    :param radius_m: of the tunnel, m; 0: not known.
    :param progress: called with (done, of) after every frame with cracks.
    """
    return find_lining_cracks([record.cracks for record in records],
                              [record.camera for record in records], radius_m, progress)


def lining_values(records: Sequence[FrameRecord], crack: LiningCrack) -> dict[str, Any]:
    """Return what is known of one of the lining's cracks, by the columns' names."""
    best, widest = (records[frame].cracks[place] for frame, place in (crack.best, crack.widest))
    frames = sorted({frame for frame, _ in crack.seen})
    return dict(zip(LINING_COLUMNS, (
        crack.id, best.kind.name, crack.chainage_from_m, crack.chainage_to_m,
        best.place.chainage_sigma_m, crack.clock_from_h, crack.clock_to_h,
        best.place.clock_sigma_h, crack.length_mm, crack.length_sigma_mm, widest.width_max_mm,
        widest.width_sigma_mm, widest.width_floor_mm, records[crack.widest[0]].name,
        records[crack.best[0]].name, best.id, len(frames),
        [records[frame].name for frame in frames])))


def lining_row(values: dict[str, Any]) -> list[str]:
    """Return those values as a line of the table."""
    return [BETWEEN_NAMES.join(value) if isinstance(value, list) else
            (f'{value:.3f}' if math.isfinite(value) else '') if isinstance(value, float) else
            str(value) for value in values.values()]


def lining_note(lining: LiningCracks, cracked: int) -> str:
    """Say which cracks may still be counted twice, and why; '' when none may.

    :param cracked: frames that have cracks.
    """
    count = sum(lining.unplaced.values())
    if not count or cracked < 2:
        return ''
    missing = [what for what in _NEEDS if any(what in reason for reason in lining.unplaced)]
    why = ' or '.join(f'no {what} (needs {_NEEDS[what]})' for what in missing) \
        or 'no place of their line'
    known = len(lining.of_observations())
    if not known:
        return f'one crack in several frames is not recognised as one: {why}; no lining_cracks.csv'
    return f'{count} of {count + known} cracks are not in lining_cracks.csv: {why}'
