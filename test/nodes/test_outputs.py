# SPDX-License-Identifier: Apache-2.0
"""What is made only on demand: pictures for those who look, files, times of a replayed clock."""

import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import pytest
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from tunnel_crack_msgs.msg import CrackArray, FrameVerdict

from tunnel_crack_ros.vision.frame import rgb_from_raw


def test_pictures_are_made_only_while_somebody_looks(bench, start, toy, stamped, cracked):
    node = start('segmenter', model=toy['segmenter'])
    cracks = bench.collect(CrackArray, node.topic('camera/cracks'))
    frames = bench.publisher(Image, node.topic('camera/flagged'))
    bench.wait_matched(frames)

    def worked() -> None:
        message = stamped.raw(cracked)
        frames.publish(message)
        cracks.find(lambda m: m.header == message.header, 'cracks')

    worked()
    looked = bench.collect(Image, node.topic('camera/overlay'))
    bench.wait_for(lambda: worked() or looked.messages, 'no overlay')
    assert looked.messages[0].encoding == 'rgb8'
    status = node.diagnosed(lambda s: 'publish median ms' in {p.key for p in s.values}, 'times')
    told = {pair.key: pair.value for pair in status.values}
    for stage in ('decode', 'segment', 'measure', 'publish', 'frame'):
        assert 0.0 <= float(told[f'{stage} median ms']) <= float(told[f'{stage} p95 ms'])


def test_no_picture_is_drawn_for_nobody(toy, stamped, cracked, monkeypatch):
    """Looked at from inside: from outside a picture that nobody gets leaves no trace."""
    from types import SimpleNamespace

    from tunnel_crack_ros.nodes import segmenter_node
    from tunnel_crack_ros.vision import Segmentation
    from tunnel_crack_ros.vision.frame_measures import FrameMeasures
    drawn = []
    for name in ('draw_overlay', 'mask_to_msg', 'confidence_to_msg', 'cracks_to_markers'):
        monkeypatch.setattr(segmenter_node, name, lambda *_, n=name: drawn.append(n))
    monkeypatch.setattr(segmenter_node, 'overlay_to_msg', lambda *_: None)

    class Publisher:

        def __init__(self, listeners):
            self.published, self._listeners = 0, listeners

        def get_subscription_count(self):
            return self._listeners

        def publish(self, _):
            self.published += 1

    for listeners in (0, 1):
        outputs = segmenter_node.CameraOutputs(*(Publisher(listeners) for _ in range(5)))
        node = SimpleNamespace(_outputs={'camera': outputs}, model=SimpleNamespace(
            card=SimpleNamespace(identity='toy@0')))
        segmentation = Segmentation(np.zeros((4, 4), np.float32), np.zeros((4, 4), np.uint8), 0.5)
        segmenter_node.SegmenterNode._publish(node, 'camera', stamped.raw(cracked), cracked,
                                              segmentation, FrameMeasures())
        assert outputs.cracks.published == 1
        assert len(drawn) == 4 * listeners
        assert outputs.overlay.published == outputs.mask.published == listeners


@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_flagged_frames_are_kept_as_files_up_to_the_limit(
        bench, start, toy, stamped, cracked, clean, tmp_path, transport):
    folder = tmp_path / 'flagged'
    node = start('classifier', model=toy['classifier'], transport=transport, max_blur=1.0,
                 save_flagged_to=str(folder), save_flagged_max_mb=1)
    end, kind = ('/compressed', CompressedImage) if transport == 'compressed' else ('', Image)
    verdicts = bench.collect(FrameVerdict, node.topic('camera/verdict'))
    frames = bench.publisher(kind, node.topic(f'camera/image_raw{end}'))
    bench.wait_matched(frames)

    def feed(frame: np.ndarray):
        jpeg = cv2.imencode('.jpg', frame)[1].tobytes()
        message = stamped.compressed(jpeg) if end else stamped.raw(frame)
        frames.publish(message)
        verdicts.find(lambda v: v.header == message.header, 'verdict')
        return message, jpeg

    feed(clean)
    message, jpeg = feed(cracked)
    stamp = message.header.stamp
    name = f"camera_{stamp.sec}_{stamp.nanosec:09d}.{'jpg' if end else 'png'}"
    bench.wait_for((folder / name).exists, f'no {name} among {list(folder.iterdir())}')
    if end:
        bench.wait_for(lambda: (folder / name).read_bytes() == jpeg, 'another file than came')
    else:
        bench.wait_for(lambda: np.array_equal(cv2.imread(str(folder / name)),
                                              cracked[:, :, ::-1]), 'another picture than came')
    # a picture that compresses badly, with a dark bar: 0.7 MB as PNG, 0.4 MB as JPEG
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    noise[200:250, 50:450] = 0
    for _ in range(5):
        feed(noise)
    node.wait_log('save_flagged_to is full')
    status = node.diagnosed(lambda s: s.message.startswith('save_flagged_to is full: '), 'full',
                            'camera')
    assert status.level == DiagnosticStatus.WARN
    assert 1 < len(list(folder.iterdir())) < 6
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 1_000_000
    assert node.state() == 'active'


