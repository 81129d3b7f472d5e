# SPDX-License-Identifier: Apache-2.0
"""The mean of a trained network and its start lies between the two."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
import pytest
from typer.testing import CliRunner

from tunnel_crack_ros.cli import app
from tunnel_crack_ros.training.checkpoint import read_checkpoint
from tunnel_crack_ros.training.export import compare, export
from tunnel_crack_ros.training.fit import train
from tunnel_crack_ros.training.models import architecture
from tunnel_crack_ros.training.recipes import OURS
from tunnel_crack_ros.training.weight_mean import write_mean
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, find_card, SEGMENTER

pytestmark = pytest.mark.training
START = find_card(SEGMENTER).with_suffix('.onnx')


@pytest.fixture(scope='module', autouse=True)
def _few_pictures() -> Iterator[None]:
    """Take few for the statistics: how good they are does not matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('tunnel_crack_ros.training.weight_mean._PICTURES', 2)
        yield


@pytest.fixture(scope='module')
def trained(drawn_cracks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train the shipped segmenter on for a few steps, large ones."""
    recipe = replace(OURS['segmenter'], epochs=1, samples_per_epoch=8, batch_size=2,
                     crop_side=96, learning_rate=1e-3, average_decay=0.0)
    return train(SEGMENTER, drawn_cracks, tmp_path_factory.mktemp('run'), recipe=recipe,
                 start_from=START)


@pytest.fixture(scope='module')
def averaged(trained: Path, drawn_cracks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Average by `tunnel_crack average`, which says where the file is and what comes next."""
    out = tmp_path_factory.mktemp('mean')
    result = CliRunner().invoke(app, [
        'average', str(trained), str(START), '--data', str(drawn_cracks), '--out', str(out)])
    assert result.exit_code == 0, result.output
    assert 'tunnel_crack export' in result.output
    return out / f'{SEGMENTER}.best.pt'


def _weights(path: Path) -> list[np.ndarray]:
    graph = onnx.load(str(path)).graph
    numbers = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    return [numbers[node.input[1]] for node in graph.node if node.op_type == 'Conv']


def test_half_of_each(trained: Path, averaged: Path, tmp_path: Path) -> None:
    """Each convolution of the exported mean is the mean of both files' convolutions."""
    old, new = _weights(START), _weights(export(trained, tmp_path / 'new').model)
    mixed = _weights(export(averaged, tmp_path / 'mixed').model)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(old, new))
    for a, b, found in zip(old, new, mixed, strict=True):
        np.testing.assert_allclose(found, (a + b) / 2, atol=1e-5)


def test_mean_carries_the_data_of_both_and_a_score_of_its_own(
        trained: Path, averaged: Path, drawn_cracks: Path) -> None:
    """What the card will say of training data and validation."""
    state = read_checkpoint(averaged)
    before = read_checkpoint(trained)
    assert {'uav75', 'k11_noncrack', drawn_cracks.name} <= set(state['training_data'])
    assert state['validation'] != before['validation']
    assert state['model'] == SEGMENTER


def test_nothing_of_the_checkpoint_is_the_start(trained: Path, drawn_cracks: Path,
                                                tmp_path: Path) -> None:
    """Share 0 answers as the deployed file does."""
    state = read_checkpoint(write_mean(trained, START, drawn_cracks, tmp_path, share=0.0))
    plan = architecture(SEGMENTER)
    network = plan.build(False)
    network.load_state_dict(state['network'])
    assert compare(network.eval(), plan, START, []) < 1e-5
    changed = plan.build(False)
    changed.load_state_dict(read_checkpoint(trained)['network'])
    assert compare(changed.eval(), plan, START, []) > 1e-3


def test_what_cannot_be_averaged_is_refused(trained: Path, drawn_cracks: Path,
                                            tmp_path: Path) -> None:
    """Another model's file, a share above 1, the checkpoint's own folder."""
    other = find_card(CLASSIFIER).with_suffix('.onnx')
    assert ModelCard.read(other.with_suffix('.yaml')).name != SEGMENTER
    with pytest.raises(ValueError, match=f'expected {SEGMENTER}'):
        write_mean(trained, other, drawn_cracks, tmp_path)
    with pytest.raises(ValueError, match='share is 1.5; expected 0 to 1'):
        write_mean(trained, START, drawn_cracks, tmp_path, share=1.5)
    with pytest.raises(ValueError, match='expected another folder'):
        write_mean(trained, START, drawn_cracks, trained.parent)
