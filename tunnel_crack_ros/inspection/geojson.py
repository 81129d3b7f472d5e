# SPDX-License-Identifier: Apache-2.0
"""An inspection's cracks as GeoJSON, which QGIS opens and CAD programs import."""

from __future__ import annotations

from collections.abc import Sequence
import json
import math
from pathlib import Path
from typing import Any

from tunnel_crack_ros.inspection.frame_record import FrameRecord
from tunnel_crack_ros.inspection.result_folder import crack_values
from tunnel_crack_ros.vision import Crack
from tunnel_crack_ros.vision.lining_cracks import LiningCracks


def write_geojson(path: Path, records: Sequence[FrameRecord],
                  lining: LiningCracks | None = None) -> None:
    """Write all cracks to one file.

    :param lining: the cracks that are one on the lining; None: nobody asked.
    :raises OSError: it cannot be written.
    """
    path.write_text(json.dumps(to_geojson(records, lining), allow_nan=False), encoding='utf-8')


def to_geojson(records: Sequence[FrameRecord],
               lining: LiningCracks | None = None) -> dict[str, Any]:
    """Return a FeatureCollection (RFC 7946): each crack's lines with its measures.

    The first line is the centre line, the others are branches.

    Coordinates are no places on the Earth; `plan` says what they are. `tunnel`: of the unrolled
    lining, seen from inside, m: chainage, and arc from the crown, clockwise as seen when looking
    ahead; all frames together are one plan. `frame`: of the picture named by `frame`, x to the
    right and y up from the centre of the top left pixel, in the unit that `unit` says: mm where
    the scale is known, px elsewhere.
    """
    ids = (lining or LiningCracks()).of_observations()
    return {'type': 'FeatureCollection',
            'features': [_feature(record, crack, ids.get((i, j)))
                         for i, record in enumerate(records)
                         for j, crack in enumerate(record.cracks)]}


def _feature(record: FrameRecord, crack: Crack, lining_id: int | None) -> dict[str, Any]:
    if crack.place.line_m is not None:
        plan, unit = 'tunnel', 'm'
        of_branches = (branch.line_m for branch in crack.branches)
        lines = [[[round(x, 4), round(y, 4)] for x, y in line.tolist()]
                 for line in (crack.place.line_m, *of_branches) if line is not None]
    else:
        known = math.isfinite(crack.mm_per_px)
        plan, unit, factor = 'frame', 'mm' if known else 'px', crack.mm_per_px if known else 1.0
        lines = [[[round(float(x) * factor, 3), round(-float(y) * factor, 3)] for x, y in line]
                 for line in crack.lines]
    measures = crack_values(crack, lining_id)
    del measures['centre_line_x_y_width_px'], measures['branches_x_y_width_px']
    return {
        'type': 'Feature',
        'geometry': _geometry(lines),
        'properties': {'frame': record.name, 'camera': record.camera,
                       'plan': plan, 'unit': unit, **measures}}


def _geometry(lines: list[list[list[float]]]) -> dict[str, Any]:
    main = lines[0]
    if len(main) < 2:       # a line needs two places
        return {'type': 'Point', 'coordinates': main[0]}
    if len(lines) == 1:
        return {'type': 'LineString', 'coordinates': main}
    return {'type': 'MultiLineString', 'coordinates': [each for each in lines if len(each) > 1]}
