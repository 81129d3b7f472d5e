# SPDX-License-Identifier: Apache-2.0
"""The lining's cracks on disk: a simulated drive through `process`, with its true masks."""

import csv
from dataclasses import dataclass, replace
import json
import math

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.inspection.frame_record import FrameRecord
from tunnel_crack_ros.inspection.lining_table import (
    BETWEEN_NAMES,
    LINING_COLUMNS,
    lining_cracks_of,
    lining_note,
)
from tunnel_crack_ros.inspection.process import process
from tunnel_crack_ros.inspection.result_folder import ResultFolder
from tunnel_crack_ros.inspection.sources import open_source
from tunnel_crack_ros.simulation import simulate, SimulationSettings
from tunnel_crack_ros.simulation.lining import tunnel_radius_m
from tunnel_crack_ros.vision import Segmentation
from tunnel_crack_ros.vision.frame_measures import measure_frame
from tunnel_crack_ros.vision.segmenter_settings import SegmenterSettings

DRIVE = SimulationSettings(seed=2, frames=8, crack_density=2.0, unusable_rate=0.0, fittings=False,
                           stains=False, speed=0.4, fps=1.0)


@dataclass
class TrueMasks:
    """An inspector that is never wrong about where a crack is."""

    folder: object
    settings: SegmenterSettings
    cameras: tuple[str, ...] = ()

    def inspect(self, frame, results):
        stamp = frame.stamp[0] * 10**9 + frame.stamp[1]
        mask = cv2.imread(str(self.folder / f'{frame.camera}_{stamp}.png'), cv2.IMREAD_GRAYSCALE)
        soft = cv2.GaussianBlur((mask / 255).astype(np.float32), (0, 0), 0.6)
        measures = measure_frame(Segmentation(soft, mask, 0.3), frame.sensed,
                                 self.settings.of_camera(frame.camera, self.cameras))
        return FrameRecord(frame.name, frame.camera, frame.stamp, 'CRACK', 1.0, '', measures)

    def about(self):
        return {}


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    folder = tmp_path_factory.mktemp('drive')
    simulate(DRIVE, folder)
    return folder


@pytest.fixture(scope='module')
def inspected(drive):
    settings = SegmenterSettings(tunnel_radius_m=tunnel_radius_m(DRIVE),
                                 camera_roll=[-math.radians(DRIVE.cameras[0].angle_deg)])
    inspector = TrueMasks(drive / 'truth' / 'masks', settings)
    return drive / 'results', process(open_source(drive / 'bag'), drive / 'results', inspector)


def table(path):
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def test_every_crack_of_the_lining_is_one_line(inspected):
    out, summary = inspected
    lines, seen = table(out / 'lining_cracks.csv'), table(out / 'cracks.csv')
    assert tuple(lines[0]) == LINING_COLUMNS
    assert [line['lining_crack'] for line in lines] == [str(i + 1) for i in range(len(lines))]
    assert 2 <= len(lines) == summary.lining_cracks < summary.cracks == len(seen)
    assert f'{len(lines)} on the lining, each once, together ' in summary.sentence()
    for line in lines:
        own = [each for each in seen if each['lining_crack'] == line['lining_crack']]
        frames = line['seen_in'].split(BETWEEN_NAMES)
        assert sorted({each['frame'] for each in own}) == sorted(frames)
        assert int(line['frames']) == len(frames)
        longest = max(float(each['length_mm']) for each in own)
        assert longest - 1 <= float(line['length_mm']) <= \
            sum(float(each['length_mm']) for each in own) + 1
        best, = (each for each in own if each['frame'] == line['best_frame']
                 and each['crack'] == line['best_crack'])
        assert float(best['length_mm']) == longest
        widest = max(float(each['width_max_mm']) for each in own)
        assert float(line['width_max_mm']) == widest and float(line['width_sigma_mm']) > 0.0
        assert line['widest_frame'] in frames
        assert float(line['chainage_from_m']) <= min(
            float(each['chainage_from_m']) for each in own) + 1e-3
    assert any(int(line['frames']) > 1 for line in lines)


