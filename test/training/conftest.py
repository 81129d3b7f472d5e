# SPDX-License-Identifier: Apache-2.0
"""A tiny set of drawn pictures, on which training takes seconds."""

import csv

import cv2
import numpy as np
import pytest


@pytest.fixture(scope='session')
def drawn_cracks(tmp_path_factory):
    """Twelve pictures of 160 x 160 px, every second one with a dark crooked line."""
    folder = tmp_path_factory.mktemp('drawn')
    rng = np.random.default_rng(3)
    for kind in ('images', 'masks'):
        (folder / kind).mkdir()
    for number in range(12):
        image = rng.normal(150, 6, (160, 160, 3)).clip(0, 255).astype(np.uint8)
        mask = np.zeros((160, 160), np.uint8)
        if number % 2:
            points = np.stack([np.linspace(5, 155, 7), rng.uniform(40, 120, 7)], axis=1)
            line = points.astype(np.int32)[np.newaxis]
            cv2.polylines(image, line, False, (30, 30, 30), 4)
            cv2.polylines(mask, line, False, 255, 4)
        cv2.imwrite(str(folder / 'images' / f'{number:02}.png'), image)
        cv2.imwrite(str(folder / 'masks' / f'{number:02}.png'), mask)
    return folder


@pytest.fixture(scope='session')
def drawn_sources(drawn_cracks, tmp_path_factory):
    """Return the drawn pictures as two sources, each with two pictures a split."""
    folder = tmp_path_factory.mktemp('sources')
    with (folder / 'index.csv').open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['source', 'stem', 'split', 'label', 'group', 'cluster'])
        for number in range(12):
            source = ('uav75', 'wall')[number // 6]
            split = ('train', 'val', 'test')[number // 2 % 3]
            for kind, suffix in (('images', '.jpg'), ('masks', '.png')):
                (folder / source / kind).mkdir(parents=True, exist_ok=True)
                picture = cv2.imread(str(drawn_cracks / kind / f'{number:02}.png'))
                cv2.imwrite(str(folder / source / kind / f'{number:02}{suffix}'), picture)
            label = 'crack' if number % 2 else 'no_crack'
            writer.writerow([source, f'{number:02}', split, label, number, ''])
    return folder
