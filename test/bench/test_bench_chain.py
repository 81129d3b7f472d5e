# SPDX-License-Identifier: Apache-2.0
"""With the true mask the chain makes hardly an error; without one it finds nothing."""

import json
import math

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tunnel_crack_ros.bench.chain import measure_chain
from tunnel_crack_ros.bench.labels import as_segmentation, measure_against_labels
from tunnel_crack_ros.cli import app
from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset
from tunnel_crack_ros.simulation import render_frames, SimulationSettings


@pytest.fixture(scope='module')
def frames():
    return list(render_frames(SimulationSettings(
        seed=36, frames=12, width=320, height=240, fps=1.0, crack_density=3.0)))


@pytest.fixture(scope='module')
def truth(frames):
    masks = {frame.rgb.tobytes(): frame.mask for frame in frames}
    return lambda rgb: as_segmentation(masks[rgb.tobytes()] > 0)


def test_true_masks_find_every_crack_that_is_asked_for(frames, truth):
    found = measure_chain(truth, frames).to_json_dict()
    usable = [frame for frame in frames if frame.usable]
    assert found['frames'] == len(usable) > 5
    assert found['imaged_m'] == pytest.approx(len(usable) * 0.32, rel=1e-3)
    assert found['cracks'] > 3 and found['found'] == 1.0
    assert found['false_cracks'] == 0
    assert found['length_error_median'] < 0.1
    assert found['width_error_mm_median'] < 1.0


def test_a_dark_bar_where_no_crack_is_counts_as_false(frames, truth):
    def with_bar(rgb):
        mask = truth(rgb).mask > 0
        near = cv2.dilate(mask.astype(np.uint8), np.ones((41, 41), np.uint8)) > 0
        bar = np.zeros_like(mask)
        bar[:, 30:33] = bar[:, 280:283] = True
        return as_segmentation(mask | bar & ~near)
    assert measure_chain(with_bar, frames).false_per_100_m > 100.0


def test_an_empty_mask_finds_nothing(frames):
    found = measure_chain(
        lambda rgb: as_segmentation(np.zeros(rgb.shape[:2], bool)), frames).to_json_dict()
    assert found['found'] == 0.0 and found['false_cracks'] == 0
    assert math.isnan(found['length_error_median'])


@pytest.fixture
def photographs(tmp_path):
    for kind in ('images', 'masks'):
        (tmp_path / kind).mkdir()
    for number in range(3):
        mask = np.zeros((120, 160), np.uint8)
        cv2.line(mask, (20, 20 + 10 * number), (140, 90), 255, 3)
        cv2.imwrite(str(tmp_path / 'images' / f'{number}.png'), np.dstack([255 - mask] * 3))
        cv2.imwrite(str(tmp_path / 'masks' / f'{number}.png'), mask)
    return tmp_path


def test_a_prediction_twice_as_wide_is_found_out(photographs):
    def thick(rgb):
        dark = (rgb[:, :, 0] < 128).astype(np.uint8)
        return as_segmentation(cv2.dilate(dark, np.ones((4, 4), np.uint8)) > 0)
    images = CrackDataset.read(photographs).images
    exact = measure_against_labels(lambda rgb: as_segmentation(rgb[:, :, 0] < 128), images)
    wide = measure_against_labels(thick, images)
    for errors in exact.values():
        assert errors.images == 3 and errors.empty == 0
        assert errors.to_json_dict()['mean_width_error_median'] == 0.0
    for errors in wide.values():
        found = errors.to_json_dict()
        assert 0.7 < found['mean_width_bias_median'] < 1.5
        assert found['length_error_median'] < 0.1


def test_the_command_writes_both_tables(photographs, tmp_path):
    file = tmp_path / 'chain.json'
    done = CliRunner().invoke(app, [
        'bench', 'chain', '--frames', '3', '--data', str(photographs), '--json', str(file)])
    assert done.exit_code == 0, done.output
    found = json.loads(file.read_text())
    assert found['simulated']['frames'] >= 1
    assert sum(source['images'] for source in found['labels'].values()) == 3
