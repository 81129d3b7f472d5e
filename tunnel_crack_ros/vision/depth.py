# SPDX-License-Identifier: Apache-2.0
"""A depth image of the lining, and the plane that some of its pixels lie on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.camera import Camera, CameraError, Points
from tunnel_crack_ros.vision.frame import FrameError, pixels_of
from tunnel_crack_ros.vision.lining_surface import Plane

_FEWEST = 24            # pixels with a depth that a plane is fitted to
_MOST = 1200            # of them used
_ROUNDS = 8             # of reweighting
_TUKEY = 4.685          # 95 % as efficient as least squares where errors are normal
_MAD_TO_SIGMA = 1.4826
_BAND = 0.05            # so far around a crack the lining is looked at, of the frame's width
_STEPS = 4              # from the crack to that band's edge


class DepthError(ValueError):
    """A depth image cannot be used; the message says what was found and what was expected."""


def depth_from_raw(data: bytes | memoryview | npt.NDArray[np.uint8], *, width: int, height: int,
                   step: int, encoding: str, big_endian: bool = False
                   ) -> npt.NDArray[np.float32]:
    """Turn the bytes of a depth image (REP 118) into metres.

    :param encoding: 16UC1 (mm; 0: a hole) or 32FC1 (m; NaN or infinite: a hole).
    :return: float32, H x W, m.
    :raises DepthError: another encoding, or bytes that do not fit the size.
    """
    if encoding not in ('16UC1', '32FC1'):
        raise DepthError(f"depth image has encoding '{encoding}', expected 16UC1 (mm) or "
                         '32FC1 (m)')
    try:
        # four bytes a pixel, whatever they mean
        pixels = pixels_of(data, width=width, height=height, step=step, big_endian=big_endian,
                           encoding='16UC1' if encoding == '16UC1' else '8UC4')
    except FrameError as error:
        raise DepthError(f'depth image: {error}') from error
    if encoding == '16UC1':
        return pixels.astype(np.float32) / np.float32(1000.0)
    order = '>f4' if big_endian else '<f4'
    return np.ascontiguousarray(pixels).view(order)[..., 0].astype(np.float32, copy=False)


@dataclass(frozen=True)
class FittedPlane:
    """A plane as 1 / depth = a x + b y + c, x and y of the rays: linear, so easily fitted."""

    abc: Points
    """a, b, c, 1/m."""
    covariance: Points
    """3 x 3, of their random errors, 1/m^2."""

    def plane(self) -> Plane:
        """Return the plane."""
        size = float(np.linalg.norm(self.abc))
        return Plane(self.abc / size, 1.0 / size)

    def shifted(self) -> list[Plane]:
        """Return the planes that lie off by one sigma, along the errors' own three directions."""
        values, vectors = np.linalg.eigh(self.covariance)
        return [FittedPlane(self.abc + vector * np.sqrt(max(value, 0.0)), self.covariance).plane()
                for value, vector in zip(values, vectors.T)]


