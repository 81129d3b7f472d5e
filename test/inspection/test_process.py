# SPDX-License-Identifier: Apache-2.0
"""An inspection on disk: what `tunnel_crack process` writes, with the shipped models."""

import csv
import json
import math
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tunnel_crack_ros.cli import app
from tunnel_crack_ros.inspection.frame_record import FrameRecord
from tunnel_crack_ros.inspection.process import Inspector, process
from tunnel_crack_ros.inspection.result_folder import (
    CRACK_COLUMNS,
    FRAME_COLUMNS,
    ResultFolder,
    summarise,
)
from tunnel_crack_ros.inspection.sources import RecordedFrame
from tunnel_crack_ros.vision import (
    CrackClassifier,
    CrackSegmenter,
    measure_cracks,
    Model,
    Scale,
    ScaleSource,
    Segmentation,
)
from tunnel_crack_ros.vision.frame import rgb_from_compressed
from tunnel_crack_ros.vision.frame_measures import FrameMeasures
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, SEGMENTER

run = CliRunner()


@pytest.fixture(scope='module')
def recording(tmp_path_factory):
    """Two frames that show a plain crack, a black one, and a file that is no picture."""
    folder = tmp_path_factory.mktemp('frames')
    for name, slope in (('a', 0.3), ('b', -0.2)):
        lining = np.full((384, 512, 3), 150, np.float32)
        lining += np.random.default_rng(1).normal(0, 5, lining.shape)
        x = np.arange(512)
        y = 190 + slope * (x - 256) + 6 * np.sin(x / 17) + 3 * np.sin(x / 5)
        points = np.column_stack([x, y]).round().astype(np.int32).reshape(-1, 1, 2)
        picture = np.clip(lining, 0, 255).astype(np.uint8)
        cv2.polylines(picture, [points], False, (30, 30, 30), 3, cv2.LINE_AA)
        cv2.imwrite(str(folder / f'{name}.jpg'), cv2.GaussianBlur(picture, (0, 0), 0.7))
    cv2.imwrite(str(folder / 'dark.png'), np.full((384, 512, 3), 3, np.uint8))
    (folder / 'torn.jpg').write_bytes(b'\xff\xd8\xff\xe0 torn')
    return folder


@pytest.fixture(scope='module')
def processed(recording, tmp_path_factory):
    out = tmp_path_factory.mktemp('results')
    result = run.invoke(app, ['process', str(recording), '--out', str(out), '--mm-per-px', '0.5',
                              '--classifier-threshold', '0'])
    assert result.exit_code == 0, result.output
    return out, result.output


def table(path):
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def test_every_frame_has_a_line_with_its_verdict(processed):
    out, _ = processed
    lines = table(out / 'frames.csv')
    assert tuple(lines[0]) == FRAME_COLUMNS
    assert [(line['frame'], line['verdict']) for line in lines] == [
        ('a', 'CRACK'), ('b', 'CRACK'), ('dark', 'UNKNOWN'), ('torn', 'UNREADABLE')]
    assert lines[2]['reason'].startswith('too dark') and lines[2]['crack_probability'] == ''


