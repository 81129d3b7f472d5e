# SPDX-License-Identifier: Apache-2.0
"""A source left out takes no part in training, and is what the network is scored on."""

import pytest

from tunnel_crack_ros.evaluation.crack_dataset import DatasetError
from tunnel_crack_ros.training.checkpoint import read_checkpoint
from tunnel_crack_ros.training.leave_one_out import ALL, leave_one_out

pytestmark = pytest.mark.training

MODEL = 'mobilenet_v3_classifier'
SHORT = {'epochs': 1, 'samples': 16, 'simulated': 0}


def trained_on(out, line):
    return set(read_checkpoint(out / line / f'{MODEL}.best.pt')['training_data'])


def test_a_source_is_left_out_of_training_and_scored(drawn_sources, tmp_path):
    table = leave_one_out(MODEL, drawn_sources, tmp_path, sources=['wall'], **SHORT)
    assert trained_on(tmp_path, ALL) == {'uav75', 'wall'}
    assert trained_on(tmp_path, 'wall') == {'uav75'}
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in table.splitlines()
            if line.startswith('|')]
    assert rows[0][:4] == ['source', 'images', 'accuracy, seen', 'accuracy, unseen']
    wall, = rows[2:]
    assert wall[:2] == ['wall', '2']
    assert all(float(cell) in (0.0, 0.5, 1.0) for cell in wall[2:4])
    assert (tmp_path / 'leave_one_out.md').read_text() == table


def test_a_source_that_is_not_there_is_refused(drawn_sources, tmp_path):
    with pytest.raises(DatasetError, match='tunnel cannot be left out; expected sources with '
                                           'images for training and validation: uav75, wall'):
        leave_one_out(MODEL, drawn_sources, tmp_path, sources=['tunnel'], **SHORT)


def test_data_without_splits_is_refused(drawn_cracks, tmp_path):
    with pytest.raises(DatasetError, match='has no splits'):
        leave_one_out(MODEL, drawn_cracks, tmp_path, **SHORT)
