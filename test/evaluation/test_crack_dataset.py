# SPDX-License-Identifier: Apache-2.0
"""What the data set reader takes, and what it refuses."""

import csv
import os

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset, DatasetError


def picture(path, mark=False, size=(24, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    if mark:
        pixels[4:6] = 255
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def folder(tmp_path):
    for stem, cracked in (('a', True), ('b', False)):
        picture(tmp_path / 'images' / f'{stem}.jpg')
        picture(tmp_path / 'masks' / f'{stem}.png', cracked)
    return tmp_path


@pytest.fixture
def indexed(tmp_path):
    rows = [('wall', 'a', 'train', 'crack'), ('wall', 'b', 'test', 'no_crack'),
            ('asphalt_x', 'c', 'test', 'crack')]
    with (tmp_path / 'index.csv').open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['source', 'stem', 'split', 'label', 'group', 'cluster'])
        for row in rows:
            writer.writerow([*row, row[1], ''])
    for source, stem, _, label in rows:
        picture(tmp_path / source / 'images' / f'{stem}.jpg')
        picture(tmp_path / source / 'masks' / f'{stem}.png', label == 'crack')
    return tmp_path


def test_an_all_black_mask_means_no_crack(folder):
    images = CrackDataset.read(folder).images
    assert [(image.stem, image.has_crack) for image in images] == [('a', True), ('b', False)]


def test_an_image_without_mask_is_refused_by_name(folder):
    picture(folder / 'images' / 'forgotten.png')
    with pytest.raises(DatasetError, match=r'no mask for 1 of 3 images \(first: forgotten.png\)'):
        CrackDataset.read(folder)


def test_a_mask_of_another_size_is_refused(folder):
    picture(folder / 'masks' / 'a.png', True, (12, 16))
    image = CrackDataset.read(folder).images[0]
    with pytest.raises(DatasetError, match='mask is 12x16, its image is 24x16'):
        image.read()


@pytest.mark.parametrize('content', [b'not a picture', b''])
def test_a_damaged_picture_is_refused(folder, content):
    (folder / 'images' / 'a.jpg').write_bytes(content)
    with pytest.raises(DatasetError, match=f'a.jpg: {len(content)} bytes cannot be decoded'):
        CrackDataset.read(folder).images[0].read_image()


def test_pictures_whose_names_are_not_utf_8_are_read(folder):
    name = os.fsdecode(b'fissur\xe9')
    (folder / 'images' / 'a.jpg').rename(folder / 'images' / f'{name}.jpg')
    (folder / 'masks' / 'a.png').rename(folder / 'masks' / f'{name}.png')
    image, = (image for image in CrackDataset.read(folder).images if image.stem == name)
    picture, mask = image.read()
    assert picture.shape == (16, 24, 3) and mask.sum() == 2 * 24


def test_a_folder_of_neither_layout_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r'neither index.csv nor the folders'):
        CrackDataset.read(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'masks').mkdir()
    with pytest.raises(DatasetError, match='found no picture'):
        CrackDataset.read(tmp_path)


def test_splits_and_sources_come_from_the_index(indexed):
    dataset = CrackDataset.read(indexed)
    assert dataset.sources == ('asphalt_x', 'wall')
    assert [image.stem for image in dataset.select('test').images] == ['b', 'c']
    assert [image.stem for image in dataset.select('test', without=('asphalt_',)).images] == ['b']
    assert [image.stem for image in dataset.select(sources=['wall']).images] == ['a', 'b']


def test_a_folder_without_splits_is_kept_whole(folder):
    assert len(CrackDataset.read(folder).select('test').images) == 2


@pytest.mark.parametrize('split, sources, message', [
    ('tset', None, "unknown split 'tset'; expected one of train, val, test"),
    ('test', ['tunnel'], 'has no source tunnel; it has asphalt_x, wall'),
    ('val', None, 'no image left in split val'),
])
def test_a_wrong_selection_is_named(indexed, split, sources, message):
    with pytest.raises(DatasetError, match=message):
        CrackDataset.read(indexed).select(split, sources)


def test_images_are_rgb(tmp_path):
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 2] = 255      # OpenCV writes BGR
    for kind in ('images', 'masks'):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / 'a.png'), red)
    image, _ = CrackDataset.read(tmp_path).images[0].read()
    assert image[0, 0].tolist() == [255, 0, 0]


def test_distractor_masks_are_read_where_they_are(folder):
    picture(folder / 'masks_distractor' / 'b.png', True)
    without, with_one = CrackDataset.read(folder).images
    assert without.read_distractor() is None
    assert with_one.read_distractor().sum() == 2 * 24


def test_a_distractor_mask_of_another_size_is_refused(indexed):
    picture(indexed / 'wall' / 'masks_distractor' / 'a.png', True, (12, 16))
    image, = CrackDataset.read(indexed).select('train').images
    with pytest.raises(DatasetError, match='mask is 12x16, the label is 24x16'):
        image.read_distractor()


