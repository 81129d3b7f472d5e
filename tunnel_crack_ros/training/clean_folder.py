# SPDX-License-Identifier: Apache-2.0
"""A folder of photographs that show no crack: the cheapest way to teach silence on a lining."""

from __future__ import annotations

from pathlib import Path
import re

from tunnel_crack_ros.evaluation.crack_dataset import (
    CrackImage,
    DatasetError,
    PICTURE_SUFFIXES,
)


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts `frame_2` before `frame_10`."""
    return [(int(part), '') if part.isdecimal() else (0, part)
            for part in re.split(r'(\d+)', name)]


def clean_images(folder: Path) -> list[CrackImage]:
    """List the photographs of a folder and its sub-folders.

    :param folder: no masks are needed; its name becomes the name of the source.
    :raises DatasetError: no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise DatasetError(f'{folder}: no such folder; expected photographs without crack')
    pictures = sorted((path for path in folder.rglob('*')
                       if path.suffix.lower() in PICTURE_SUFFIXES),
                      key=lambda path: natural_order(str(path)))
    if not pictures:
        raise DatasetError(f'{folder}: found no picture; expected files that end in '
                           f"{', '.join(PICTURE_SUFFIXES)}")
    name = folder.resolve().name
    return [CrackImage(source=name, stem=str(path.relative_to(folder).with_suffix('')), split='',
                       has_crack=False, image_path=path, mask_path=None, group=f'{name}/{number}')
            for number, path in enumerate(pictures)]
