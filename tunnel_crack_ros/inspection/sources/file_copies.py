# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for a bag's files that rosbags cannot open, or not whole, where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
import logging
from pathlib import Path
import shutil
import sqlite3
import tempfile
import weakref

from tunnel_crack_ros.inspection.sources import zstd

_LOG = logging.getLogger(__name__)
_UNFIT = '?#%'      # in a name, for rosbags makes a URI of an SQLite file's without quoting it


def fits_uri(name: str) -> bool:
    """Return whether rosbags can open an SQLite file of this name."""
    return not set(name) & set(_UNFIT)


class FileCopies:
    """Copies of files in a temporary folder that is removed with this object."""

    def __init__(self) -> None:
        """Begin with none."""
        self._folder: Path | None = None
        self._count = 0

    def unpacked(self, file: Path) -> Path:
        """Decompress a file, as far as it goes.

        :param file: compressed by zstd; its name ends so.
        :raises OSError: it cannot be read, or there is no room for a copy.
        """
        with self._copy(file, file.stem) as copy:
            with zstd.ZstdFile(file) as packed, copy.open('wb') as content:
                try:
                    shutil.copyfileobj(packed, content)
                except (EOFError, zstd.ZstdError) as error:
                    _LOG.warning('%s: broken, read as far as it can be decompressed: %s', file,
                                 error)
            return copy

    def with_log(self, file: Path, log: Path) -> Path:
        """Copy an SQLite file and write into it what its write-ahead log holds.

        :raises OSError: one cannot be read, or there is no room for a copy.
        :raises sqlite3.Error: it is no such file.
        """
        with self._copy(file, file.name) as copy:
            shutil.copyfile(file, copy)
            shutil.copyfile(log, f'{copy}-wal')
            with closing(sqlite3.connect(copy)) as content:
                content.execute('PRAGMA wal_checkpoint(TRUNCATE)')
                content.execute('PRAGMA journal_mode=DELETE')
            return copy

    def link(self, file: Path) -> Path:
        """Give a file a name that rosbags can open.

        :raises OSError: the temporary folder takes no links.
        """
        with self._copy(file, file.name) as copy:
            copy.symlink_to(file.resolve())
            return copy

    @contextmanager
    def _copy(self, file: Path, name: str) -> Iterator[Path]:
        """Give a path for a copy, alone in its folder; an error says what it is for."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix='tunnel_crack_bag_'))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        folder = self._folder / str(self._count)
        self._count += 1
        try:
            folder.mkdir()
            yield folder / ''.join('_' if letter in _UNFIT else letter for letter in name)
        except OSError as error:
            raise OSError(f'{file}: no copy of it in {self._folder}, which it needs to be read '
                          f'(TMPDIR names another place): {error}') from error
