# SPDX-License-Identifier: Apache-2.0
"""What validates is looked at before the training, and seen as the robot sees it."""

import csv
import shutil

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from tunnel_crack_ros.evaluation.crack_dataset import DatasetError
from tunnel_crack_ros.training.checkpoint import read_checkpoint, read_run
from tunnel_crack_ros.training.fit import train
from tunnel_crack_ros.training.recipes import Recipe
from tunnel_crack_ros.training.samples import SampleMix
from tunnel_crack_ros.training.validation import segment_image
from tunnel_crack_ros.vision.segmenter import MAX_PIXELS

pytestmark = pytest.mark.training

SEGMENTER = 'unet_efficientnet_lite0_segmenter'
ONE_STEP = Recipe(epochs=1, samples_per_epoch=2, batch_size=2, learning_rate=1e-3,
                  source_weights={}, mix=SampleMix(distractor_share=0.0, paste_share=0.0),
                  crop_side=64, average_decay=0.5)


class Red(nn.Module):
    """Calls red what it is asked about, and remembers how large that was."""

    def forward(self, images):
        self.seen = images.shape
        return 4.0 * images[:, :1]


@pytest.fixture
def own_sources(drawn_sources, tmp_path):
    """Return a copy of the drawn sources that a test may spoil."""
    return shutil.copytree(drawn_sources, tmp_path / 'own')


def train_one_step(data, out):
    steps = []
    try:
        return train(SEGMENTER, data, out, recipe=ONE_STEP, pretrained=False,
                     on_step=lambda *step: steps.append(step))
    except ValueError:
        assert not steps, 'told after the training only'
        raise


def test_a_mask_of_another_size_is_told_before_the_training(own_sources, tmp_path):
    cv2.imwrite(str(own_sources / 'wall' / 'masks' / '09.png'), np.zeros((20, 30), np.uint8))
    with pytest.raises(DatasetError, match=r'wall/masks/09.png: mask is 30x20, .* 160x160'):
        train_one_step(own_sources, tmp_path / 'run')


def test_a_validation_split_without_crack_is_told_before_the_training(own_sources, tmp_path):
    index = own_sources / 'index.csv'
    with index.open(newline='') as file:
        rows = list(csv.DictReader(file))
    with index.open('w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row for row in rows
                         if (row['split'], row['label']) != ('val', 'crack'))
    with pytest.raises(ValueError, match='none of the 2 validation images shows a crack'):
        train_one_step(own_sources, tmp_path / 'run')


def test_large_pictures_are_seen_as_the_segmenter_sees_them():
    picture = np.zeros((1100, 1300, 3), np.uint8)
    picture[300:600, 500:900, 0] = 255
    network = Red()
    confidence = segment_image(network, picture, torch.device('cpu'))
    assert confidence.shape == (1100, 1300)
    seen = network.seen[2] * network.seen[3]
    assert MAX_PIXELS * 0.95 < seen < MAX_PIXELS * 1.05
    assert (confidence[310:590, 510:890] > 0.8).all()
    assert (confidence[:290] < 0.2).all()


def test_a_run_is_no_network_and_a_network_no_run(drawn_sources, tmp_path):
    best = train_one_step(drawn_sources, tmp_path)
    last = tmp_path / f'{SEGMENTER}.last.pt'
    with pytest.raises(ValueError, match='found model, run.*; expected a .best.pt, a tr'):
        read_checkpoint(last)
    with pytest.raises(ValueError, match='expected a .last.pt, a run that can go on'):
        read_run(best)