@dataclass(frozen=True)
class DepthImage:
    """Distances along the optical axis (REP 118), seen from the frame's own camera."""

    metres: npt.NDArray[np.float32]
    """H x W, m; NaN, infinite or <= 0: a hole."""

    def near(self, points_px: Points, camera: Camera) -> FittedPlane | None:
        """Fit a plane to the lining around some points.

        :param points_px: N x 2, columns and rows in the frame, px.
        :param camera: fitted to the frame.
        :return: None: too few pixels have a depth.
        """
        band = _BAND * camera.width
        reach = np.linspace(-band, band, 2 * _STEPS + 1)
        around = np.stack(np.meshgrid(reach, reach), axis=-1).reshape(1, -1, 2)
        apart = max(1, int(band / _STEPS / _spacing(points_px)))
        return self._fit(self._pixels((points_px[::apart, None] + around).reshape(-1, 2), camera),
                         camera)

    def everywhere(self, camera: Camera) -> FittedPlane | None:
        """Fit a plane to all of the image; None: too few pixels have a depth."""
        return self._fit(np.arange(self.metres.size), camera)

    def check_shape(self, camera: Camera) -> None:
        """Make sure that the image shows what the frame shows.

        :raises DepthError: it has other proportions.
        """
        height, width = self.metres.shape
        try:
            Camera(1.0, 1.0, 0.0, 0.0, camera.width, camera.height).fitted_to(width, height)
        except CameraError:
            raise DepthError(f'the depth image has {width} x {height} px, but the frame '
                             f'{camera.width} x {camera.height}: expected the same proportions'
                             ) from None

    def _pixels(self, points_px: Points, camera: Camera) -> npt.NDArray[np.int64]:
        """Return the depth pixels that points of the frame fall on, each once, row by row."""
        height, width = self.metres.shape
        ratio = np.array([width / camera.width, height / camera.height])
        pixels = np.round((points_px + 0.5) * ratio - 0.5).astype(np.int64)
        inside = ((pixels >= 0) & (pixels < (width, height))).all(axis=1)
        return np.unique(pixels[inside, 1] * width + pixels[inside, 0])

    def _fit(self, pixels: npt.NDArray[np.int64], camera: Camera) -> FittedPlane | None:
        """Fit a plane to some pixels, by their numbers, row by row."""
        depths = self.metres.ravel()[pixels]
        valid = np.flatnonzero((depths > 0.0) & (depths < np.inf))
        if valid.size < _FEWEST:
            return None
        if valid.size > _MOST:
            # drawn, always the same: every n-th pixel may well lie in a single column
            valid = np.random.default_rng(0).choice(valid, _MOST, replace=False, shuffle=False)
        height, width = self.metres.shape
        ratio = np.array([camera.width / width, camera.height / height])
        rows, columns = np.divmod(pixels[valid], width)
        rays = camera.rays((np.column_stack([columns, rows]) + 0.5) * ratio - 0.5)
        known = np.isfinite(rays).all(axis=1)
        if np.count_nonzero(known) < _FEWEST:
            return None
        return _robust_plane(rays[known], 1.0 / depths[valid][known].astype(np.float64))


def _robust_plane(rays: Points, inverse: Points) -> FittedPlane | None:
    """Fit by least squares, again and again with less weight on outliers (Beaton, Tukey 1974)."""
    if np.linalg.matrix_rank(rays - rays.mean(axis=0), tol=1e-6) < 2:
        return None     # all in a row: nothing is known of the slope across
    weights = np.ones(len(inverse))
    middle = float(np.median(inverse))
    near = np.abs(inverse - middle)
    weights[near > 6.0 * _MAD_TO_SIGMA * float(np.median(near)) + 0.05 * middle] = 0.0
    sigma, abc, normal_matrix = 0.0, np.zeros(3), np.eye(3)
    for _ in range(_ROUNDS):
        normal_matrix = (rays * weights[:, None]).T @ rays
        try:
            abc = np.linalg.solve(normal_matrix, rays.T @ (weights * inverse))
        except np.linalg.LinAlgError:
            return None
        residuals = inverse - rays @ abc
        used = residuals[weights > 0.0]
        if used.size < _FEWEST:
            return None
        sigma = max(_MAD_TO_SIGMA * float(np.median(np.abs(used))), 1e-9 * middle)
        weights = np.clip(1.0 - (residuals / (_TUKEY * sigma)) ** 2, 0.0, None) ** 2
    if abc[2] <= 0.0:
        return None
    return FittedPlane(abc, np.asarray(sigma ** 2 * np.linalg.inv(normal_matrix), np.float64))


def _spacing(points_px: Points) -> float:
    """Return the median distance between neighbours, px, at least 0.1."""
    if len(points_px) < 2:
        return 1.0
    return max(0.1, float(np.median(np.hypot(*np.diff(points_px, axis=0).T))))
