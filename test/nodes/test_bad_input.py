# SPDX-License-Identifier: Apache-2.0
"""What is no picture is counted with its reason and warned of, and nothing else happens."""

import cv2
from diagnostic_msgs.msg import DiagnosticStatus
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from tunnel_crack_msgs.msg import FrameVerdict


def image(**fields) -> Image:
    """Return a raw image of zeros, with some fields changed."""
    message = Image(**{'width': 8, 'height': 6, 'step': 24, 'encoding': 'rgb8'} | {
        key: value for key, value in fields.items() if key != 'data'})
    message.data.frombytes(fields.get('data', bytes(6 * 24)))
    return message


JPEG = cv2.imencode('.jpg', np.full((60, 80, 3), 90, np.uint8))[1].tobytes()
NOISE = np.random.default_rng(0).integers(0, 9, (60, 80), np.uint8)
PNG = cv2.imencode('.png', NOISE)[1].tobytes()

BAD_RAW = {
    'zero width': (image(width=0, step=0), 'size 0 x 6 px'),
    'zero height': (image(height=0), 'size 8 x 0 px'),
    'no data': (image(data=b''), '0 bytes of data'),
    'short data': (image(data=bytes(100)), '100 bytes of data, expected 144'),
    'wrong step': (image(step=23), 'step 23 bytes, expected at least 24'),
    'huge size': (image(width=2 ** 32 - 1, height=2 ** 32 - 1, step=2 ** 32 - 1), 'px a side'),
    'unknown encoding': (image(encoding='h264'), "unknown encoding 'h264'"),
    'no encoding': (image(encoding=''), "unknown encoding ''"),
    'odd width of YUV': (image(width=7, step=14, encoding='yuv422'), 'do not fit'),
    'step of half a pixel': (image(step=25, encoding='mono16', data=bytes(150)), 'step 25 bytes'),
    'sliver of Bayer': (image(height=1, encoding='bayer_rggb8'), 'at least 3 x 3'),
}
BAD_COMPRESSED = {
    'empty': (b'', '0 bytes'),
    'truncated JPEG': (JPEG[:len(JPEG) // 2], 'is truncated'),
    'JPEG without its end': (JPEG[:-2], 'is truncated'),
    'truncated PNG': (PNG[:-40], 'no picture that OpenCV reads'),
    'garbage with a PNG head': (PNG[:8] + b'\xa5' * 500, 'no picture that OpenCV reads'),
    'garbage': (bytes(range(256)) * 8, 'no picture that OpenCV reads'),
}


def test_raw_frames_that_are_no_pictures_cost_nothing_but_themselves(
        bench, start, stamped, toy, cracked):
    node = start('classifier', model=toy['classifier'], queue_depth=100)
    verdicts = bench.collect(FrameVerdict, node.topic('camera/verdict'))
    frames = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(frames)
    for count, (message, _) in enumerate(BAD_RAW.values(), 1):
        frames.publish(stamped.stamp(message))
        if count == 1:      # every warning is told once in 5 s: here the first
            node.wait_log(BAD_RAW['zero width'][1])
    status = node.diagnosed(lambda s: s.level == DiagnosticStatus.ERROR, 'an error', 'camera')
    assert 'bad input' in status.message
    node.counted(frames_in=len(BAD_RAW), done=0, dropped_bad_input=len(BAD_RAW))
    good = stamped.raw(cracked)
    frames.publish(good)
    verdict, = verdicts.wait()
    assert (verdict.header, verdict.verdict) == (good.header, FrameVerdict.CRACK)
    # the report after a quiet second is fine again, the counts stay
    node.diagnosed(lambda s: s.level == DiagnosticStatus.OK, 'all well again', 'camera')
    counts = node.counted(frames_in=len(BAD_RAW) + 1, done=1)
    assert counts['dropped: bad input'] == counts['dropped'] == len(BAD_RAW)
    assert node.state() == 'active'


def test_compressed_frames_that_are_no_pictures_cost_nothing_but_themselves(
        bench, start, stamped, toy, cracked):
    node = start('classifier', model=toy['classifier'], transport='compressed', queue_depth=100)
    verdicts = bench.collect(FrameVerdict, node.topic('camera/verdict'))
    frames = bench.publisher(CompressedImage, node.topic('camera/image_raw/compressed'))
    bench.wait_matched(frames)
    for data, _ in BAD_COMPRESSED.values():
        frames.publish(stamped.compressed(data))
    node.counted(frames_in=len(BAD_COMPRESSED), dropped_bad_input=len(BAD_COMPRESSED))
    node.wait_log(BAD_COMPRESSED['empty'][1])
    good = stamped.compressed(cv2.imencode('.png', cracked)[1].tobytes(), 'png')
    frames.publish(good)
    verdict, = verdicts.wait()
    assert (verdict.header, verdict.verdict) == (good.header, FrameVerdict.CRACK)


def test_a_segmenter_drops_what_is_no_picture_and_goes_on(bench, start, stamped, toy, cracked):
    node = start('segmenter', model=toy['segmenter'], queue_depth=100)
    masks = bench.collect(Image, node.topic('camera/mask'))
    frames = bench.publisher(Image, node.topic('camera/flagged'))
    bench.wait_matched(frames)
    for message, _ in BAD_RAW.values():
        frames.publish(stamped.stamp(message))
    frames.publish(stamped.raw(cracked))
    assert len(masks.wait()) == 1
    node.counted(frames_in=len(BAD_RAW) + 1, done=1, dropped_bad_input=len(BAD_RAW))


@pytest.mark.parametrize('sec', [-1, -2 ** 31, 2 ** 31 - 1, 0])
def test_any_stamp_passes_through(bench, start, stamped, odd_stamps, cracked, sec):
    frames, verdicts = odd_stamps
    message = stamped.raw(cracked)
    message.header.stamp.sec = sec
    frames.publish(message)
    verdicts.find(lambda verdict: verdict.header == message.header, f'verdict of {sec} s')


@pytest.fixture(scope='module')
def odd_stamps(bench, start, toy):
    """Return publisher and verdicts of one classifier."""
    node = start('classifier', model=toy['classifier'])
    verdicts = bench.collect(FrameVerdict, node.topic('camera/verdict'))
    frames = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(frames)
    return frames, verdicts


@pytest.mark.parametrize(('message', 'complaint'), [*BAD_RAW.values()], ids=[*BAD_RAW])
def test_every_bad_image_has_its_reason(message, complaint):
    from tunnel_crack_ros.nodes.conversions import rgb_from_msg
    from tunnel_crack_ros.vision import FrameError
    with pytest.raises(FrameError, match=complaint):
        rgb_from_msg(message)


@pytest.mark.parametrize(('data', 'complaint'), [*BAD_COMPRESSED.values()], ids=[*BAD_COMPRESSED])
def test_every_bad_file_has_its_reason(data, complaint):
    from tunnel_crack_ros.nodes.conversions import rgb_from_msg
    from tunnel_crack_ros.vision import FrameError
    message = CompressedImage()
    message.data.frombytes(data)
    with pytest.raises(FrameError, match=complaint):
        rgb_from_msg(message)