def test_a_flagged_mosaic_is_read_and_kept_in_its_colours(
        bench, start, toy, stamped, cracked, tmp_path):
    node = start('classifier', model=toy['classifier'], transport='compressed', max_blur=1.0,
                 save_flagged_to=str(tmp_path))
    frames = bench.publisher(CompressedImage, node.topic('camera/image_raw/compressed'))
    bench.wait_matched(frames)
    mosaic = cracked[:, :, 0].copy()
    mosaic[::2, ::2] += 30      # its red pixels: 170..250, in the bar 35
    frames.publish(stamped.compressed(cv2.imencode('.png', mosaic)[1].tobytes(),
                                      'bayer_rggb8; png compressed '))
    node.counted(frames_in=1, done=1)
    kept, = bench.wait_for(lambda: list(tmp_path.glob('camera_*.png')), 'no file')
    colours = rgb_from_raw(mosaic, width=128, height=96, step=128, encoding='bayer_rggb8')
    assert np.array_equal(cv2.imread(str(kept))[:, :, ::-1], colours)


def test_a_folder_for_flagged_frames_that_vanishes_is_told_until_it_is_there_again(
        bench, start, toy, stamped, cracked, tmp_path):
    folder = tmp_path / 'mounted'
    node = start('classifier', model=toy['classifier'], save_flagged_to=str(folder))
    frames = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(frames)
    folder.rmdir()
    frames.publish(stamped.raw(cracked))
    status = node.diagnosed(lambda s: s.message.startswith('flagged frame not saved: '),
                            'a missing folder', 'camera')
    assert status.level == DiagnosticStatus.WARN and str(folder) in status.message
    folder.mkdir()
    frames.publish(stamped.raw(cracked))
    node.diagnosed(lambda s: s.message == 'ok', 'ok again', 'camera')
    assert len(list(folder.iterdir())) == 1


def test_under_a_replayed_clock_diagnostics_carry_its_time_and_go_on_while_it_stands(
        bench, start, toy, stamped, cracked):
    node = start('classifier', model=toy['classifier'], use_sim_time=True)
    reports = bench.collect(DiagnosticArray, '/diagnostics')
    verdicts = bench.collect(FrameVerdict, node.topic('camera/verdict'))
    frames = bench.publisher(Image, node.topic('camera/image_raw'))
    clock = bench.publisher(Clock, '/clock', 10)
    bench.wait_matched(frames)

    def own():
        return [r for r in reports.messages if r.status[0].name == node.name.lstrip('/')]

    bench.wait_for(own, 'no report without a clock')
    assert own()[0].header.stamp.sec == 0
    now = Clock()
    now.clock.sec, now.clock.nanosec = 5_000, 7
    bench.wait_for(lambda: clock.publish(now) or own()[-1].header.stamp == now.clock,
                   lambda: f'no report at {now.clock}, last {own()[-1].header.stamp}')
    seen = len(own())
    bench.wait_for(lambda: len(own()) >= seen + 2, 'reports stand still with the clock')
    message = stamped.raw(cracked)
    message.header.stamp.sec = 4_998
    frames.publish(message)
    assert verdicts.wait()[0].header == message.header
    # made 2 s before the replayed now, whatever this machine's own clock says
    status = node.diagnosed(lambda s: 'since stamp median ms' in {p.key for p in s.values}, 'age')
    age = float({p.key: p.value for p in status.values}['since stamp median ms'])
    assert age == pytest.approx(2000.0 - 123.456782, abs=0.1)
