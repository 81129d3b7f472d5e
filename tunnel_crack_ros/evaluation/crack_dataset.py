# SPDX-License-Identifier: Apache-2.0
"""Read photographs and their crack masks from disk, with the splits that come with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

PICTURE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff')
SPLITS = ('train', 'val', 'test')
_COLUMNS = ('source', 'stem', 'split', 'label', 'group')
_LABELS = ('crack', 'no_crack')


class DatasetError(ValueError):
    """The folder does not hold the data that was asked for."""


@dataclass(frozen=True, slots=True)
class CrackImage:
    """One photograph and its mask on disk."""

    source: str         # the data set within the data set: where the photograph came from
    stem: str           # file name without suffix; unique within its source
    split: str          # train, val or test; empty when the folder defines no splits
    has_crack: bool     # label of the whole frame
    image_path: Path
    mask_path: Path | None     # None: no crack anywhere
    group: str          # photographs of one group show the same place
    distractor_path: Path | None = None     # mask of what looks like a crack and is none

    def read_image(self) -> npt.NDArray[np.uint8]:
        """Read the photograph.

        :return: uint8, H x W x 3, RGB.
        :raises DatasetError: the file cannot be decoded.
        """
        return _read(self.image_path, cv2.IMREAD_COLOR)[:, :, ::-1]

    def read_mask(self) -> npt.NDArray[np.bool_]:
        """Read the mask.

        :return: bool, H x W, true where the label says crack.
        :raises DatasetError: the file cannot be decoded.
        """
        if self.mask_path is None:
            return np.zeros(self.read_image().shape[:2], bool)
        return _read_mask(self.mask_path)

    def read_distractor(self) -> npt.NDArray[np.bool_] | None:
        """Read the mask of what looks like trouble and is no crack: joints, leaks, spalls.

        :return: bool, H x W; None when the image has no such mask.
        :raises DatasetError: the file cannot be decoded, or its size is not the label's.
        """
        if self.distractor_path is None:
            return None
        distractor = _read_mask(self.distractor_path)
        if distractor.shape != (label := self.read_mask()).shape:
            raise DatasetError(
                f'{self.distractor_path}: mask is {_size(distractor)}, the label is '
                f'{_size(label)}; expected equal sizes')
        return distractor

    def read(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Read both and make sure that they fit each other.

        :return: photograph (uint8, H x W x 3, RGB) and mask (bool, H x W).
        :raises DatasetError: a file cannot be decoded, or the sizes differ.
        """
        image = self.read_image()
        if self.mask_path is None:
            return image, np.zeros(image.shape[:2], bool)
        mask = self.read_mask()
        if image.shape[:2] != mask.shape:
            raise DatasetError(
                f'{self.mask_path}: mask is {_size(mask)}, its image is {_size(image)}; '
                'expected equal sizes')
        return image, mask


@dataclass(frozen=True, slots=True)
class CrackDataset:
    """Photographs with masks, in a fixed order."""

    root: Path
    images: tuple[CrackImage, ...]

    @classmethod
    def read(cls, root: Path, seed: int = 0) -> CrackDataset:
        """List the photographs of a folder.

        Three layouts are understood: a folder with `index.csv` (columns source, stem, split,
        label (crack or no_crack) and group; where there is a column cluster, it counts as group;
        files in `<source>/images`, masks of the same stem, PNG, in `<source>/masks`), and any
        folder with `images/` and `masks/` whose file stems match. In the second, an image without
        crack has an all-black mask: a missing mask is an error, since forgotten labels look just
        like it.
        In both, a mask of the same stem in `masks_distractor/` beside `masks/` shows what looks
        like a crack and is none. The third is that of the paper's data, `crack/`, `background/`
        and `masks/`: see `nuaacrack.py`.

        :param root: the folder.
        :param seed: of the split, in the third layout; the others say themselves, or have none.
        :raises DatasetError: no layout is there, or a mask is missing.
        """
        root = Path(root)
        if (root / 'index.csv').is_file():
            return cls(root, tuple(_read_index(root)))
        if (root / 'images').is_dir() and (root / 'masks').is_dir():
            return cls(root, tuple(_read_folder(root)))
        from tunnel_crack_ros.evaluation import nuaacrack  # it builds on this file
        if nuaacrack.is_sorted_by_label(root):
            return cls(root, tuple(nuaacrack.read_sorted_by_label(root, seed)))
        raise DatasetError(
            f'{root}: found neither index.csv nor the folders images/ and masks/, nor crack/ and '
            'background/; expected one of the three layouts')

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, sorted."""
        return tuple(sorted({image.source for image in self.images}))

    @property
    def has_splits(self) -> bool:
        """Whether the folder says which images are for training, validation and test."""
        return any(image.split for image in self.images)

    def select(self, split: str | None = None, sources: Sequence[str] | None = None,
               without: Sequence[str] = ()) -> CrackDataset:
        """Keep one split and some sources.

        :param split: train, val or test; None keeps all. A folder without splits is kept whole.
        :param sources: names to keep; None keeps all.
        :param without: prefixes of source names to leave out (`asphalt_`).
        :raises DatasetError: an unknown split or source, or nothing is left.
        """
        if split is not None and split not in SPLITS:
            raise DatasetError(f"unknown split '{split}'; expected one of {', '.join(SPLITS)}")
        unknown = sorted(set(sources or ()) - set(self.sources))
        if unknown:
            raise DatasetError(
                f"{self.root} has no source {', '.join(unknown)}; it has "
                f"{', '.join(self.sources)}")
        kept = tuple(
            image for image in self.images
            if (split is None or not self.has_splits or image.split == split)
            and (sources is None or image.source in sources)
            and not image.source.startswith(tuple(without)))
        if not kept:
            raise DatasetError(
                f"{self.root}: no image left in split {split or 'any'} of sources "
                f"{', '.join(sources) if sources else 'all'}"
                + (f", without those named {', '.join(f'{name}...' for name in without)}"
                   if without else ''))
        return CrackDataset(self.root, kept)


def table_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a table with a header, comma-separated, UTF-8.

    :raises DatasetError: it is none, or lacks one of the columns.
    """
    # spreadsheets put a mark before UTF-8
    with path.open(newline='', encoding='utf-8-sig') as file:
        try:
            table = csv.DictReader(file, strict=True)
            found = table.fieldnames or ()
            rows = list(table)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DatasetError(f'{path}: no table of comma-separated values in UTF-8: {error}'
                               ) from None
    if not set(columns) <= set(found):
        raise DatasetError(f"{path}: found the columns {', '.join(found) or 'none'}; "
                           f"expected {', '.join(columns)}")
    return rows


