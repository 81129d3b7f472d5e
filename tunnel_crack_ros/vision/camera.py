# SPDX-License-Identifier: Apache-2.0
"""A calibrated camera: from pixels of a frame to rays of light, lens distortion undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
import math

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

_SAME_SHAPE = 0.01      # aspect ratios that differ by less are of one picture, reduced
_FAR_FOCAL = 100.0      # focal length over the width of a camera that stands in for an unknown one
_MODELS = {'': (0,), 'none': (0,), 'plumb_bob': (0, 4, 5), 'rational_polynomial': (0, 8, 12, 14)}
_FISHEYE = ('equidistant', 'fisheye', 'kannala_brandt')
_OFF_PX = 0.1           # a ray comes back to its pixel, or the polynomial bends back before it
_SOLVED_PX = 1e-9
_ROUNDS = 30
_WIDEST = 10.0          # tangent of the widest angle to the axis that is looked at: 84 degrees


class CameraError(ValueError):
    """A calibration cannot be used; the message says what was found and what was expected."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with lens distortion, as in sensor_msgs/CameraInfo."""

    fx: float
    """Focal length in widths of a pixel, px, > 0."""
    fy: float
    """Focal length in heights of a pixel, px, > 0."""
    cx: float
    """Column of the optical axis, px; 0 is the centre of the leftmost pixel."""
    cy: float
    """Row of the optical axis, px."""
    width: int
    """Of the pictures that the numbers belong to, px; 0: unknown."""
    height: int
    """px; 0: unknown."""
    distortion: tuple[float, ...] = ()
    """Coefficients in OpenCV's order; empty: none."""
    calibrated: bool = True
    """False: it stands in for a camera of which nothing is known."""

    @classmethod
    def from_calibration(cls, *, k: Sequence[float], d: Sequence[float] = (), model: str = '',
                         p: Sequence[float] = (), width: int = 0, height: int = 0,
                         binning: tuple[int, int] = (1, 1),
                         region: tuple[int, int, int, int] = (0, 0, 0, 0),
                         rectified: bool = False) -> Camera:
        """Make a camera from the fields of a CameraInfo, which speaks of the full sensor.

        :param k: 3 x 3 camera matrix, by rows.
        :param d: distortion coefficients; empty or all 0: none.
        :param model: distortion model, plumb_bob or rational_polynomial; a fisheye's only where
            frames come rectified.
        :param p: 3 x 4 projection matrix, by rows: holds for rectified frames.
        :param width: of the calibrated picture, px; 0: unknown.
        :param height: likewise.
        :param binning: camera pixels joined in one pixel of a frame, across and down; 0 as 1.
        :param region: left, top, width, height of the part that frames show, px; all 0: all.
        :param rectified: frames come undistorted: p holds, d does not.
        :raises CameraError: no focal length, or an unknown distortion model.
        """
        matrix = (p[0], p[5], p[2], p[6]) if rectified and len(p) == 12 and p[0] > 0.0 \
            else (k[0], k[4] or k[0], k[2], k[5])
        if not all(map(math.isfinite, matrix)) or matrix[0] <= 0.0 or matrix[1] <= 0.0:
            raise CameraError(f'camera_info: focal length {matrix[0]:g} px, expected more than 0')
        bends = () if rectified or not any(d) else tuple(map(float, d))
        fisheye = model.lower().startswith(_FISHEYE) and not rectified
        if fisheye or bends and (model not in _MODELS or len(bends) not in _MODELS[model]):
            # a fisheye's rays bend even where all its coefficients are 0
            raise CameraError(
                f"camera_info: distortion model '{model}' with {len(d)} coefficients, "
                'expected plumb_bob (4, 5) or rational_polynomial (8, 12, 14)')
        left, top, region_width, region_height = region
        right, down = max(1, binning[0]), max(1, binning[1])
        width, height = (region_width or width) // right, (region_height or height) // down
        fx, fy, cx, cy = map(float, matrix)
        return cls(fx / right, fy / down, (cx - left + 0.5) / right - 0.5,
                   (cy - top + 0.5) / down - 0.5, width, height, bends)

    @classmethod
    def unknown(cls, width: int, height: int) -> Camera:
        """Return a far camera in the middle before the frame: all of it is seen head on."""
        focal = _FAR_FOCAL * max(width, height)
        return cls(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height,
                   calibrated=False)

    def fitted_to(self, width: int, height: int) -> Camera:
        """Return this camera for frames of another size.

        :raises CameraError: they are not the same picture reduced or enlarged.
        """
        if not self.width or not self.height or (width, height) == (self.width, self.height):
            return replace(self, width=width, height=height)
        across, down = width / self.width, height / self.height
        # a pixel more or less comes of rounding
        loose = _SAME_SHAPE + 1.0 / min(width, height, self.width, self.height)
        if abs(across / down - 1.0) > loose:
            raise CameraError(f'camera_info is for {self.width} x {self.height} px, but the frame '
                              f'has {width} x {height}: no scale')
        return replace(self, fx=self.fx * across, fy=self.fy * down,
                       cx=(self.cx + 0.5) * across - 0.5, cy=(self.cy + 0.5) * down - 0.5,
                       width=width, height=height)

    def rays(self, points_px: Points) -> Points:
        """Return the rays through some pixels.

        :param points_px: N x 2, columns and rows, px.
        :return: N x 3, in the optical frame (x right, y down, z ahead), z = 1; NaN where no ray
            comes through the lens as it was calibrated.
        """
        rays = np.ones((len(points_px), 3))
        matrix = np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])
        rays[:, :2] = (points_px - matrix[:2, 2]) / (self.fx, self.fy)
        if self.distortion and len(points_px):
            rays[:, :2] = _unbent(rays[:, :2], points_px, matrix, self.distortion)
        return rays


