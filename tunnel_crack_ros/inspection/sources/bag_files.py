# SPDX-License-Identifier: Apache-2.0
"""The files of a bag, those of a recording that never ended among them.

`ros2 bag record` writes a file's index and `metadata.yaml` last: power that fails before leaves
neither. What was recorded until then is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import cast

from tunnel_crack_ros.inspection.sources.cut_off_mcap import CutOffMcap, whole_part
from tunnel_crack_ros.inspection.sources.file_copies import FileCopies, fits_uri

_LOG = logging.getLogger(__name__)
_PACKED = '.zstd'
_ENDINGS = ('.mcap', '.db3', f'.mcap{_PACKED}', f'.db3{_PACKED}')
_METADATA = 'metadata.yaml'


def bag_below(path: Path) -> Path | None:
    """Return what is to be opened if a path is a bag, a bag's file, or holds a bag in `bag/`.

    :return: the bag's folder, or the file where no folder says to which bag it belongs.
    """
    if path.is_file():
        if not path.name.endswith(_ENDINGS):
            return None
        return path.parent if has_metadata(path.parent) else path
    for folder in (path, path / 'bag'):
        if has_metadata(folder) or files_of(folder):
            return folder
    return None


def has_metadata(folder: Path) -> bool:
    """Return whether a folder says which bag its files are, as one that was ended does."""
    return (folder / _METADATA).is_file()


def files_of(folder: Path) -> list[Path]:
    """Return the files of a bag; of one that is there with and without compression, the latter.

    A recorder that compresses a file removes it only after that.
    """
    files = sorted(file for ending in _ENDINGS for file in folder.glob(f'*{ending}'))
    return [file for file in files
            if file.suffix != _PACKED or file.with_suffix('') not in files]


class BagFiles:
    """The files of a bag, as `AnyReader` can open them."""

    paths: Sequence[Path]
    """The bag's folder, or its files where their ends are missing or copies stand in for them."""

    def __init__(self, bag: Path) -> None:
        """Look at the files; what is left out of one, or is not where it belongs, is logged.

        :param bag: what `bag_below` found.
        :raises OSError: a file cannot be read.
        :raises sqlite3.Error: likewise.
        """
        self._copies = FileCopies()     # live as long as this object
        files = [bag] if bag.is_file() else files_of(bag)
        if has_metadata(bag) and all(map(_is_fit, files)):
            self.paths = [bag]
            return
        begun = [file for file in files if file.stat().st_size]
        for file in sorted({*files} - {*begun}) if begun else []:
            _LOG.warning('%s: empty, left out', file)
        self.paths = [self._readable(file) for file in begun or files] or [bag]

    def _readable(self, file: Path) -> Path:
        """Return a file, or what stands in for it."""
        source = self._copies.unpacked(file) if file.suffix == _PACKED else file
        if source.suffix == '.db3':
            if (log := _log_of(source)) is not None:
                _LOG.warning('%s: never closed, as after a loss of power; what %s holds is read, '
                             'too', file, log.name)
                return self._copies.with_log(source, log)
            return source if fits_uri(str(source)) else self._copies.link(source)
        if (length := whole_part(source)) is None:
            return source
        _LOG.warning('%s: cut off, as by a loss of power; read up to byte %d of %d%s', file,
                     length, source.stat().st_size, '' if source is file else ', decompressed')
        # rosbags asks no more of a path than CutOffMcap has
        return cast(Path, CutOffMcap(source, length))


def _is_fit(file: Path) -> bool:
    """Return whether rosbags reads all of a file of a bag that has its metadata."""
    if file.name.endswith('.db3'):
        return fits_uri(str(file)) and _log_of(file) is None
    if file.suffix == _PACKED:      # decompressed by rosbags, under its own name
        return fits_uri(file.name) or not file.name.endswith(f'.db3{_PACKED}')
    return whole_part(file) is None


def _log_of(file: Path) -> Path | None:
    """Return the log of what SQLite has not written into the file itself yet; None: nothing."""
    log = file.with_name(f'{file.name}-wal')
    return log if log.is_file() and log.stat().st_size else None
