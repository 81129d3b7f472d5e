# SPDX-License-Identifier: Apache-2.0
"""From reflectance to a picture: the vehicle's light, blur, exposure, sensor noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from tunnel_crack_ros.simulation.view import Plane, View

CONDITIONS = ('good', 'too_dark', 'too_bright', 'blurred')
# 4096 steps of linear light to 8-bit sRGB-like values: finer than the sensor's noise.
_ENCODED = np.round(255 * (np.arange(4096) / 4095) ** (1 / 2.2)).astype(np.uint8)


@dataclass(frozen=True)
class Exposure:
    """How one frame is lit and taken.

    :param condition: good, too_dark, too_bright or blurred.
    :param level: mean linear brightness aimed at, 0..1 of the sensor's full scale.
    :param lamp: (column, row) of the brightest place, in widths and heights, 0..1.
    :param falloff: how much darker the corners are, 0..1.
    :param glare: strength of the lamp's mirror image on the lining, 0..1.
    :param dust: 0..1, haze of dust in the air.
    :param motion_mm: way driven while the shutter is open, mm.
    :param defocus_px: sigma of the lens's blur, px.
    :param noise: sigma of the sensor's noise at mid grey, 0..1.
    :param balance: white balance, gains of R, G, B.
    """

    condition: str
    level: float
    lamp: tuple[float, float]
    falloff: float
    glare: float
    dust: float
    motion_mm: float
    defocus_px: float
    noise: float
    balance: tuple[float, float, float]

    @classmethod
    def draw(cls, drive: np.random.Generator, frame: np.random.Generator, unusable_rate: float,
             speed: float) -> Exposure:
        """Draw a frame's exposure: what the whole drive shares, then what this frame adds.

        :param drive: generator of the camera, the same for all its frames.
        :param frame: generator of this frame.
        :param unusable_rate: share of frames that nobody could judge, 0..1.
        :param speed: of the vehicle, m/s.
        """
        level = float(np.exp(drive.uniform(np.log(0.13), np.log(0.55))))
        lamp = (float(drive.uniform(0.25, 0.75)), float(drive.uniform(0.2, 0.8)))
        falloff = float(drive.uniform(0.1, 0.75))
        glare = float(drive.uniform(0.1, 0.6)) if drive.random() < 0.3 else 0.0
        dust = float(drive.uniform(0.0, 0.12)) if drive.random() < 0.4 else 0.0
        shutter = float(np.exp(drive.uniform(np.log(0.0004), np.log(0.005))))
        defocus = float(drive.uniform(0.35, 0.85))
        noise = float(np.exp(drive.uniform(np.log(0.006), np.log(0.03))))
        warm = float(drive.normal(0, 0.05))
        good = cls(
            'good', level * float(frame.uniform(0.85, 1.15)), lamp, falloff,
            glare * float(frame.uniform(0.4, 1.2)), dust, 1000 * speed * shutter,
            defocus * float(frame.uniform(0.9, 1.25)), noise, (1 + warm, 1.0, 1 - warm))
        if frame.random() >= unusable_rate:
            return good
        condition = CONDITIONS[int(frame.integers(1, 4))]
        if condition == 'too_dark':
            # The lamp fails: what is left is less than a hundredth of the light.
            return replace(good, condition=condition, level=float(frame.uniform(1e-4, 9e-4)),
                           noise=max(noise, 0.02))
        if condition == 'too_bright':
            return replace(good, condition=condition, level=float(frame.uniform(4.0, 12.0)),
                           glare=1.0)
        return replace(good, condition=condition, defocus_px=float(frame.uniform(7.0, 12.0)),
                       motion_mm=float(frame.uniform(10.0, 60.0)))


def expose(rgb: Plane, view: View, exposure: Exposure, rng: np.random.Generator,
           ) -> NDArray[np.uint8]:
    """Take the picture of a painted frame.

    :param rgb: 3 x height x width float32, linear reflectance; used up.
    :param view: the frame's place, for the direction of travel.
    :param exposure: light and camera.
    :param rng: source of the sensor's noise.
    :return: height x width x 3 uint8, R, G, B.
    """
    light, mirror = _light(view, exposure)
    rgb *= light
    if exposure.glare or exposure.dust:
        # Light that never reached the concrete: it veils everything below, cracks too.
        rgb += (float(rgb.mean()) * (1.4 * exposure.glare * mirror + exposure.dust))
    blurred = np.stack([_blur(plane, view, exposure) for plane in rgb])
    # The camera meters the middle of the lining, not what hangs before it.
    meter = float(np.median(blurred[1, ::8, ::8]))
    gains = np.array(exposure.balance, np.float32) * np.float32(exposure.level / max(meter, 1e-4))
    blurred *= gains[:, None, None]
    # Shot noise grows with the root of the light; the rest is read noise.
    spread = np.sqrt(np.clip(blurred[1], 0, 1) * 0.2 + 0.002) * np.float32(exposure.noise)
    for plane in blurred:
        plane += spread * _grain(rng, *plane.shape)
    np.clip(blurred, 0, 1, out=blurred)
    blurred *= 4095
    return np.ascontiguousarray(
        np.take(_ENCODED, blurred.astype(np.uint16)).transpose(1, 2, 0))


@lru_cache(maxsize=1)
def _grain_stock() -> Plane:
    return np.random.default_rng(20).standard_normal(2**21, np.float32)


def _grain(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Return normal noise: a stretch of one stock, begun anywhere; drawing anew costs more."""
    stock = _grain_stock()
    count = height * width
    if 2 * count > len(stock):
        return rng.standard_normal((height, width), np.float32)
    first = int(rng.integers(len(stock) - count))
    return stock[first:first + count].reshape(height, width)


