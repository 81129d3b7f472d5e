# SPDX-License-Identifier: Apache-2.0
"""A frame being painted: reflectance of the lining and what hides it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tunnel_crack_ros.simulation.lining import Lining
from tunnel_crack_ros.simulation.noise import lattice_noise
from tunnel_crack_ros.simulation.seeds import seed_for
from tunnel_crack_ros.simulation.view import Bounds, Plane, View


@dataclass
class Canvas:
    """One frame's reflectance; painters change it in place.

    :param lining: the tunnel.
    :param view: the place.
    :param rgb: 3 x height x width float32, linear reflectance of R, G, B.
    :param hidden: height x width float32, 0..1, how far the lining itself is out of sight.
    """

    lining: Lining
    view: View
    rgb: Plane
    hidden: Plane

    @classmethod
    def of(cls, lining: Lining, view: View, rgb: Plane) -> Canvas:
        """Begin a frame with the bare concrete, 3 x height x width."""
        return cls(lining, view, rgb, np.zeros(rgb.shape[1:], np.float32))

    def window(self, part: Bounds) -> Canvas | None:
        """Return the canvas of a part of the lining only; painting there paints here.

        :param part: what is needed, mm; the window may show a little more.
        :return: None when the frame shows nothing of it.
        """
        corners = self.view.to_px(np.array([
            [x, s] for x in (part.x_min, part.x_max) for s in (part.s_min, part.s_max)]))
        size = (self.view.width, self.view.height)
        left, top = (int(v) for v in np.clip(np.floor(corners.min(axis=0)), 0, size))
        right, bottom = (int(v) for v in np.clip(np.ceil(corners.max(axis=0)) + 1, 0, size))
        if left >= right or top >= bottom:
            return None
        return Canvas(
            self.lining, self.view.cropped(left, top, right, bottom),
            self.rgb[:, top:bottom, left:right], self.hidden[top:bottom, left:right])

    @property
    def down(self) -> int:
        """Return which way water runs: +1 towards growing arc, -1 the other way."""
        return self.view.down

    def noise(self, what: str, cell_mm: float, stretch: float = 1.0) -> Plane:
        """Sample this tunnel's noise ``what`` (see ``lattice_noise``)."""
        return lattice_noise(self.view, seed_for(self.lining.seed, what), cell_mm, stretch)

    def from_x(self, x: float) -> Plane:
        """Return every pixel's distance from a chainage, mm, height x width."""
        return self.view.x_grid - np.float32(x - self.view.x)

    def from_s(self, s: float) -> Plane:
        """Return every pixel's distance from an arc, mm, height x width."""
        return self.view.s_grid - np.float32(s - self.view.s)

    def shade(self, factor: Plane) -> None:
        """Multiply the reflectance by height x width ``factor``."""
        self.rgb *= factor

    def paint(self, alpha: Plane, colour: tuple[float, float, float], texture: float = 1.0,
              hides: float = 0.0) -> None:
        """Lay a colour over the lining.

        :param alpha: height x width, 0..1.
        :param colour: linear R, G, B.
        :param texture: 0..1, how far the concrete's own light and dark stay visible in it.
        :param hides: 0..1, how far full alpha hides cracks below.
        """
        alpha = np.clip(alpha, 0, 1)
        tone = (1 - texture) + texture * np.clip(self.rgb[1] / self.lining.albedo, 0.2, 2.0)
        for plane, value in zip(self.rgb, colour):
            plane += alpha * (value * tone - plane)
        if hides:
            self.hide(hides * alpha)

    def hide(self, alpha: Plane) -> None:
        """Note that something in front of the lining covers it by ``alpha``, 0..1."""
        np.maximum(self.hidden, alpha, out=self.hidden)

    def patch(self, corners_mm: NDArray[np.float64], softness_px: float = 0.6) -> Plane:
        """Return the cover, 0..1, of a polygon of lining points (N x 2, mm)."""
        pixels = np.round(self.view.to_px(corners_mm) * 16).astype(np.int32)
        cover = np.zeros(self.hidden.shape, np.float32)
        cv2.fillPoly(cover, [pixels], 1.0, cv2.LINE_8, 4)
        return cv2.GaussianBlur(cover, (0, 0), softness_px)

    def step(self, distance_mm: Plane) -> Plane:
        """Return the cover, 0..1, of the side where ``distance_mm`` is positive."""
        return np.clip(distance_mm / self.view.mm_per_px + 0.5, 0, 1)
