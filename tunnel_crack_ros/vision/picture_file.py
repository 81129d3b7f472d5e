# SPDX-License-Identifier: Apache-2.0
"""Read and write picture files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.frame import FrameError, rgb_from_compressed, RgbFrame

_ENDINGS = ('.png', '.jpg', '.jpeg', '.webp', '.bmp', '.tif', '.tiff')


def read_picture(path: Path) -> RgbFrame:
    """Read a picture file.

    :return: uint8, H x W x 3, RGB.
    :raises OSError: no such file.
    :raises FrameError: no picture.
    """
    try:
        return rgb_from_compressed(path.read_bytes())
    except FrameError as error:
        raise FrameError(f'{path}: {error}') from None


def check_ending(path: Path) -> None:
    """Make sure that a picture can be written under a name, before it is made.

    :raises ValueError: its name ends in no kind of picture.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(_ENDINGS)}")


def write_picture(path: Path, picture: npt.NDArray[np.uint8]) -> Path:
    """Write a picture; the folder is made.

    :param path: its ending says which kind of file.
    :param picture: uint8, H x W, or H x W x 3 in RGB.
    :return: the path.
    :raises ValueError: the name ends in no kind of picture.
    :raises OSError: it cannot be written.
    """
    check_ending(path)
    stored = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    done, encoded = cv2.imencode(path.suffix, stored)
    if not done:
        raise OSError(f'{path}: cannot be encoded as a picture')
    path.parent.mkdir(parents=True, exist_ok=True)
    # OpenCV's own writing says nothing of why it failed, and ends the process where a name is
    # not UTF-8
    path.write_bytes(encoded.tobytes())
    return path
