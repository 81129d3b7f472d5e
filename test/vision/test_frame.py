# SPDX-License-Identifier: Apache-2.0
"""From the bytes of any usual encoding to an RGB frame; what is no picture is refused."""

import cv2
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from tunnel_crack_ros.vision.frame import (
    FrameError,
    known_encodings,
    MAX_SIDE,
    pixels_of,
    rgb_from_compressed,
    rgb_from_raw,
)

sides = st.integers(1, 40)


def padded_rows(pixels: np.ndarray, padding: int) -> tuple[bytes, int]:
    """Lay out rows with rubbish behind each.

    :return: bytes and step.
    """
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    wide = np.pad(rows, ((0, 0), (0, padding)), constant_values=205)
    return wide.tobytes(), wide.shape[1]


def picture(height: int = 60, width: int = 80) -> np.ndarray:
    """Return a smooth coloured RGB picture, which survives JPEG, Bayer and YUV well."""
    y, x = np.mgrid[:height, :width]
    return np.stack([40 + x * 150 // width, 60 + y * 120 // height,
                     200 - (x + y) * 150 // (width + height)], axis=2).astype(np.uint8)


@given(sides, sides, st.integers(0, 9), st.integers(0, 2 ** 32 - 1))
def test_padded_rows_of_any_size_keep_their_pixels(height, width, padding, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    data, step = padded_rows(pixels, padding)
    rgb = rgb_from_raw(data, width=width, height=height, step=step, encoding='rgb8')
    assert np.array_equal(rgb, pixels)
    bgr = rgb_from_raw(data, width=width, height=height, step=step, encoding='bgr8')
    assert np.array_equal(bgr, pixels[:, :, ::-1])


@given(sides, sides, st.integers(0, 4), st.booleans())
def test_16_bits_of_either_byte_order_keep_their_value(height, width, padding, big_endian):
    values = np.arange(height * width, dtype=np.uint16).reshape(height, width) * 40
    data, step = padded_rows(values.astype('>u2' if big_endian else '<u2'), 2 * padding)
    size = {'width': width, 'height': height, 'step': step, 'encoding': 'mono16',
            'big_endian': big_endian}
    assert np.array_equal(pixels_of(data, **size), values)
    assert np.array_equal(rgb_from_raw(data, **size)[:, :, 1], values >> 8)


@given(st.sampled_from(known_encodings()), st.integers(0, 50), st.integers(0, 50),
       st.integers(0, 500), st.integers(0, 6000), st.booleans())
def test_whatever_the_fields_say_there_is_a_frame_or_a_frame_error(
        encoding, width, height, step, size, big_endian):
    try:
        frame = rgb_from_raw(bytes(size), width=width, height=height, step=step,
                             encoding=encoding, big_endian=big_endian)
    except FrameError:
        return
    assert frame.shape == (height, width, 3)
    assert frame.dtype == np.uint8


@given(st.binary(max_size=300))
def test_whatever_the_file_holds_there_is_a_frame_or_a_frame_error(data):
    try:
        assert rgb_from_compressed(data).dtype == np.uint8
    except FrameError:
        pass


def bayer(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """Look at a picture through a colour filter; `pattern`: the four of its top left corner."""
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for place, colour in enumerate(pattern):
        row, column = divmod(place, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, 'rgb'.index(colour)]
    return mosaic


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('bits', [8, 16])
def test_a_bayer_mosaic_gives_back_its_colours(pattern, bits):
    rgb = picture()
    mosaic = bayer(rgb, pattern)
    if bits == 16:
        mosaic = mosaic.astype('<u2') << 8
    found = rgb_from_raw(mosaic.tobytes(), width=80, height=60, step=80 * bits // 8,
                         encoding=f'bayer_{pattern}{bits}')
    # the picture rises by up to 2 a pixel; the outermost pixels have neighbours on one side only
    error = np.abs(found.astype(int) - rgb)[2:-2, 2:-2]
    assert error.max() <= 4


@pytest.mark.parametrize(('encoding', 'luma', 'chroma'), [
    ('yuv422', 1, 0), ('uyvy', 1, 0), ('yuv422_yuy2', 0, 1), ('yuyv', 0, 1)])
def test_yuv_422_gives_back_its_colours(encoding, luma, chroma):
    rgb = picture()
    # studio range BT.601, as these formats are defined
    r, g, b = (rgb[:, :, i].astype(float) for i in range(3))
    packed = np.empty((60, 80, 2))
    packed[:, :, luma] = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    packed[:, 0::2, chroma] = (128 - 0.148 * r - 0.291 * g + 0.439 * b)[:, 0::2]
    packed[:, 1::2, chroma] = (128 + 0.439 * r - 0.368 * g - 0.071 * b)[:, 0::2]
    found = rgb_from_raw(packed.round().astype(np.uint8).tobytes(), width=80, height=60,
                         step=160, encoding=encoding)
    # three roundings and a chroma shared by two pixels
    assert np.abs(found.astype(int) - rgb).max() <= 6


def test_rgb_is_seen_without_a_copy():
    data = bytearray(picture().tobytes())
    frame = rgb_from_raw(data, width=80, height=60, step=240, encoding='rgb8')
    data[0] = 7
    assert frame[0, 0, 0] == 7
    assert not frame.flags.writeable


@pytest.mark.parametrize(('change', 'complaint'), [
    ({'width': 0}, 'size 0 x 60 px'),
    ({'height': 0}, 'size 80 x 0 px'),
    ({'width': MAX_SIDE + 1, 'step': 200_000}, 'size 32768 x 60 px'),
    ({'step': 239}, 'step 239 bytes, expected at least 240 for 80 px of rgb8'),
    ({'step': 0}, 'step 0 bytes'),
    ({'data': bytes(60 * 240 - 1)}, '14399 bytes of data, expected 14400'),
    ({'data': b''}, '0 bytes of data'),
    ({'encoding': 'h264'}, "unknown encoding 'h264', expected one of rgb8"),
    ({'encoding': ''}, "unknown encoding ''"),
    ({'encoding': 'mono16', 'step': 241}, 'step 241 bytes'),
    ({'encoding': 'yuv422', 'width': 79},
     '79 x 60 px do not fit the encoding yuv422: expected an even width'),
    ({'encoding': 'bayer_rggb8', 'height': 2}, '80 x 2 px of bayer_rggb8, expected at least 3'),
])
def test_raw_bytes_that_are_no_picture_are_refused_with_the_reason(change, complaint):
    fields = {'data': bytes(60 * 240), 'width': 80, 'height': 60, 'step': 240,
              'encoding': 'rgb8'} | change
    with pytest.raises(FrameError, match=complaint):
        rgb_from_raw(fields.pop('data'), **fields)


def encoded(ending: str, pixels: np.ndarray | None = None) -> bytes:
    pixels = picture() if pixels is None else pixels
    _, data = cv2.imencode(ending, pixels[:, :, ::-1] if pixels.ndim == 3 else pixels)
    return data.tobytes()


@pytest.mark.parametrize(('ending', 'tolerance'), [('.png', 0), ('.jpg', 12)])
def test_compressed_pictures_are_decoded(ending, tolerance):
    frame = rgb_from_compressed(encoded(ending))
    # JPEG at quality 95 halves the resolution of colour
    assert np.abs(frame.astype(int) - picture()).max() <= tolerance


def test_compressed_grey_and_16_bit_pictures_become_rgb():
    grey = picture()[:, :, 0]
    assert np.array_equal(rgb_from_compressed(encoded('.png', grey))[:, :, 2], grey)
    deep = rgb_from_compressed(encoded('.png', grey.astype(np.uint16) << 8))
    assert np.abs(deep[:, :, 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize(('ending', 'bits', 'tolerance'), [
    ('.png', 8, 4), ('.png', 16, 4), ('.jpg', 8, 16)])
def test_a_packed_bayer_mosaic_gives_back_its_colours(pattern, ending, bits, tolerance):
    mosaic = bayer(picture(), pattern)
    if bits == 16:
        mosaic = mosaic.astype(np.uint16) << 8
    found = rgb_from_compressed(encoded(ending, mosaic),
                                f'bayer_{pattern}{bits}; {ending[1:]} compressed ')
    # as of a raw mosaic; JPEG rounds the mosaic's finest pattern off
    assert np.abs(found.astype(int) - picture())[2:-2, 2:-2].max() <= tolerance


def test_a_bayer_picture_that_was_packed_in_colours_keeps_them():
    grey = encoded('.jpg', picture()[:, :, 0])
    assert np.array_equal(rgb_from_compressed(grey, 'bayer_rggb8; jpeg compressed mono8'),
                          rgb_from_compressed(grey))
    found = rgb_from_compressed(encoded('.png'), 'bayer_rggb8; png compressed bgr8')
    assert np.array_equal(found, picture())
    with pytest.raises(FrameError, match="unknown encoding 'bayer_xyz8'"):
        rgb_from_compressed(encoded('.png', picture()[:, :, 0]), 'bayer_xyz8; png compressed ')


def test_a_jpeg_that_its_camera_padded_is_whole():
    assert rgb_from_compressed(encoded('.jpg') + bytes(3000)).shape == (60, 80, 3)


@pytest.mark.parametrize('ending', ['.jpg', '.png', '.webp', '.bmp'])
@pytest.mark.parametrize('share', [0.3, 0.9, 0.99])
def test_a_truncated_file_is_refused(ending, share):
    data = encoded(ending)
    with pytest.raises(FrameError):
        rgb_from_compressed(data[:int(len(data) * share)])


def photograph() -> bytes:
    """Return a JPEG with something to see in all its blocks."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (240, 320, 3), np.uint8)
    return encoded('.jpg', cv2.GaussianBlur(noise, (0, 0), 2.0))


@pytest.mark.parametrize('damage', [
    lambda data: data[:len(data) // 3] + data[len(data) * 3 // 4:],
    lambda data: data[:len(data) // 3] + bytes(len(data) // 3) + data[len(data) * 2 // 3:],
    lambda data: data[:len(data) // 2] + b'\xff\xd9'], ids=['lost', 'zeroed', 'ended'])
def test_a_jpeg_damaged_in_its_middle_is_refused(damage):
    assert rgb_from_compressed(photograph()).shape == (240, 320, 3)
    with pytest.raises(FrameError, match='is damaged'):
        rgb_from_compressed(damage(photograph()))


@pytest.mark.parametrize('colour', [0, 9, 128, 247, 255])
def test_a_jpeg_of_one_colour_is_whole_and_so_is_a_line_on_it(colour):
    flat = np.full((60, 80, 3), colour, np.uint8)
    assert np.array_equal(rgb_from_compressed(encoded('.jpg', flat)), flat)
    flat[30:33, 10:70] = 40
    assert rgb_from_compressed(encoded('.jpg', flat)).shape == flat.shape


@pytest.mark.parametrize('colour', [0, 255])
def test_a_photograph_that_is_black_or_white_below_is_whole(colour):
    dark = rgb_from_compressed(photograph()).copy()
    dark[200:] = colour
    assert rgb_from_compressed(encoded('.jpg', dark)).shape == dark.shape


@pytest.mark.parametrize('data', [b'', b'\x00' * 5000, b'\x89PNG\r\n\x1a\n' + b'junk' * 50,
                                  b'\xff\xd8\xff', b'\xff\xd8' + b'\x01' * 90 + b'\xff\xd9'])
def test_bytes_that_are_no_picture_are_refused(data):
    with pytest.raises(FrameError):
        rgb_from_compressed(data)