def _read_index(root: Path) -> Iterator[CrackImage]:
    images: dict[str, dict[str, Path]] = {}     # source: stem: file
    distractors: dict[str, dict[str, Path]] = {}
    splits: dict[tuple[str, str], str] = {}
    path = root / 'index.csv'
    for row in table_rows(path, _COLUMNS):
        source, stem, split = row['source'], row['stem'], row['split']
        if row['label'] not in _LABELS or split not in ('', *SPLITS):
            raise DatasetError(
                f"{path}: {source} {stem} has the label '{row['label']}' and the split "
                f"'{split}'; expected {' or '.join(_LABELS)}, and one of {', '.join(SPLITS)}")
        if (source, stem) in splits:
            raise DatasetError(f'{path}: {source} {stem} stands there twice, in the splits '
                               f"'{splits[source, stem]}' and '{split}'; expected it once")
        splits[source, stem] = split
        folder = root / source
        if source not in images:
            images[source] = {each.stem: each for each in _pictures(folder / 'images')}
            distractors[source] = _distractors(folder)
        yield CrackImage(
            source=source, stem=stem, split=split, has_crack=row['label'] == 'crack',
            image_path=images[source].get(stem, folder / 'images' / f'{stem}.jpg'),
            mask_path=folder / 'masks' / f'{stem}.png',
            group=f"{source}/{row.get('cluster') or row['group']}",
            distractor_path=distractors[source].get(stem))


def _read_folder(root: Path) -> Iterator[CrackImage]:
    masks = {path.stem: path for path in _pictures(root / 'masks')}
    pictures = _pictures(root / 'images')
    if not pictures:
        raise DatasetError(f"{root / 'images'}: found no picture; expected files that end in "
                           f"{', '.join(PICTURE_SUFFIXES)}")
    missing = [path.name for path in pictures if path.stem not in masks]
    if missing:
        raise DatasetError(
            f"{root / 'masks'}: no mask for {len(missing)} of {len(pictures)} images (first: "
            f'{missing[0]}); expected a mask with the same stem, all black where no crack is')
    distractors = _distractors(root)
    for path in pictures:
        yield CrackImage(
            source=root.resolve().name, stem=path.stem, split='',
            has_crack=bool(_read_mask(masks[path.stem]).any()), image_path=path,
            mask_path=masks[path.stem],
            group=path.stem, distractor_path=distractors.get(path.stem))


def _distractors(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in _pictures(folder / 'masks_distractor')}


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)


def _read(path: Path, flags: int) -> npt.NDArray[np.uint8]:
    if not path.is_file():
        raise DatasetError(f'{path}: no such file; the index names it')
    # OpenCV's own reading ends the process where a name is not UTF-8
    data = np.frombuffer(path.read_bytes(), np.uint8)
    picture = cv2.imdecode(data, flags) if data.size else None
    if picture is None:
        raise DatasetError(f'{path}: {data.size} bytes cannot be decoded as a picture')
    return picture  # type: ignore[return-value]


def _read_mask(path: Path) -> npt.NDArray[np.bool_]:
    values = _read(path, cv2.IMREAD_UNCHANGED)
    if values.dtype.kind not in 'ui':
        raise DatasetError(f'{path}: mask of {values.dtype}; expected whole numbers, 8 or 16 bits')
    top = int(np.iinfo(values.dtype).max)   # 65535 of 16 bits
    if values.ndim == 3:
        if values.shape[2] == 4 and values[:, :, 3].min() < top:
            raise DatasetError(f'{path}: mask has transparent pixels, expected an opaque picture')
        # coloured masks, too: a red pixel is no dark grey one
        values = values[:, :, :3].max(axis=2)
    # JPEG makes such values of black
    largest = int(values.max())
    if 0 < largest <= top // 2 and path.suffix.lower() not in ('.jpg', '.jpeg'):
        raise DatasetError(f'{path}: mask has values up to {largest}; expected 0 where no crack '
                           f'is and {top} where one is')
    return np.asarray(values > top // 2)


def _size(picture: npt.NDArray[np.generic]) -> str:
    return f'{picture.shape[1]}x{picture.shape[0]}'
