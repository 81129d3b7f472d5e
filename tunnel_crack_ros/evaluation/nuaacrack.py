# SPDX-License-Identifier: Apache-2.0
"""The layout of the paper's data set, NUAACrack-2000, and the split that the paper makes of it.

Feng et al., section 3: 1,942 images of 512 x 375 px, 474 of background and 1,468 of cracks, each
of the latter with a mask; 70 % train, 20 % validate, 10 % test. The paper does not say how the
files lie on disk, nor which image went where. So any folder is read that sorts its images by
label:

    <root>/crack/        or cracks, cracked, positive
    <root>/background/   or backgrounds, non_crack, no_crack, noncrack, negative
    <root>/masks/        or mask, labels: one for each image in crack/, of the same stem
    <root>/groups.csv    optional; columns stem (17, or crack/17 where both folders have a 17) and
                         group: images of one group show the same place

"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tunnel_crack_ros.evaluation.crack_dataset import (
    CrackImage,
    DatasetError,
    PICTURE_SUFFIXES,
    table_rows,
)

CRACK_FOLDERS = ('crack', 'cracks', 'cracked', 'positive')
BACKGROUND_FOLDERS = ('background', 'backgrounds', 'non_crack', 'no_crack', 'noncrack',
                      'negative')
MASK_FOLDERS = ('masks', 'mask', 'labels')
SHARES: Mapping[str, float] = {'train': 0.7, 'val': 0.2, 'test': 0.1}


def is_sorted_by_label(root: Path) -> bool:
    """Tell whether a folder has images in a folder for cracks or in one for background."""
    return _folder(root, CRACK_FOLDERS) is not None or _folder(
        root, BACKGROUND_FOLDERS) is not None


def read_sorted_by_label(root: Path, seed: int = 0) -> list[CrackImage]:
    """List the images of such a folder and split them.

    :param root: see above; names of folders in upper or lower case.
    :param seed: of the split.
    :raises DatasetError: a folder, a mask or a group is missing.
    """
    groups = _groups(root)
    images = [*_images(root, CRACK_FOLDERS, True, groups),
              *_images(root, BACKGROUND_FOLDERS, False, groups)]
    return split_by_group(images, seed)


def split_by_group(images: Sequence[CrackImage], seed: int) -> list[CrackImage]:
    """Split 7:2:1, cracked and clean images each for themselves.

    No group is torn apart, so no place is both learnt and tested. A group with images of both
    labels counts as cracked. The same images and seed give the same split.
    """
    cracked = {image.group for image in images if image.has_crack}
    clean = {image.group for image in images} - cracked
    sizes: dict[str, int] = {}
    for image in images:
        sizes[image.group] = sizes.get(image.group, 0) + 1
    rng = np.random.default_rng(seed)
    split_of: dict[str, str] = {}
    for chosen in (cracked, clean):
        names = [str(name) for name in rng.permutation(sorted(chosen))]
        total = sum(sizes[name] for name in names)
        room = {split: share * total for split, share in SHARES.items()}
        # the large ones first, while there is room to balance them
        for name in sorted(names, key=lambda name: -sizes[name]):
            split_of[name] = max(room, key=lambda split: room[split])
            room[split_of[name]] -= sizes[name]
    return [replace(image, split=split_of[image.group]) for image in images]


def _images(root: Path, names: Sequence[str], has_crack: bool,
            groups: Mapping[str, str] | None) -> list[CrackImage]:
    folder = _folder(root, names)
    if folder is None:
        raise DatasetError(f'{root}: found {_listing(root)}; expected a folder of images '
                           f"{'with' if has_crack else 'without'} crack, named one of "
                           f"{', '.join(names)}")
    pictures = _by_stem(folder)
    masks: Mapping[str, Path] = {}
    if has_crack:
        beside = _folder(root, MASK_FOLDERS)
        if beside is None:
            raise DatasetError(f'{root}: found {_listing(root)}; expected a folder of masks, '
                               f"named one of {', '.join(MASK_FOLDERS)}")
        masks = _by_stem(beside)
        missing = [path.name for stem, path in pictures.items() if stem not in masks]
        if missing:
            raise DatasetError(
                f'{beside}: no mask for {len(missing)} of {len(pictures)} images in '
                f'{folder.name}/ (first: {missing[0]}); expected one of the same stem for each')
    named = {stem: f'{folder.name}/{stem}' for stem in pictures}
    unknown = [] if groups is None else [
        stem for stem in pictures if stem not in groups and named[stem] not in groups]
    if unknown:
        raise DatasetError(
            f"{root / 'groups.csv'}: no group for {len(unknown)} of {len(pictures)} images in "
            f'{folder.name}/ (first: {unknown[0]}); expected a row for each')
    return [CrackImage(
        source=root.resolve().name, stem=named[stem], split='', has_crack=has_crack,
        image_path=path, mask_path=masks.get(stem),
        group=named[stem] if groups is None else groups.get(named[stem]) or groups[stem])
        for stem, path in pictures.items()]


def _groups(root: Path) -> dict[str, str] | None:
    path = root / 'groups.csv'
    if not path.is_file():
        return None
    groups: dict[str, str] = {}
    for row in table_rows(path, ('stem', 'group')):
        stem, group = row['stem'], row['group']
        if groups.setdefault(stem, group) != group:
            raise DatasetError(f"{path}: {stem} has the groups '{groups[stem]}' and '{group}'; "
                               'expected one, or the folder before the stem where two images '
                               'share it (crack/17)')
    return groups


def _folder(root: Path, names: Sequence[str]) -> Path | None:
    if not root.is_dir():
        return None
    found = {path.name.lower(): path for path in sorted(root.iterdir()) if path.is_dir()}
    return next((found[name] for name in names if name in found), None)


def _by_stem(folder: Path) -> dict[str, Path]:
    pictures: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        if (other := pictures.setdefault(path.stem, path)) is not path:
            raise DatasetError(f'{folder}: found {other.name} and {path.name}; expected each stem '
                               'once')
    if not pictures:
        raise DatasetError(f'{folder}: found no picture; expected files that end in '
                           f"{', '.join(PICTURE_SUFFIXES)}")
    return pictures


def _listing(root: Path) -> str:
    folders = sorted(f'{path.name}/' for path in root.iterdir() if path.is_dir())
    return ', '.join(folders) or 'no folder'
