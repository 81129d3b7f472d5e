# SPDX-License-Identifier: Apache-2.0
"""The ground truth of a simulated inspection as files: masks, a table, the cracks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunnel_crack_ros.simulation.cracks import LiningCrack, STEP_MM
from tunnel_crack_ros.simulation.frames import SimulatedFrame
from tunnel_crack_ros.simulation.lining import Lining
from tunnel_crack_ros.simulation.settings import SimulationSettings
from tunnel_crack_ros.vision.picture_file import write_picture

LAST_FILE = 'cracks.json'       # once it is there, all is
VERTEX_STEP_MM = 2.0    # distance of the vertices written; rendered ones are closer
COLUMNS = (
    'camera', 'index', 'stamp_ns', 'condition', 'usable', 'cracks', 'crack_length_mm',
    'crack_px', 'chainage_mm', 'arc_mm', 'mm_per_px', 'roll_rad', 'mask')


class TruthFiles:
    """Write the truth of frames as they are rendered.

    :ivar cracks: the tunnel's cracks seen so far, by id.
    :ivar cracked_frames: frames so far with a crack in view.
    :ivar unusable_frames: frames so far that nobody could judge.
    """

    def __init__(self, folder: Path, settings: SimulationSettings) -> None:
        """Begin the files of a drive in a new folder."""
        self._folder = folder
        (folder / 'masks').mkdir(parents=True)
        self._lining = Lining.draw(
            settings.seed, settings.crack_density, settings.max_crack_width)
        self._frames: list[dict[str, Any]] = []
        self._rows: list[dict[str, Any]] = []
        self.cracks: dict[int, LiningCrack] = {}
        self.cracked_frames = 0
        self.unusable_frames = 0

    def add(self, frame: SimulatedFrame) -> None:
        """Write a frame's mask and note the rest."""
        name = f'{frame.camera}_{frame.stamp_ns}.png'
        write_picture(self._folder / 'masks' / name, frame.mask)
        seen = {crack.id for crack in frame.cracks}
        for crack in self._lining.cracks_near(frame.view.bounds) if seen else ():
            if crack.id in seen:
                self.cracks.setdefault(crack.id, crack)
        self.cracked_frames += bool(seen)
        self.unusable_frames += not frame.usable
        self._rows.append(dict(zip(COLUMNS, (
            frame.camera, frame.index, frame.stamp_ns, frame.condition, int(frame.usable),
            len(frame.cracks), f'{sum(crack.length_mm for crack in frame.cracks):.1f}',
            int(np.count_nonzero(frame.mask)), f'{frame.view.x:.2f}', f'{frame.view.s:.2f}',
            f'{frame.view.mm_per_px:.5f}', f'{frame.view.roll:.5f}', f'masks/{name}'))))
        self._frames.append({
            'camera': frame.camera, 'index': frame.index, 'stamp_ns': frame.stamp_ns,
            'usable': frame.usable, 'cracks': [{
                'id': crack.id, 'kind': crack.kind, 'length_mm': round(crack.length_mm, 2),
                'width_mean_mm': round(crack.width_mean_mm, 3),
                'width_max_mm': round(crack.width_max_mm, 3),
                'contrast': round(crack.contrast, 3),
                'lines': [{
                    'points_px': _listed(line.points_px, 2),
                    'width_mm': _listed(line.width_mm, 3),
                } for line in crack.lines]} for crack in frame.cracks]})

    def close(self) -> None:
        """Write the table and the cracks."""
        with (self._folder / 'frames.csv').open('w', newline='') as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(self._rows)
        whole = [{
            'id': crack.id, 'kind': crack.kind, 'lines': [{
                'points_mm': _listed(line.points, 1), 'width_mm': _listed(line.width, 3),
            } for line in crack.lines]} for _, crack in sorted(self.cracks.items())]
        (self._folder / LAST_FILE).write_text(
            json.dumps({'cracks': whole, 'frames': self._frames}) + '\n')


def _listed(values: NDArray[np.float64], decimals: int) -> list[Any]:
    """Return every ``VERTEX_STEP_MM``-th vertex, and always the last, as plain numbers."""
    step = round(VERTEX_STEP_MM / STEP_MM)
    chosen = np.unique(np.append(np.arange(0, len(values), step), len(values) - 1))
    listed: list[Any] = np.round(values[chosen], decimals).tolist()
    return listed
