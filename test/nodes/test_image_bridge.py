# SPDX-License-Identifier: Apache-2.0
"""Image messages and arrays, both ways, in one table of cases."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from tunnel_crack_ros.nodes.image_bridge import cv2_to_imgmsg, imgmsg_to_cv2
from tunnel_crack_ros.vision import FrameError

random = np.random.default_rng(5)
RGB = random.integers(0, 256, (6, 8, 3), np.uint8)
GREY = random.integers(0, 256, (6, 8), np.uint8)
DEEP = random.integers(0, 2 ** 16, (6, 8), np.uint16)
UYVY = random.integers(0, 256, (6, 8, 2), np.uint8)
SMOOTH = np.add.outer(np.arange(60), np.arange(80)).astype(np.uint8)


def message(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False
            ) -> Image:
    """Lay out an image by hand, with rubbish behind each row."""
    if pixels.dtype.itemsize == 2:
        pixels = pixels.astype('>u2' if big_endian else '<u2')
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=205)
    made = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
                 step=rows.shape[1], is_bigendian=int(big_endian))
    made.data.frombytes(rows.tobytes())
    return made


def grey_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


CASES = {
    'rgb8': (message(RGB, 'rgb8'), RGB),
    'bgr8': (message(RGB[:, :, ::-1], 'bgr8'), RGB),
    'rgba8': (message(np.dstack([RGB, GREY]), 'rgba8'), RGB),
    'bgra8': (message(np.dstack([RGB[:, :, ::-1], GREY]), 'bgra8'), RGB),
    '8UC3 is BGR': (message(RGB[:, :, ::-1], '8UC3'), RGB),
    'mono8': (message(GREY, 'mono8'), grey_rgb(GREY)),
    '8UC1': (message(GREY, '8UC1'), grey_rgb(GREY)),
    'padded rgb8': (message(RGB, 'rgb8', 5), RGB),
    'padded bgr8': (message(RGB[:, :, ::-1], 'bgr8', 8), RGB),
    'bgr8 padded by one byte': (message(RGB[:, :, ::-1], 'bgr8', 1), RGB),
    'rgb8 padded by two bytes': (message(RGB, 'rgb8', 2), RGB),
    'padded rgba8': (message(np.dstack([RGB, GREY]), 'rgba8', 7), RGB),
    'padded rgb16': (message(RGB.astype(np.uint16) << 8, 'rgb16', 2), RGB),
    'padded mono8': (message(GREY, 'mono8', 3), grey_rgb(GREY)),
    'mono16': (message(DEEP, 'mono16'), grey_rgb(DEEP >> 8)),
    '16UC1': (message(DEEP, '16UC1'), grey_rgb(DEEP >> 8)),
    'padded mono16': (message(DEEP, 'mono16', 4), grey_rgb(DEEP >> 8)),
    'big-endian mono16': (message(DEEP, 'mono16', big_endian=True), grey_rgb(DEEP >> 8)),
    'padded big-endian mono16': (message(DEEP, 'mono16', 6, True), grey_rgb(DEEP >> 8)),
    'big-endian rgb16': (message(RGB.astype(np.uint16) << 8, 'rgb16', big_endian=True), RGB),
    'yuv422 (UYVY)': (message(UYVY, 'yuv422'), cv2.cvtColor(UYVY, cv2.COLOR_YUV2RGB_UYVY)),
    'yuv422_yuy2': (message(UYVY, 'yuv422_yuy2'), cv2.cvtColor(UYVY, cv2.COLOR_YUV2RGB_YUY2)),
    'padded yuv422': (message(UYVY, 'yuv422', 8), cv2.cvtColor(UYVY, cv2.COLOR_YUV2RGB_UYVY)),
    'bayer_rggb8': (message(SMOOTH, 'bayer_rggb8'),
                    cv2.cvtColor(SMOOTH, cv2.COLOR_BayerBG2RGB)),
    'padded bayer_gbrg8': (message(SMOOTH, 'bayer_gbrg8', 7),
                           cv2.cvtColor(SMOOTH, cv2.COLOR_BayerGR2RGB)),
}


@pytest.mark.parametrize(('msg', 'rgb'), [*CASES.values()], ids=[*CASES])
def test_messages_become_the_right_pixels(msg, rgb):
    found = imgmsg_to_cv2(msg, 'rgb8')
    assert found.dtype == np.uint8
    assert np.array_equal(found, rgb)
    assert np.array_equal(imgmsg_to_cv2(msg, 'bgr8')[:, :, ::-1], rgb)
    grey = cv2.cvtColor(rgb.astype(np.uint8), cv2.COLOR_RGB2GRAY)
    # rounding of the grey value, once more on the way over RGB
    assert np.abs(imgmsg_to_cv2(msg, 'mono8').astype(int) - grey).max() <= 1


@pytest.mark.parametrize(('msg', 'pixels'), [
    (message(GREY, 'mono8', 3), GREY), (message(RGB, 'rgb8', 5), RGB),
    (message(DEEP, 'mono16', 4), DEEP), (message(DEEP, '16UC1', 2, True), DEEP)])
def test_passthrough_keeps_the_values(msg, pixels):
    found = imgmsg_to_cv2(msg)
    assert found.dtype == pixels.dtype
    assert np.array_equal(found.reshape(pixels.shape), pixels)


@pytest.mark.parametrize(('pixels', 'encoding', 'named'), [
    (GREY, 'mono8', 'mono8'), (RGB, 'rgb8', 'rgb8'), (DEEP, 'mono16', 'mono16'),
    (DEEP.astype('>u2'), 'mono16', 'mono16'), (GREY, 'passthrough', '8UC1'),
    (RGB[:, ::2], 'passthrough', '8UC3'), (DEEP, 'passthrough', '16UC1'),
    (RGB.transpose(1, 0, 2), 'rgb8', 'rgb8'), (GREY[:, :, None], 'mono8', 'mono8')])
def test_arrays_become_messages_and_come_back(pixels, encoding, named):
    header = Header(frame_id='there')
    msg = cv2_to_imgmsg(pixels, encoding, header)
    assert (msg.encoding, msg.header) == (named, header)
    assert (msg.height, msg.width) == pixels.shape[:2]
    assert msg.step * msg.height == len(msg.data)
    assert np.array_equal(imgmsg_to_cv2(msg).reshape(pixels.shape), pixels)


@pytest.mark.parametrize(('pixels', 'encoding'), [
    (GREY, 'rgb8'), (RGB, 'mono8'), (DEEP, 'mono8'), (GREY, 'mono16'), (GREY, 'no_such'),
    (GREY.astype(np.float64), 'passthrough'), (np.zeros((0, 4), np.uint8), 'mono8'),
    (np.zeros(4, np.uint8), 'mono8')])
def test_arrays_that_do_not_fit_the_encoding_are_refused(pixels, encoding):
    with pytest.raises(FrameError, match='is no image of encoding'):
        cv2_to_imgmsg(pixels, encoding)


def test_an_unknown_wish_is_refused():
    with pytest.raises(FrameError, match="desired encoding 'hsv'"):
        imgmsg_to_cv2(CASES['rgb8'][0], 'hsv')


def test_no_other_converter_has_a_say():
    """Frames would look one way where cv_bridge is installed and another where it is not."""
    root = Path(__file__).resolve().parents[2]
    for file in [root / 'package.xml', *(root / 'tunnel_crack_ros').rglob('*.py')]:
        text = file.read_text()
        assert '<exec_depend>cv_bridge' not in text, file
        assert 'import cv_bridge' not in text and 'from cv_bridge' not in text, file
