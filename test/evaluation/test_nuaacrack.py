# SPDX-License-Identifier: Apache-2.0
"""The paper's layout: images sorted by label, split 7:2:1 by a seed, groups kept whole."""

from collections import Counter
from pathlib import Path

import cv2
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset, CrackImage, DatasetError
from tunnel_crack_ros.evaluation.nuaacrack import split_by_group


def picture(path, mark=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((16, 24), np.uint8)
    if mark:
        pixels[4:6] = 255
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / 'nuaa'
    for number in range(20):
        picture(root / 'Crack' / f'{number}.jpg')
        picture(root / 'masks' / f'{number}.png', True)
    for number in range(10):
        picture(root / 'background' / f'{number}.jpg')
    return root


def image(number, has_crack, group=None):
    return CrackImage(source='nuaa', stem=str(number), split='', has_crack=has_crack,
                      image_path=Path(f'{number}.jpg'), mask_path=None,
                      group=group or f'{has_crack}/{number}')


def test_labels_come_from_the_folders_and_masks_from_the_stems(folder):
    dataset = CrackDataset.read(folder)
    assert dataset.sources == ('nuaa',)
    assert Counter(found.has_crack for found in dataset.images) == {True: 20, False: 10}
    assert len({found.stem for found in dataset.images}) == 30
    for found in dataset.images:
        assert found.read()[1].any() == found.has_crack


def test_each_label_is_split_by_seven_two_one(folder):
    dataset = CrackDataset.read(folder)
    assert dataset.has_splits
    assert Counter((found.split, found.has_crack) for found in dataset.images) == {
        ('train', True): 14, ('val', True): 4, ('test', True): 2,
        ('train', False): 7, ('val', False): 2, ('test', False): 1}


def test_a_data_set_of_the_papers_size_is_split_as_in_its_table_1():
    images = [image(number, number < 1468) for number in range(1942)]
    counts = Counter((found.split, found.has_crack) for found in split_by_group(images, 0))
    # Table 1: 1029, 293, 146 and 333, 94, 47; exact shares round to within two of that
    for key, paper in {('train', True): 1029, ('val', True): 293, ('test', True): 146,
                       ('train', False): 333, ('val', False): 94, ('test', False): 47}.items():
        assert abs(counts[key] - paper) <= 2


def test_a_seed_gives_the_same_split(folder):
    assert CrackDataset.read(folder).images == CrackDataset.read(folder).images
    images = [image(number, True) for number in range(100)]
    assert split_by_group(images, 1) == split_by_group(images, 1)
    assert split_by_group(images, 1) != split_by_group(images, 2)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=60),
       st.integers(0, 1000))
def test_no_group_is_torn_apart(drawn, seed):
    images = [image(number, has_crack, f'place {group}')
              for number, (has_crack, group) in enumerate(drawn)]
    found = split_by_group(images, seed)
    assert {one.split for one in found} <= {'train', 'val', 'test'}
    assert len({(one.group, one.split) for one in found}) == len({one.group for one in found})


def test_groups_are_read_from_groups_csv(folder):
    rows = [f'{number},ring {number // 5}' for number in range(20)]
    (folder / 'groups.csv').write_text('\n'.join(['stem,group', *rows]) + '\n')
    images = CrackDataset.read(folder).images
    assert {found.group for found in images} == {f'ring {ring}' for ring in range(4)}
    assert len({(found.group, found.split) for found in images}) == 4


def test_an_image_without_group_is_refused(folder):
    (folder / 'groups.csv').write_text('stem,group\n0,a\n')
    with pytest.raises(DatasetError, match=r'groups.csv: no group for 19 of 20 images in Crack/'):
        CrackDataset.read(folder)


def test_groups_without_the_columns_are_refused(folder):
    (folder / 'groups.csv').write_text('name,ring\n0,a\n')
    with pytest.raises(DatasetError, match=r'columns name, ring; expected stem, group'):
        CrackDataset.read(folder)


def test_a_crack_without_mask_is_refused_by_name(folder):
    (folder / 'masks' / '7.png').unlink()
    with pytest.raises(DatasetError,
                       match=r'masks: no mask for 1 of 20 images in Crack/ \(first: 7.jpg\)'):
        CrackDataset.read(folder)


@pytest.mark.parametrize('gone, message', [
    ('masks', r'found Crack/, background/; expected a folder of masks'),
    ('background', r'found Crack/, masks/; expected a folder of images without crack, named one '
                   r'of background, '),
    ('Crack', r'found background/, masks/; expected a folder of images with crack, named one of '
              r'crack, '),
])
def test_a_missing_folder_is_named(folder, gone, message):
    (folder / gone).rename(folder.parent / 'elsewhere')
    with pytest.raises(DatasetError, match=message):
        CrackDataset.read(folder)


def test_an_empty_folder_is_refused(folder):
    for path in (folder / 'background').iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match='background: found no picture; expected files that'):
        CrackDataset.read(folder)


def test_images_of_one_stem_in_both_folders_have_groups_of_their_own(folder):
    rows = [f'Crack/{number},c{number}' for number in range(10)]
    rows += [f'{number},d{number}' for number in range(10, 20)]
    rows += [f'background/{number},b{number}' for number in range(10)]
    (folder / 'groups.csv').write_text('\n'.join(['stem,group', *rows]))
    assert {found.stem: found.group for found in CrackDataset.read(folder).images}.items() >= {
        'Crack/3': 'c3', 'Crack/13': 'd13', 'background/3': 'b3'}.items()


def test_a_stem_of_two_groups_is_refused(folder):
    (folder / 'groups.csv').write_text('stem,group\n' + ''.join(
        f'{number},{group}{number}\n' for group in 'cb' for number in range(20)))
    with pytest.raises(DatasetError, match="0 has the groups 'c0' and 'b0'; expected one, or"):
        CrackDataset.read(folder)


def test_two_files_of_one_stem_are_refused(folder):
    picture(folder / 'Crack' / '3.png')
    with pytest.raises(DatasetError, match='found 3.jpg and 3.png; expected each stem once'):
        CrackDataset.read(folder)