def test_json_and_geojson_name_the_same_cracks(inspected):
    out, summary = inspected
    said = json.loads((out / 'cracks.json').read_text())
    column = [int(line['lining_crack']) for line in table(out / 'cracks.csv')]
    assert [crack['lining_crack'] for frame in said['frames']
            for crack in frame['cracks']] == column
    features = json.loads((out / 'cracks.geojson').read_text())['features']
    assert [feature['properties']['lining_crack'] for feature in features] == column
    lining = said['lining_cracks']
    assert [one['lining_crack'] for one in lining] == sorted(set(column))
    assert sum(one['length_mm'] for one in lining) == pytest.approx(summary.lining_length_mm)
    assert said['lining_note'] == '' and said['summary']['lining_cracks'] == len(lining)


def test_without_a_place_there_is_no_table_and_the_reason_is_said(drive, tmp_path):
    inspector = TrueMasks(drive / 'truth' / 'masks', SegmenterSettings())
    summary = process(open_source(drive / 'bag'), tmp_path, inspector)
    assert summary.lining_note == (
        'one crack in several frames is not recognised as one: no clock position (needs '
        'tunnel_radius_m); no lining_cracks.csv')
    assert not (tmp_path / 'lining_cracks.csv').exists()
    assert summary.lining_cracks == 0 and 'on the lining' not in summary.sentence()
    assert {line['lining_crack'] for line in table(tmp_path / 'cracks.csv')} == {''}
    said = json.loads((tmp_path / 'cracks.json').read_text())
    assert said['lining_cracks'] is None and said['lining_note'] == summary.lining_note


def test_who_ends_the_recognising_keeps_the_frames_tables(drive, inspected, tmp_path):
    def end_it(done, of):
        assert done == 1 and of > 1
        raise KeyboardInterrupt

    whole, inspector = inspected[0], TrueMasks(drive / 'truth' / 'masks', SegmenterSettings(
        tunnel_radius_m=tunnel_radius_m(DRIVE)))
    with pytest.raises(KeyboardInterrupt):
        process(open_source(drive / 'bag'), tmp_path, inspector, recognising=end_it)
    seen = table(tmp_path / 'cracks.csv')
    assert len(seen) == len(table(whole / 'cracks.csv'))
    assert {line['lining_crack'] for line in seen} == {''}
    assert len(json.loads((tmp_path / 'cracks.json').read_text())['frames']) == DRIVE.frames
    assert not (tmp_path / 'lining_cracks.csv').exists()


def test_frames_without_a_place_are_told_beside_those_with_one(drive):
    settings = SegmenterSettings(tunnel_radius_m=3.0)
    inspector = TrueMasks(drive / 'truth' / 'masks', settings)
    records = [inspector.inspect(frame, None) for frame in open_source(drive / 'bag')]
    first = next(record for record in records if record.cracks)
    lost = len(first.cracks)
    first.measures = replace(first.measures, cracks=[
        replace(crack, place=replace(crack.place, line_m=None, chainage_m=math.nan))
        for crack in first.cracks])
    total = sum(len(record.cracks) for record in records)
    note = lining_note(lining_cracks_of(records, 3.0), len(records))
    assert note == (f'{lost} of {total} cracks are not in lining_cracks.csv: '
                    'no chainage (needs odometry)')


def test_the_table_of_an_earlier_inspection_goes_and_somebody_elses_stays(tmp_path):
    (tmp_path / 'lining_cracks.csv').write_text(','.join(LINING_COLUMNS) + '\n')
    ResultFolder(tmp_path)
    assert not (tmp_path / 'lining_cracks.csv').exists()
    (tmp_path / 'lining_cracks.csv').write_text('mine\n')
    with pytest.raises(ValueError, match=r'holds lining_cracks\.csv, which no inspection wrote'):
        ResultFolder(tmp_path)