def test_masks_are_those_of_the_method(processed, recording):
    out, _ = processed
    segmenter = CrackSegmenter(Model.load(SEGMENTER))
    for name in ('a', 'b'):
        frame = rgb_from_compressed((recording / f'{name}.jpg').read_bytes())
        mask = cv2.imread(str(out / 'masks' / f'{name}.png'), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(mask, segmenter.segment(frame).mask)
        assert mask.any()
        overlay = cv2.imread(str(out / 'overlays' / f'{name}.jpg'))
        assert overlay.shape == frame.shape
    assert not (out / 'masks' / 'dark.png').exists()


def test_cracks_are_measured_in_both_units(processed):
    out, _ = processed
    lines = table(out / 'cracks.csv')
    assert tuple(lines[0]) == CRACK_COLUMNS
    for line in lines:
        assert line['scale_source'] == 'PARAMETER'
        assert float(line['length_mm']) == pytest.approx(float(line['length_px']) / 2, abs=0.01)
    said = json.loads((out / 'cracks.json').read_text())
    assert said['segmenter'].startswith(SEGMENTER)
    assert sum(len(frame['cracks']) for frame in said['frames']) == len(lines) \
        == said['summary']['cracks']
    assert len(said['frames'][0]['cracks'][0]['centre_line_x_y_width_px']) > 10


def test_the_last_lines_sum_up_and_name_the_results(processed):
    out, said = processed
    assert '2 flagged of 4 frames, 1 UNKNOWN, 1 unreadable' in said
    assert f'{out}/cracks.csv' in said


def test_why_frames_cannot_be_read_is_said_and_none_at_all_is_an_error(recording, tmp_path):
    torn = str(recording / 'torn.jpg')
    said = run.invoke(app, ['process', str(recording), '--out', str(tmp_path)])
    assert said.exit_code == 0 and 'warning: unreadable: ' in said.output
    said = run.invoke(app, ['process', torn, '--out', str(tmp_path)])
    assert said.exit_code == 1 and f'error: {torn}: no frame can be read' in said.output
    assert table(tmp_path / 'frames.csv')[0]['verdict'] == 'UNREADABLE'


def test_clock_positions_of_cameras_that_look_nobody_knows_where_are_warned_of(
        recording, tmp_path):
    params = tmp_path / 'own.yaml'
    params.write_text('/**/segmenter:\n  ros__parameters:\n    camera_roll: [0.0]\n')
    command = ['process', str(recording / 'a.jpg'), '--segment-all', '--tunnel-radius', '3',
               '--out', str(tmp_path / 'results')]
    assert 'camera_roll is not given' in run.invoke(app, command).output
    assert 'camera_roll' not in run.invoke(app, [*command, '--params', str(params)]).output


def test_results_are_not_read_from_where_they_are_removed(recording, tmp_path):
    for _ in range(2):
        run.invoke(app, ['process', str(recording / 'a.jpg'), '--segment-all', '--out',
                         str(tmp_path)])
        said = run.invoke(app, ['process', str(tmp_path / 'overlays'), '--out', str(tmp_path)])
        assert said.exit_code == 1 and 'lies in the results of an earlier' in said.output
        assert (tmp_path / 'overlays' / 'a.jpg').exists()


@pytest.mark.parametrize(('name', 'text'), [
    ('frames.csv', 'camera,index\n'), ('cracks.csv', 'mine\n'), ('cracks.json', '{"frames": []}'),
    ('cracks.json', '[1]')])
def test_tables_of_somebody_else_are_kept(recording, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    said = run.invoke(app, ['process', str(recording / 'a.jpg'), '--out', str(tmp_path)])
    assert said.exit_code == 1 and f'holds {name}, which no inspection wrote' in said.output
    assert names(tmp_path) == [name] and (tmp_path / name).read_text() == text


def test_a_crack_in_several_frames_is_said_to_count_in_each(processed):
    out, said = processed
    assert f"{len(table(out / 'cracks.csv'))} cracks in 2 frames (one that several" in said
    assert 'warning: one crack in several frames is not recognised as one: no chainage (needs' \
        ' odometry) or no clock position (needs tunnel_radius_m); no lining_cracks.csv' in said
    assert not (out / 'lining_cracks.csv').exists()


def test_without_a_scale_millimetres_are_left_empty(recording, tmp_path):
    result = run.invoke(app, ['process', str(recording / 'a.jpg'), '--out', str(tmp_path),
                              '--segment-all'])
    assert result.exit_code == 0, result.output
    for line in table(tmp_path / 'cracks.csv'):
        assert line['length_mm'] == '' and line['scale_source'] == 'NONE'
    assert json.loads((tmp_path / 'cracks.json').read_text())['frames'][0]['mm_per_px'] is None


@pytest.mark.parametrize('arguments, message', [
    (['process', 'nowhere'], 'nowhere: no such file'),
    (['process', '.', '--classifier', 'unheard-of'], "no model 'unheard-of'"),
    (['process', '.', '--segmenter', 'efficientnet_lite0_classifier'], 'expected a segmenter'),
    (['process', '.', '--params', 'nowhere.yaml'], 'nowhere.yaml: cannot be read'),
    (['process', '.', '--odometry', '/odom'], 'is no bag, so it has no topics'),
    (['process', '.', '--depth', '/depth'], 'is no bag, so it has no topics'),
    (['simulate', '--frames', '0'], 'frames'),
    (['replay', 'nowhere'], 'nowhere'),
    (['evaluate', '--data', 'nowhere'], 'nowhere'),
    (['evaluate', '--data', '.', '--beside', 'x'], 'expected --figures'),
    (['evaluate', '--data', '.', '--figures', 'f', '--beside', 'typo'], "no model 'typo'"),
    (['explain', 'a.png', '--out', 'explained'], 'expected a name that ends in .png'),
    (['explain', 'a.png', '--out', './a.png'], 'a.png: is the picture itself'),
])
def test_a_users_mistake_is_one_line_and_exit_code_1(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite('a.png', np.full((32, 32, 3), 99, np.uint8))
    result = run.invoke(app, arguments)
    assert result.exit_code == 1
    errors = [line for line in result.output.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1 and message in errors[0]


def test_lengths_in_the_tables_are_the_cracks(tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    cv2.line(mask, (5, 20), (50, 20), 255, 3)
    segmentation = Segmentation((mask / 255).astype(np.float32), mask, 0.5)
    scale = Scale(2.0, source=ScaleSource.PARAMETER)
    record = FrameRecord('one', 'left', (1, 2), 'CRACK', 0.9, '',
                         FrameMeasures(measure_cracks(segmentation, scale), scale))
    summary = ResultFolder(tmp_path).write_tables([record], {'recording': 'x'})
    assert (summary.frames, summary.flagged, summary.cracks) == (1, 1, 1)
    line, = table(tmp_path / 'cracks.csv')
    # 46 columns long: from 5 to 50, and the round ends of the drawn line
    assert float(line['length_mm']) == pytest.approx(92, abs=6)
    assert line['stamp'] == '1.000000002'


@pytest.mark.parametrize(('mm_per_px', 'chosen'), [((0.5, 2.0), 1), ((math.nan, math.nan), 0),
                                                   ((math.nan, 2.0), 1)])
def test_the_longest_and_the_widest_are_found_by_mm_where_a_scale_is_known(mm_per_px, chosen):
    """Of two cameras the one that stands farther off sees the larger crack smaller."""
    records = []
    for number, scale in enumerate(mm_per_px):
        mask = np.zeros((60, 200), np.uint8)
        cv2.line(mask, (10, 30), (180 - 60 * number, 30), 255, 9 - 4 * number)
        seen = Scale(scale, source=ScaleSource.PARAMETER) if math.isfinite(scale) else Scale()
        cracks = measure_cracks(Segmentation((mask / 255).astype(np.float32), mask, 0.5), seen)
        records.append(FrameRecord(str(number), 'left', (1, 2), 'CRACK', 0.9, '',
                                   FrameMeasures(cracks, seen)))
    summary = summarise(records)
    assert summary.longest is records[chosen].cracks[0]
    assert summary.widest is records[chosen].cracks[0]


class TornOff:
    """A recording that the user stops after its first frame."""

    cameras = ('left',)

    def __len__(self):
        return 5

    def __iter__(self):
        yield RecordedFrame('first', 'left', (0, 0), None, 'unreadable')
        raise KeyboardInterrupt


def test_an_interrupted_inspection_keeps_what_was_done(tmp_path):
    inspector = Inspector(CrackClassifier(Model.load(CLASSIFIER)),
                          CrackSegmenter(Model.load(SEGMENTER)))
    with pytest.raises(KeyboardInterrupt):
        process(TornOff(), tmp_path, inspector)
    assert [line['frame'] for line in table(tmp_path / 'frames.csv')] == ['first']
    assert json.loads((tmp_path / 'cracks.json').read_text())['complete'] is False


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_an_inspection_that_is_told_to_end_keeps_what_was_done(recording, tmp_path, number):
    images = tmp_path / 'images'
    images.mkdir()
    for index in range(400):
        (images / f'{index:03d}.jpg').symlink_to(recording / 'a.jpg')
    out = tmp_path / 'results'
    with subprocess.Popen([sys.executable, '-m', 'tunnel_crack_ros.cli', 'process', str(images),
                           '--out', str(out)], stderr=subprocess.DEVNULL,
                          # whoever runs the tests under nohup hands down that it is ignored
                          preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)) as running:
        end = time.monotonic() + 60.0
        while len(list((out / 'masks').glob('*'))) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        running.send_signal(number)
        assert running.wait(30) == 128 + number
    said = json.loads((out / 'cracks.json').read_text())
    assert said['complete'] is False and said['recording'] == str(images)
    # the frame whose mask came last may not have been done
    assert 1 <= len(said['frames']) == len(table(out / 'frames.csv')) < 400


def test_results_of_an_earlier_inspection_go_and_the_users_own_files_stay(recording, tmp_path):
    for picture in ('a.jpg', 'b.jpg'):
        result = run.invoke(app, ['process', str(recording / picture), '--out', str(tmp_path),
                                  '--segment-all'])
        assert result.exit_code == 0, result.output
        (tmp_path / 'masks' / 'mine.png').touch()
    assert sorted(path.name for path in (tmp_path / 'masks').iterdir()) == ['b.png', 'mine.png']
    assert [path.name for path in (tmp_path / 'overlays').iterdir()] == ['b.jpg']
    said = json.loads((tmp_path / 'cracks.json').read_text())
    assert said['complete'] and said['recording'] == str(recording / 'b.jpg')


@pytest.fixture
def picture():
    return np.zeros((8, 8), np.uint8)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def test_pictures_of_an_inspection_that_was_killed_go_with_the_next(tmp_path, picture):
    killed = ResultFolder(tmp_path)
    killed.save_mask('a', picture)
    killed.save_overlay('a', picture)
    killed.save_mask('b\n1', picture)
    (tmp_path / 'masks' / 'c.png').touch()
    with (tmp_path / '.unfinished').open('a') as journal:
        journal.write('"c')     # the disk was full
    ResultFolder(tmp_path)
    assert names(tmp_path) == ['masks/c.png']


def test_a_journal_names_no_file_outside_and_goes_when_the_tables_are_there(tmp_path, picture):
    (tmp_path / 'mine.png').touch()
    (tmp_path / '.unfinished').write_text('"../mine"\n')
    results = ResultFolder(tmp_path)
    results.save_mask('a', picture)
    assert names(tmp_path) == ['.unfinished', 'masks/a.png', 'mine.png']
    results.write_tables([FrameRecord('a', 'left', (1, 2), 'CRACK', 0.9)], {})
    assert '.unfinished' not in names(tmp_path)


def test_pictures_go_with_the_next_inspection_though_the_disk_was_full_for_the_tables(
        tmp_path, picture, monkeypatch):
    results = ResultFolder(tmp_path)
    results.save_mask('a', picture)
    with monkeypatch.context() as full:
        full.setattr('tunnel_crack_ros.inspection.result_folder.write_json', no_space)
        with pytest.raises(OSError, match='No space'):
            results.write_tables([FrameRecord('a', 'left', (1, 2), 'CRACK', 0.9)], {})
    ResultFolder(tmp_path)
    assert names(tmp_path) == []


def no_space(*_):
    raise OSError(28, 'No space left on device')


def test_a_camera_without_settings_is_named_before_earlier_results_go(recording, tmp_path):
    (tmp_path / 'cracks.json').write_text('{"frames": []}')
    params = tmp_path / 'two.yaml'
    params.write_text('/**/segmenter:\n  ros__parameters:\n    cameras: [left, right]\n'
                      '    axis_angle: [0.0, 0.1]\n')
    result = run.invoke(app, ['process', str(recording / 'dark.png'), '--out', str(tmp_path),
                              '--params', str(params)])
    assert result.exit_code == 1
    assert f"camera '{recording.name}' is not among the parameter 'cameras'" in result.output
    assert names(tmp_path) == ['cracks.json', 'two.yaml']


def test_a_distance_without_calibration_is_a_warning(recording, tmp_path):
    result = run.invoke(app, ['process', str(recording / 'a.jpg'), '--out', str(tmp_path),
                              '--segment-all', '--lining-distance', '1.5'])
    assert 'no camera_info: the distance to the lining is known' in result.output


def test_a_summary_without_cracks_says_so(tmp_path):
    record = FrameRecord('one', 'left', (1, 2), 'NO_CRACK', 0.1)
    summary = ResultFolder(tmp_path).write_tables([record], {})
    assert summary.sentence() == '0 flagged of 1 frames, 0 UNKNOWN, 0 cracks'
    assert math.isnan(record.scale.mm_per_px)


def test_what_is_wrong_with_the_scale_is_counted():
    records = [FrameRecord(str(i), 'left', (1, i), 'CRACK', measures=FrameMeasures(note=note))
               for i, note in enumerate(['no scale', '', 'no scale', 'no depth'])]
    assert summarise(records).notes == {'no scale': 2, 'no depth': 1}


def test_geojson_holds_the_cracks_of_the_tables(processed):
    out, _ = processed
    frames = json.loads((out / 'cracks.json').read_text())['frames']
    features = json.loads((out / 'cracks.geojson').read_text())['features']
    assert [crack['id'] for frame in frames for crack in frame['cracks']] == \
        [feature['properties']['id'] for feature in features] != []
