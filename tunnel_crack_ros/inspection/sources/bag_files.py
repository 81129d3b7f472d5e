# SPDX-License-Identifier: Apache-2.0
"""The files of a bag, those of a recording that never ended among them.

`ros2 bag record` writes a file's index and `metadata.yaml` last: power that fails before leaves
neither. What was recorded until then is whole.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

from tunnel_crack_ros.inspection.sources.cut_off_mcap import CutOffMcap, whole_part

_LOG = logging.getLogger(__name__)
_ENDINGS = ('.mcap', '.db3')
_METADATA = 'metadata.yaml'


def bag_below(path: Path) -> Path | None:
    """Return what is to be opened if a path is a bag, a bag's file, or holds a bag in `bag/`.

    :return: the bag's folder, or the file where no folder says to which bag it belongs.
    """
    if path.is_file():
        if path.suffix not in _ENDINGS:
            return None
        return path.parent if (path.parent / _METADATA).is_file() else path
    for folder in (path, path / 'bag'):
        if (folder / _METADATA).is_file() or _files(folder):
            return folder
    return None


def readable_paths(bag: Path) -> list[Path]:
    """Return what `AnyReader` opens: the bag's folder, or its files where their ends are missing.

    What is left out of a file that was cut off is logged.

    :param bag: what `bag_below` found.
    :raises OSError: a file cannot be read.
    """
    files = [bag] if bag.is_file() else _files(bag)
    cut_off = {file: length for file in files if (length := whole_part(file)) is not None}
    if not cut_off and (bag / _METADATA).is_file():
        return [bag]
    for file, length in cut_off.items():
        _LOG.warning('%s: cut off, as by a loss of power; read up to byte %d of %d', file, length,
                     file.stat().st_size)
    # rosbags asks no more of a path than CutOffMcap has
    return [cast(Path, CutOffMcap(file, cut_off[file])) if file in cut_off else file
            for file in files] or [bag]


def _files(folder: Path) -> list[Path]:
    return sorted(file for ending in _ENDINGS for file in folder.glob(f'*{ending}'))
