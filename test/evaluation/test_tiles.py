# SPDX-License-Identifier: Apache-2.0
"""Tiles cover the photograph; a crack's last few pixels make a tile neither cracked nor clean."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from tunnel_crack_ros.evaluation.tiles import cut_tiles


def blank(width, height):
    return np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool)


@given(st.integers(128, 1500), st.integers(128, 1500))
def test_tiles_cover_all_and_none_is_small(width, height):
    picture, label = blank(width, height)
    sizes = [tile.picture.shape[:2] for tile in cut_tiles(picture, label)]
    assert sum(a * b for a, b in sizes) == width * height
    assert min(min(size) for size in sizes) >= 128


@pytest.mark.parametrize('size, count', [
    ((224, 224), 1), ((448, 448), 4), ((1024, 768), 15), ((127, 500), 0)])
def test_how_many(size, count):
    assert len(cut_tiles(*blank(*size))) == count


def test_labels_come_from_the_mask_of_each_tile():
    picture, label = blank(672, 224)
    label[100, 0:50] = True         # 50 px: cracked
    label[100, 300:349] = True      # 49 px: neither
    assert [tile.has_crack for tile in cut_tiles(picture, label)] == [True, False]