@pytest.mark.parametrize(('kind', 'marked'), [
    (np.uint8, 1), (np.uint8, 127), (np.uint16, 1), (np.uint16, 255), (np.uint16, 32_767)])
def test_a_mask_of_other_values_is_no_clean_one(folder, kind, marked):
    """Of 16 bits, read as 8, it was: the photograph was taught as a clean one."""
    mask = np.zeros((16, 24), kind)
    mask[4:6] = marked
    cv2.imwrite(str(folder / 'masks' / 'a.png'), mask)
    with pytest.raises(DatasetError, match=f'a.png: mask has values up to {marked}; expected 0 '
                                           f'.* and {np.iinfo(kind).max} where one is'):
        CrackDataset.read(folder)


def test_a_mask_of_16_bits_counts_to_65535(folder):
    mask = np.zeros((16, 24), np.uint16)
    mask[4:6] = 65_535
    cv2.imwrite(str(folder / 'masks' / 'a.png'), mask)
    first = CrackDataset.read(folder).images[0]
    assert first.stem == 'a' and first.read()[1].sum() == 2 * 24


def test_a_mask_that_is_seen_through_is_refused(folder):
    """Its colours say one thing, and what is seen of them another."""
    mask = np.full((16, 24, 4), 255, np.uint8)
    mask[:, :, 3] = 0
    cv2.imwrite(str(folder / 'masks' / 'a.png'), mask)
    with pytest.raises(DatasetError, match='a.png: mask has transparent pixels'):
        CrackDataset.read(folder)


def test_a_coloured_mask_counts_and_the_noise_of_a_black_jpeg_does_not(folder):
    red = np.zeros((16, 24, 3), np.uint8)
    red[4:6] = (0, 0, 128)
    cv2.imwrite(str(folder / 'masks' / 'a.png'), red)
    (folder / 'masks' / 'b.png').unlink()
    cv2.imwrite(str(folder / 'masks' / 'b.jpg'), np.full((16, 24), 3, np.uint8))
    cracked, clean = CrackDataset.read(folder).images
    assert cracked.has_crack and cracked.read_mask().sum() == 48 and not clean.has_crack


def test_an_index_needs_no_more_than_is_said_and_may_come_from_a_spreadsheet(indexed):
    rows = list(csv.reader((indexed / 'index.csv').open(newline='')))
    with (indexed / 'index.csv').open('w', newline='', encoding='utf-8-sig') as file:
        csv.writer(file).writerows([row[:-1] for row in rows])      # without `cluster`
    assert [image.group for image in CrackDataset.read(indexed).images] == [
        'wall/a', 'wall/b', 'asphalt_x/c']


@pytest.mark.parametrize('was, becomes, message', [
    ('label', 'kind', 'found the columns source, stem, split, kind, group, cluster; expected'),
    ('no_crack', 'Crack', "wall b has the label 'Crack'"),
    ('test', 'Test', "the split 'Test'")])
def test_a_wrong_index_is_named(indexed, was, becomes, message):
    text = (indexed / 'index.csv').read_text()
    (indexed / 'index.csv').write_text(text.replace(was, becomes, 1))
    with pytest.raises(DatasetError, match=message):
        CrackDataset.read(indexed)


def test_pictures_of_an_index_may_be_of_any_kind(indexed):
    old = indexed / 'wall' / 'images' / 'a.jpg'
    cv2.imwrite(str(old.with_suffix('.png')), cv2.imread(str(old)))
    old.unlink()
    assert CrackDataset.read(indexed).images[0].read()[1].any()


def test_an_image_that_stands_in_the_index_twice_is_refused(indexed):
    with (indexed / 'index.csv').open('a') as file:
        file.write('wall,a,test,crack,a,\n')
    with pytest.raises(DatasetError, match="wall a stands there twice, .* 'train' and 'test'"):
        CrackDataset.read(indexed)


@pytest.mark.parametrize('content', [
    b'source,stem,split,label,group\nwall,"a,train,crack,a\nwall,b,test,no_crack,b\n',
    b'source,stem,split,label,group\nw\xe4nde,a,train,crack,a\n'])
def test_an_index_that_is_no_table_is_named(indexed, content):
    (indexed / 'index.csv').write_bytes(content)
    with pytest.raises(DatasetError, match='index.csv: no table of comma-separated values'):
        CrackDataset.read(indexed)


def test_a_mask_of_fractions_is_refused_by_name(folder):
    mask = folder / 'masks' / 'a.png'
    mask.unlink()
    cv2.imwrite(str(mask.with_suffix('.tif')), np.zeros((16, 24), np.float32))
    with pytest.raises(DatasetError, match='a.tif: mask of float32; expected whole numbers'):
        CrackDataset.read(folder)


def test_what_is_left_out_unless_named_is_said(indexed):
    with pytest.raises(DatasetError, match='sources all, without those named wall..., asphalt_'):
        CrackDataset.read(indexed).select('test', without=('wall', 'asphalt_'))
