# SPDX-License-Identifier: Apache-2.0
"""Recordings of all kinds give their frames in order, and say what is wrong with them."""

import math
import os
from pathlib import Path
import shutil
import time

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.inspection.sources import open_source, SourceError
from tunnel_crack_ros.inspection.sources.bag_topics import cameras_of
from tunnel_crack_ros.inspection.sources.images import ImageFrames
from tunnel_crack_ros.simulation import render_frames, simulate, SimulationSettings, spread_cameras
from tunnel_crack_ros.vision.odometry_history import ChainageRules

SETTINGS = SimulationSettings(seed=3, frames=3, cameras=spread_cameras(['left', 'right']),
                              width=160, height=120, unusable_rate=0.0)


@pytest.fixture(scope='module')
def simulated(tmp_path_factory):
    return simulate(SETTINGS, tmp_path_factory.mktemp('simulated') / 'drive')


def grey(value, size=(40, 30)):
    return np.full((size[1], size[0], 3), value, np.uint8)


def test_images_come_by_name_and_an_unreadable_one_is_reported(tmp_path):
    cv2.imwrite(str(tmp_path / 'b.png'), grey(20))
    cv2.imwrite(str(tmp_path / 'a.jpg'), grey(10))
    (tmp_path / 'c.jpg').write_bytes(b'\xff\xd8 no picture')
    (tmp_path / 'notes.txt').write_text('not an image')
    source = open_source(tmp_path)
    frames = list(source)
    assert len(source) == 3
    assert [frame.name for frame in frames] == ['a', 'b', 'c']
    assert [frame.camera for frame in frames] == [tmp_path.name] * 3
    assert np.abs(frames[1].rgb.astype(int) - 20).max() == 0
    assert frames[2].rgb is None and 'truncated' in frames[2].error


def test_a_folder_of_links_is_a_camera_of_its_own_name(tmp_path, monkeypatch):
    for folder in ('raw', 'left'):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / 'raw' / '1.png'), grey(20))
    (tmp_path / 'left' / 'a.png').symlink_to(tmp_path / 'raw' / '1.png')
    monkeypatch.chdir(tmp_path / 'left')
    for path in (tmp_path / 'left', Path('.'), Path('a.png')):
        source = open_source(path)
        assert [frame.camera for frame in source] == list(source.cameras) == ['left']


def test_pictures_in_subfolders_are_told(tmp_path, caplog):
    for name in ('left', 'day/night', 'notes', '.thumbnails', 'out/overlays', 'out/more', 'a/b/c'):
        (tmp_path / name).mkdir(parents=True)
        if name != 'notes':
            cv2.imwrite(str(tmp_path / name / '1.png'), grey(20))
    (tmp_path / 'out' / 'cracks.json').touch()      # results of an inspection
    note = 'pictures in subfolders are not read: day/night, left, out/more; give each of them by'
    with pytest.raises(SourceError, match=f'{tmp_path}: no image .* and no bag in it; {note}'):
        open_source(tmp_path)
    cv2.imwrite(str(tmp_path / '1.png'), grey(20))
    assert len(open_source(tmp_path)) == 1
    assert caplog.messages == [f'{tmp_path}: {note} itself']
    for number in range(4):
        shutil.copytree(tmp_path / 'left', tmp_path / f'left_{number}')
    open_source(tmp_path)
    assert 'day/night, left, left_0, left_1, left_2 and 2 more; give' in caplog.messages[-1]
    caplog.clear()
    open_source(tmp_path / 'left')
    assert not caplog.records


def test_two_images_of_one_stem_keep_apart(tmp_path):
    for ending in ('jpg', 'png'):
        cv2.imwrite(str(tmp_path / f'a.{ending}'), grey(10))
    assert [frame.name for frame in open_source(tmp_path)] == ['a_jpg', 'a_png']


def test_a_video_gives_its_frames_with_their_time(tmp_path):
    path = tmp_path / 'drive.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10.0, (64, 48))
    for value in (50, 100, 150):
        writer.write(grey(value, (64, 48)))
    writer.release()
    source = open_source(path)
    frames = list(source)
    assert {frame.camera for frame in frames} == set(source.cameras) == {'drive'}
    assert [frame.stamp for frame in frames] == [(0, 0), (0, 100_000_000), (0, 200_000_000)]
    assert [round(float(frame.rgb.mean()), -1) for frame in frames] == [50, 100, 150]


def test_a_video_without_frames_is_refused(tmp_path):
    path = tmp_path / 'empty.avi'
    cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10.0, (64, 48)).release()
    assert path.stat().st_size > 0
    with pytest.raises(SourceError, match='cannot read this video'):
        open_source(path)


def test_a_video_whose_name_has_a_colon_is_no_protocol(tmp_path, monkeypatch):
    writer = cv2.VideoWriter(str(tmp_path / 'a.avi'), cv2.VideoWriter.fourcc(*'MJPG'), 10.0,
                             (64, 48))
    writer.write(grey(50, (64, 48)))
    writer.release()
    (tmp_path / 'a.avi').rename(tmp_path / '10:30.avi')
    monkeypatch.chdir(tmp_path)
    assert len(list(open_source(Path('10:30.avi')))) == 1


