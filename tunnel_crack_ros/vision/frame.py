# SPDX-License-Identifier: Apache-2.0
"""What a frame is to the method, and how pixels of any usual encoding become one."""

from __future__ import annotations

import sys
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

RgbFrame: TypeAlias = npt.NDArray[np.uint8]
"""One camera frame: uint8, H x W x 3, RGB."""


class FrameError(ValueError):
    """A frame's bytes are not the picture that its description promises."""


# encoding: (dtype, channels, OpenCV conversion to RGB or None)
# Names as in sensor_msgs/image_encodings.hpp. OpenCV names a Bayer pattern by its second row's
# second and third pixels, so ROS' rggb is OpenCV's BayerBG.
_ENCODINGS: dict[str, tuple[type[np.generic], int, int | None]] = {
    'rgb8': (np.uint8, 3, None),
    'bgr8': (np.uint8, 3, cv2.COLOR_BGR2RGB),
    'rgba8': (np.uint8, 4, cv2.COLOR_RGBA2RGB),
    'bgra8': (np.uint8, 4, cv2.COLOR_BGRA2RGB),
    '8UC3': (np.uint8, 3, cv2.COLOR_BGR2RGB),
    '8UC4': (np.uint8, 4, cv2.COLOR_BGRA2RGB),
    'mono8': (np.uint8, 1, cv2.COLOR_GRAY2RGB),
    '8UC1': (np.uint8, 1, cv2.COLOR_GRAY2RGB),
    'rgb16': (np.uint16, 3, None),
    'bgr16': (np.uint16, 3, cv2.COLOR_BGR2RGB),
    'mono16': (np.uint16, 1, cv2.COLOR_GRAY2RGB),
    '16UC1': (np.uint16, 1, cv2.COLOR_GRAY2RGB),
    'bayer_rggb8': (np.uint8, 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': (np.uint8, 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (np.uint8, 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': (np.uint8, 1, cv2.COLOR_BayerGB2RGB),
    'bayer_rggb16': (np.uint16, 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr16': (np.uint16, 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg16': (np.uint16, 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg16': (np.uint16, 1, cv2.COLOR_BayerGB2RGB),
    'yuv422': (np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': (np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2),
}

_YUV = (cv2.COLOR_YUV2RGB_UYVY, cv2.COLOR_YUV2RGB_YUY2)
_BLOCK = 8      # px, of a JPEG
MAX_SIDE = 32_767
"""Largest width or height accepted, px: OpenCV's resize and remap stop there."""


def known_encodings() -> tuple[str, ...]:
    """Return the names of the raw encodings that `pixels_of` and `rgb_from_raw` read."""
    return tuple(_ENCODINGS)


def pixels_of(data: bytes | memoryview | npt.NDArray[np.uint8], *, width: int, height: int,
              step: int, encoding: str, big_endian: bool = False) -> npt.NDArray[np.generic]:
    """View the bytes of a raw image as an array, without a copy where the host allows it.

    :param data: the rows, one after the other, each `step` bytes long; padding ends a row.
    :param width: columns, px.
    :param height: rows, px.
    :param step: bytes from one row to the next.
    :param encoding: a name of sensor_msgs/image_encodings.hpp.
    :param big_endian: byte order of 16-bit pixels.
    :return: uint8 or uint16, H x W or H x W x C, channels in the encoding's own order.
    :raises FrameError: the size is zero or too large, the encoding unknown, or the bytes too few.
    """
    if encoding not in _ENCODINGS:
        raise FrameError(f"unknown encoding '{encoding}', expected one of "
                         f"{', '.join(_ENCODINGS)}")
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise FrameError(f'size {width} x {height} px, expected 1..{MAX_SIDE} px a side')
    dtype, channels, _ = _ENCODINGS[encoding]
    item = np.dtype(dtype).itemsize
    row = width * channels * item
    if step < row or step % item:
        raise FrameError(f'step {step} bytes, expected at least {row} '
                         f'for {width} px of {encoding}')
    raw = np.frombuffer(data, np.uint8)
    # the last row may come without its padding
    if raw.size < step * (height - 1) + row:
        raise FrameError(f'{raw.size} bytes of data, expected {step * height} '
                         f'({height} rows of {step})')
    rows: npt.NDArray[np.uint8] = np.lib.stride_tricks.as_strided(
        raw, (height, row), (step, 1), writeable=False)
    if item == 2:
        order: np.dtype[np.uint16] = np.dtype('>u2' if big_endian else '<u2')
        wide = np.ascontiguousarray(rows).view(order).astype(np.uint16, copy=False)
        return wide.reshape(height, width, channels) if channels > 1 else wide
    if channels == 1:
        return rows
    return np.lib.stride_tricks.as_strided(
        raw, (height, width, channels), (step, channels, 1), writeable=False)


def rgb_from_raw(data: bytes | memoryview | npt.NDArray[np.uint8], *, width: int, height: int,
                 step: int, encoding: str, big_endian: bool = False) -> RgbFrame:
    """Turn the bytes of a raw image into an RGB frame.

    16-bit pixels keep their upper byte: black stays black and full scale stays white.

    :return: uint8, H x W x 3, RGB; for `rgb8` a read-only view of `data`.
    :raises FrameError: as `pixels_of`; or an odd width of a YUV image, or a Bayer image of less
        than 3 x 3 px.
    """
    pixels = pixels_of(data, width=width, height=height, step=step, encoding=encoding,
                       big_endian=big_endian)
    dtype, _, conversion = _ENCODINGS[encoding]
    if dtype is np.uint16:
        pixels = (pixels.astype(np.uint16, copy=False) >> 8).astype(np.uint8)
    if conversion is None:
        return pixels.astype(np.uint8, copy=False)
    if conversion in _YUV and width % 2:     # OpenCV 4 makes something of it
        raise FrameError(f'{width} x {height} px do not fit the encoding {encoding}: '
                         'expected an even width')
    if encoding.startswith('bayer') and min(width, height) < 3:
        # OpenCV makes black of it, which is no picture of anything
        raise FrameError(f'{width} x {height} px of {encoding}, expected at least 3 x 3')
    try:
        return cv2.cvtColor(np.ascontiguousarray(pixels), conversion).astype(np.uint8, copy=False)
    except cv2.error as error:
        raise FrameError(f'{width} x {height} px do not fit the encoding {encoding}: '
                         f'{_first_line(error)}') from error


def rgb_from_compressed(data: bytes | memoryview | npt.NDArray[np.uint8],
                        description: str = '') -> RgbFrame:
    """Decode a JPEG, PNG or other file that OpenCV reads.

    :param data: the whole file.
    :param description: `format` of a sensor_msgs/CompressedImage, such as `bayer_rggb8; png
        compressed `: image_transport packs a Bayer mosaic as the grey picture that it looks like,
        unless it says `mono8` at the end.
    :return: uint8, H x W x 3, RGB.
    :raises FrameError: nothing to decode, not a picture, or a JPEG that ends too early or lost
        bytes on the way; or an unknown Bayer pattern.
    """
    raw = np.frombuffer(data, np.uint8)
    if raw.size == 0:
        raise FrameError('0 bytes of compressed data')
    if _is_truncated_jpeg(raw):
        # libjpeg fills what is missing with grey: a crack there would be lost in silence
        raise FrameError(f'JPEG of {raw.size} bytes is truncated (no end-of-image marker)')
    try:
        bgr = cv2.imdecode(raw, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise FrameError(f'{raw.size} bytes cannot be decoded: {_first_line(error)}') from error
    if bgr is None:
        start = bytes(raw[:4]).hex(' ')
        raise FrameError(f'{raw.size} bytes are no picture that OpenCV reads (start {start})')
    if _is_jpeg(raw) and _ends_filled_up(bgr):
        raise FrameError(f'JPEG of {raw.size} bytes is damaged (its last rows are of one colour)')
    if max(bgr.shape[:2]) > MAX_SIDE:
        raise FrameError(f'size {bgr.shape[1]} x {bgr.shape[0]} px, '
                         f'expected 1..{MAX_SIDE} px a side')
    if description.startswith('bayer_') and not description.endswith('mono8'):
        stored = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
        if stored is not None and stored.ndim == 2:     # else somebody made colours of it before
            return _rgb_from_mosaic(stored, description.split(';')[0].strip())
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _rgb_from_mosaic(mosaic: npt.NDArray[np.generic], encoding: str) -> RgbFrame:
    """Make colours of a mosaic, H x W, whose bits JPEG may have reduced to 8."""
    height, width = mosaic.shape
    pattern = encoding.rstrip('0123456789')
    return rgb_from_raw(np.ascontiguousarray(mosaic).view(np.uint8).reshape(-1), width=width,
                        height=height, step=width * mosaic.itemsize,
                        encoding=f'{pattern}{8 * mosaic.itemsize}',
                        big_endian=sys.byteorder == 'big')


def _is_jpeg(raw: npt.NDArray[np.uint8]) -> bool:
    return bytes(raw[:2]) == b'\xff\xd8'


def _is_truncated_jpeg(raw: npt.NDArray[np.uint8]) -> bool:
    if raw.size < 4 or not _is_jpeg(raw):
        return False
    # some cameras pad the file: look for the marker in the last bytes that are not zero
    tail = bytes(raw[-4096:]).rstrip(b'\x00')
    return b'\xff\xd9' not in tail[-64:]


def _ends_filled_up(picture: npt.NDArray[np.generic]) -> bool:
    """Return whether libjpeg ran out of bytes and filled the last row of blocks with one colour.

    Not where the first rows are of one colour, too, as in a drawing or behind a lens cap, nor for
    black or white, which a camera may well see.
    """
    first, last = picture[:_BLOCK], picture[-_BLOCK:]
    return bool((last == last[-1, -1]).all() and 8 < last[-1, -1].max() < 248
                and (first != first[0, 0]).any())


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
