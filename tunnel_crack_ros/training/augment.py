# SPDX-License-Identifier: Apache-2.0
"""Vary photographs as lamps, lenses, motion and compression vary frames of a lining."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def flip_and_turn(image: Picture, mask: npt.NDArray[Any],
                  rng: np.random.Generator) -> tuple[Picture, npt.NDArray[Any]]:
    """Mirror and turn by quarter turns: a crack has no up or down.

    :param image: uint8, H x W x 3, H = W (a turn must keep the shape).
    :param mask: H x W, turned with it.
    """
    turns = int(rng.integers(4))
    image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def vary_appearance(image: Picture, rng: np.random.Generator) -> Picture:
    """Change light, colour, sharpness, noise and compression; no pixel moves.

    :param image: uint8, H x W x 3, RGB.
    :return: uint8, same shape.
    """
    image = _colour(image, rng)
    image = _light(image, rng)
    image = _sharpness(image, rng)
    if rng.random() < 0.4:
        noise = rng.normal(0.0, rng.uniform(2.0, 10.0), image.shape[:2]).astype(np.float32)
        image = _as_uint8(image.astype(np.float32) + noise[:, :, np.newaxis])
    if rng.random() < 0.4:
        quality = int(rng.integers(35, 95))
        _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return image


def _colour(image: Picture, rng: np.random.Generator) -> Picture:
    # Whole sources have a tint of their own (many Rissbilder are blue): colour must not tell.
    draw = rng.random()
    if draw < 0.35:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    if draw < 0.45:
        return np.ascontiguousarray(image[:, :, ::-1])
    if draw < 0.85:
        gains = rng.uniform(0.8, 1.25, 3).astype(np.float32)
        return _as_uint8(image.astype(np.float32) * gains)
    return image


def _light(image: Picture, rng: np.random.Generator) -> Picture:
    picture = image.astype(np.float32) / 255.0
    if rng.random() < 0.8:
        mean = float(picture.mean())
        picture = (picture - mean) * rng.uniform(0.6, 1.4) + mean * rng.uniform(0.55, 1.35)
    if rng.random() < 0.4:      # a lamp beside the camera: light falls off across the frame
        height, width = picture.shape[:2]
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        centre_y, centre_x = rng.uniform(-0.3, 1.3, 2)
        distance = np.hypot(y / height - centre_y, x / width - centre_x)
        falloff = 1.0 - rng.uniform(0.2, 0.7) * distance / float(distance.max())
        picture = picture * falloff[:, :, np.newaxis]
    if rng.random() < 0.3:
        picture = np.clip(picture, 0.0, 1.0) ** rng.uniform(0.6, 1.6)
    return _as_uint8(picture * 255.0)


def _sharpness(image: Picture, rng: np.random.Generator) -> Picture:
    draw = rng.random()
    if draw < 0.2:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2)).astype(np.uint8, copy=False)
    if draw < 0.3:              # motion blur of a moving vehicle
        length = int(rng.choice((3, 5)))    # an even one would move the picture
        kernel = np.zeros((length, length), np.float32)
        if rng.random() < 0.5:
            kernel[length // 2] = 1.0 / length
        else:
            kernel[:, length // 2] = 1.0 / length
        return cv2.filter2D(image, -1, kernel).astype(np.uint8, copy=False)
    if draw < 0.4:
        soft = cv2.GaussianBlur(image, (0, 0), 1.5)
        return cv2.addWeighted(image, 1.6, soft, -0.6, 0).astype(np.uint8, copy=False)
    return image


def _as_uint8(picture: npt.NDArray[np.float32]) -> Picture:
    return np.clip(picture, 0.0, 255.0).astype(np.uint8)