def test_names_that_are_not_utf_8_can_be_written(tmp_path):
    source = tmp_path / 'in'
    source.mkdir()
    for name, value in ((b'fissur\xe9.png', 10), (b'fissur\xe8.png', 200)):
        (source / os.fsdecode(name)).write_bytes(cv2.imencode('.png', grey(value))[1].tobytes())
    frames = list(open_source(source))
    assert sorted(frame.name for frame in frames) == ['fissur\ufffd', 'fissur\ufffd_2']
    video = source / os.fsdecode(b'\xe9.avi')
    video.touch()
    with pytest.raises(SourceError, match='the name is not UTF-8'):
        open_source(video)


def test_a_folder_of_many_images_is_named_at_once(tmp_path):
    images = [tmp_path / f'{n:05d}.jpg' for n in range(20_000)]
    start = time.process_time()
    first = next(iter(ImageFrames(images)))
    assert first.name == '00000' and time.process_time() - start < 2.0


@pytest.mark.parametrize('transport', ['compressed', 'raw'])
def test_a_bag_gives_every_cameras_frames_with_their_optics(tmp_path, transport):
    settings = SimulationSettings(**{**SETTINGS.__dict__, 'transport': transport})
    made = simulate(settings, tmp_path / 'drive')
    source = open_source(made.bag)
    frames = list(source)
    assert source.cameras == ['left', 'right']
    truth = {(f.camera, f.stamp_ns): f for f in render_frames(settings)}
    assert len(frames) == len(truth) == 6
    for frame in frames:
        rendered = truth[frame.camera, frame.stamp[0] * 1_000_000_000 + frame.stamp[1]]
        # JPEG of a noisy picture: a few grey levels
        limit = 0 if transport == 'raw' else 4
        assert np.abs(frame.rgb.astype(int) - rendered.rgb).mean() <= limit
        sensed = frame.sensed
        assert sensed.calibration.k[0] == pytest.approx(settings.focal_px)
        assert (sensed.calibration.width, sensed.calibration.height) == (160, 120)
        assert sensed.range_sigma_m == pytest.approx(0.002)
        mm_per_px = sensed.range_m * 1000 / settings.focal_px
        # the range sensor's sigma is 2 mm of 1200
        assert mm_per_px == pytest.approx(rendered.view.mm_per_px, rel=0.01)
        # between two messages of the odometry, and after the last one by the speed
        chainage = sensed.odometry.at(sensed.stamp_ns, ChainageRules())
        assert chainage.metres == pytest.approx(rendered.view.x / 1000.0, abs=1e-6)


def test_a_bag_is_known_by_its_file_and_by_the_folder_around_it(simulated):
    mcap, = simulated.bag.glob('*.mcap')
    assert [len(open_source(path)) for path in (simulated.bag, simulated.bag.parent, mcap)] \
        == [6] * 3


def test_topics_of_a_bag_can_be_chosen(simulated):
    topic = '/left/image_raw/compressed'
    assert {frame.camera for frame in open_source(simulated.bag, [topic])} == {'left'}
    with pytest.raises(SourceError, match=r'no image topic /up.*has /left/image_raw/compressed'):
        open_source(simulated.bag, ['/up'])


def test_a_broken_bag_is_named(simulated, tmp_path):
    broken = tmp_path / 'broken'
    shutil.copytree(simulated.bag, broken)
    mcap, = broken.glob('*.mcap')
    mcap.write_bytes(b'no bag at all' * 10)
    with pytest.raises(SourceError, match='broken: cannot be read as a bag'):
        list(open_source(broken))


@pytest.mark.parametrize('content, message', [
    (None, 'no such file'), ('empty folder', 'no image'), ('text', "unknown kind of file '.txt'"),
    ('false video', 'cannot read this video')])
def test_what_is_no_recording_is_refused(tmp_path, content, message):
    path = tmp_path / {'text': 'a.txt', 'false video': 'a.mp4'}.get(content, 'folder')
    if content == 'empty folder':
        path.mkdir()
    elif content:
        path.write_text('nothing')
    with pytest.raises(SourceError, match=message):
        open_source(path)


@pytest.mark.parametrize('topic, camera', [
    ('/left/image_raw', 'left'), ('/left/image_raw/compressed', 'left'),
    ('/robot/left/image_raw', 'robot/left'), ('/image', 'image'), ('/left/range', 'left')])
def test_cameras_are_named_after_their_topic(topic, camera):
    assert cameras_of([topic]) == {topic: camera}


def test_without_optics_there_is_no_scale(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), grey(20))
    frame, = open_source(tmp_path)
    assert frame.sensed.calibration is None and math.isnan(frame.sensed.range_m)