def _unbent(bent: Points, pixels: Points, matrix: Points,
            distortion: tuple[float, ...]) -> Points:
    """Undo a lens distortion by Newton's method: OpenCV's steps miss rays far from the axis.

    Up to where its polynomial turns back a lens is told by it; what lies beyond has no ray, even
    where the polynomial comes by once more.

    :param bent: N x 2, rays with the distortion still in them.
    :param pixels: N x 2, that they belong to.
    :return: N x 2; NaN where no ray comes through the lens.
    """
    radii, bent_radii = _radii(distortion)
    away = np.hypot(*bent.T)
    found = bent * (np.interp(away, bent_radii, radii) / np.maximum(away, 1e-12))[:, None]
    off = np.full(bent.shape, np.inf)
    for _ in range(_ROUNDS):
        rays = np.column_stack([found, np.ones(len(found))])
        back, slopes = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix,
                                         np.array(distortion))
        off = pixels - back.reshape(-1, 2)
        if np.abs(off).max() < _SOLVED_PX:
            break
        (a, b), (c, d) = slopes[:, 3:5].reshape(-1, 2, 2).transpose(1, 2, 0)
        area = a * d - b * c    # 0 where the polynomial turns
        area = np.where(np.abs(area) < 1e-9, np.nan, area)
        step = np.column_stack([d * off[:, 0] - b * off[:, 1], a * off[:, 1] - c * off[:, 0]])
        step /= area[:, None]
        # a step too far leads to the polynomial's other branch
        far = np.hypot(*step.T) / (0.1 + 0.5 * np.hypot(*found.T))
        found = found + np.nan_to_num(step / np.maximum(far, 1.0)[:, None])
    lost = ~(np.abs(off).max(axis=1) < _OFF_PX) | (np.hypot(*found.T) > radii[-1] + 1e-6)
    return np.where(lost[:, None], np.nan, found)


@lru_cache(maxsize=16)
def _radii(distortion: tuple[float, ...]) -> tuple[Points, Points]:
    """Return radii of rays, 0 to where the distorted radius ceases to grow, and that radius."""
    k = np.zeros(8)
    k[:min(len(distortion), 8)] = distortion[:8]
    r = np.linspace(0.0, _WIDEST, 4001)
    r2 = r ** 2
    with np.errstate(divide='ignore', invalid='ignore'):
        bent = r * (1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))) \
            / (1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7])))
    falls = np.flatnonzero(~(np.diff(bent) > 0.0))
    grows = slice(0, int(falls[0]) + 1 if falls.size else len(r))
    return r[grows], bent[grows]
