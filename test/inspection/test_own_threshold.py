# SPDX-License-Identifier: Apache-2.0
"""A threshold for one tunnel: as few false alarms as promised, and `process` takes it."""

import csv

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tunnel_crack_ros.cli import app
from tunnel_crack_ros.inspection.own_threshold import Judged, threshold_for
from tunnel_crack_ros.inspection.parameter_file import read_parameters

run = CliRunner()


def picture(seed, crack):
    """Draw a wall with stains, a crack across it if asked."""
    rng = np.random.default_rng(seed)
    wall = cv2.GaussianBlur(rng.normal(0, 60, (300, 400)).astype(np.float32), (0, 0), 12)
    wall = np.repeat((140 + wall + rng.normal(0, 4, wall.shape))[..., None], 3, axis=2)
    wall = np.clip(wall, 0, 255).astype(np.uint8)
    if crack:
        x = np.arange(400)
        y = 150 + 0.2 * (x - 200) + 6 * np.sin(x / 17 + seed) + 3 * np.sin(x / 5)
        line = np.column_stack([x, y]).round().astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(wall, [line], False, (30, 30, 30), 3, cv2.LINE_AA)
    return cv2.GaussianBlur(wall, (0, 0), 0.7)


@pytest.fixture(scope='module')
def recordings(tmp_path_factory):
    root = tmp_path_factory.mktemp('recordings')
    for name, crack, count in (('clean', False, 12), ('cracked', True, 3)):
        (root / name).mkdir()
        for seed in range(count):
            cv2.imwrite(str(root / name / f'{seed:02d}.png'), picture(seed, crack))
    cv2.imwrite(str(root / 'clean' / 'dark.png'), np.full((300, 400, 3), 3, np.uint8))
    (root / 'clean' / 'torn.jpg').write_bytes(b'\xff\xd8\xff\xe0 torn')
    return root


def test_another_clean_frame_is_flagged_as_seldom_as_promised():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(1000):
        threshold = threshold_for(rng.beta(1, 5, 60), 0.05)
        shares.append(np.mean(rng.beta(1, 5, 50) >= threshold))
    # the promise is for a frame beyond those seen, on average: 3 of 61 here, standard error 0.0014
    assert 0.044 < np.mean(shares) < 0.05


def test_threshold_is_the_lowest_that_will_do():
    clean = np.linspace(0.0, 0.9, 19)
    assert threshold_for(clean, 0.05) == pytest.approx(0.9001)      # none of 19
    assert threshold_for(clean, 0.10) == pytest.approx(0.8501)      # one of 19


@pytest.mark.parametrize(('clean', 'message'), [
    ([0.1] * 18, '18 frames without crack that can be judged, expected at least 19 for 0.05'),
    ([], '0 frames without crack'),
    ([0.1] * 15 + [1.0] * 5, '5 of 20 frames have a crack probability of 1.0000 or more')])
def test_what_cannot_be_promised_is_refused(clean, message):
    with pytest.raises(ValueError, match=message):
        threshold_for(clean, 0.05)


def test_nothing_judged_has_no_share():
    assert np.isnan(Judged((), 1, 0).share_from(0.5))
    assert Judged((0.2, 0.5, 0.7), 0, 0).share_from(0.5) == pytest.approx(2 / 3)


def test_command_writes_what_process_takes(recordings, tmp_path):
    file = tmp_path / 'own' / 'threshold.yaml'
    result = run.invoke(app, ['threshold', str(recordings / 'clean'), '--false-alarms', '0.2',
                              '--cracked', str(recordings / 'cracked'), '--out', str(file)])
    assert result.exit_code == 0, result.output
    said = read_parameters(file).classifier.threshold
    assert read_parameters(file).classifier.model == ''     # the default one, whichever
    assert 0.0 < said < 1.0 and f'threshold {said:.4f}' in result.output
    line = next(line for line in result.output.splitlines() if 'without crack' in line
                and 'Frames' not in line)
    # 12 judged, the dark one UNKNOWN, the torn one unreadable
    assert [cell for cell in line.split() if cell.isdigit()] == ['12', '1', '1']

    out = tmp_path / 'results'
    result = run.invoke(app, ['process', str(recordings / 'clean'), '--params', str(file),
                              '--out', str(out)])
    assert result.exit_code == 0, result.output
    with (out / 'frames.csv').open(newline='') as table:
        verdicts = [row['verdict'] for row in csv.DictReader(table)]
    # 11 of 13 must stay below it: one of the 12 may not
    assert verdicts.count('CRACK') <= 1 and verdicts.count('NO_CRACK') >= 11


def test_a_file_of_somebody_else_is_not_written_over_and_an_own_one_is(recordings, tmp_path):
    file = tmp_path / 'mine.yaml'
    command = ['threshold', str(recordings / 'clean'), '--false-alarms', '0.2', '--out', str(file)]
    for _ in range(2):
        assert run.invoke(app, command).exit_code == 0
    file.write_text('/**/segmenter:\n  ros__parameters:\n    mm_per_px: 0.5\n')
    result = run.invoke(app, command)
    assert result.exit_code == 1 and 'mine.yaml: exists, and' in result.output
    assert 'mm_per_px' in file.read_text()


def test_what_took_minutes_is_told_though_the_file_cannot_be_written(recordings, tmp_path):
    result = run.invoke(app, ['threshold', str(recordings / 'clean'), '--false-alarms', '0.2',
                              '--out', str(tmp_path)])
    assert result.exit_code == 1
    assert 'flagged at' in result.output and 'threshold 0.' in result.output
    assert 'error:' in result.output and str(tmp_path) in result.output


def test_the_file_names_the_model_that_was_chosen(recordings, tmp_path):
    file = tmp_path / 'own.yaml'
    result = run.invoke(app, ['threshold', str(recordings / 'clean'), '--false-alarms', '0.2',
                              '--models', 'paper', '--out', str(file)])
    assert result.exit_code == 0, result.output
    assert read_parameters(file).classifier.model == 'densenet169_classifier'


def test_the_file_of_the_parameters_is_not_written_over(recordings, tmp_path):
    params, link = tmp_path / 'own.yaml', tmp_path / 'link.yaml'
    params.write_text('/**/classifier:\n  ros__parameters:\n    max_blur: 0.7\n')
    link.symlink_to(params)
    before = params.read_text()
    for out in (params, link):
        result = run.invoke(app, ['threshold', str(recordings / 'clean'), '--false-alarms', '0.2',
                                  '--params', str(params), '--out', str(out)])
        assert result.exit_code == 1
        assert f'error: {out}: is the file of --params' in result.output
    assert params.read_text() == before


def test_too_few_frames_are_one_line_and_no_file(recordings, tmp_path):
    file = tmp_path / 'threshold.yaml'
    result = run.invoke(app, ['threshold', str(recordings / 'clean'), '--out', str(file)])
    assert result.exit_code == 1 and not file.exists()
    assert 'expected at least 19 for 0.05' in result.output