def jpeg(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return the frame as it comes back from JPEG.

    :param rgb: height x width x 3 uint8.
    :param quality: 0..100.
    """
    decoded = cv2.imdecode(
        np.frombuffer(encode_jpeg(rgb, quality), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None      # it has just been encoded
    return np.ascontiguousarray(decoded[..., ::-1])


def encode_jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """Return the frame's JPEG file."""
    done, data = cv2.imencode(
        '.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError(f'OpenCV could not encode a frame of {rgb.shape[1]}x{rgb.shape[0]}')
    return bytes(data)


def _light(view: View, exposure: Exposure) -> tuple[Plane, Plane]:
    """Return the lamp's light on every pixel, and the shape of its mirror image."""
    columns = (np.arange(48, dtype=np.float32) + 0.5) / 48 - exposure.lamp[0]
    rows = (np.arange(36, dtype=np.float32) + 0.5) / 36 - exposure.lamp[1]
    away = columns[None, :] ** 2 + (rows[:, None] * view.height / view.width) ** 2
    size = (view.width, view.height)
    light = 1 - exposure.falloff * (1 - np.exp(-away / 0.22))
    mirror = np.exp(-away / 0.018)
    return (cv2.resize(light, size, interpolation=cv2.INTER_CUBIC),
            cv2.resize(mirror, size, interpolation=cv2.INTER_CUBIC))


def _blur(plane: Plane, view: View, exposure: Exposure) -> Plane:
    """Blur by the lens and by the way driven while the shutter is open."""
    if exposure.defocus_px > 0.3:
        plane = cv2.GaussianBlur(plane, (0, 0), exposure.defocus_px)
    way = exposure.motion_mm / view.mm_per_px
    if way < 0.3:
        return plane
    # Points along the way, each spread over the pixels around it.
    direction = view.inverse[:, :2] @ (view.mm_per_px, 0.0)
    reach = int(np.ceil(way / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for part in np.linspace(-way / 2, way / 2, max(5, int(4 * way))):
        column, row = direction * part + reach
        left, top = int(np.floor(column)), int(np.floor(row))
        right, below = column - left, row - top
        for i, down in ((top, 1 - below), (top + 1, below)):
            for j, across in ((left, 1 - right), (left + 1, right)):
                if down * across > 1e-6:
                    kernel[i, j] += down * across
    # A drive along the rows or columns needs only that row or column of the kernel.
    used = kernel > 1e-4 * kernel.max()
    rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    up, aside = max(abs(rows - reach)), max(abs(columns - reach))
    kernel = kernel[reach - up:reach + up + 1, reach - aside:reach + aside + 1]
    return cv2.filter2D(plane, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)
