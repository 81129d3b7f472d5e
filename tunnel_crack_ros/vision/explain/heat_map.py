# SPDX-License-Identifier: Apache-2.0
"""What Score-CAM gives: maps, and the picture that shows one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.frame import RgbFrame


@dataclass(frozen=True)
class HeatMap:
    """Which parts of a frame made one layer support the answer."""

    layer: str
    """Plain name of the layer."""
    values: npt.NDArray[np.float32]
    """As large as the frame, 0..1; all 0 when nothing there supports the answer."""
    weights: npt.NDArray[np.float64]
    """C of every channel: by how much f with the channel's mask exceeds f of the baseline."""
    channels: int
    """Channels that are not constant: what the exact map takes one pass each for."""
    scored: int
    """Of those, channels that had a pass of their own."""
    passes: int
    """Passes of the network made for this layer; those that all layers share count for the
    first. The exact map takes as many as there are channels."""
    fidelity: float
    """Estimated rank correlation with the exact map, -1..1; 1 when exact; NaN when unknown."""


@dataclass(frozen=True)
class Explanation:
    """Score-CAM of one frame."""

    heat_maps: list[HeatMap]
    """One a layer, in the order asked for."""
    score: float
    """f of the frame itself, 0..1."""
    baseline_score: float
    """f of the baseline, 0..1."""
    passes: int
    """Passes of the network in all, the one that gives the layers and the baseline's included."""
    elapsed_s: float
    first_map_s: float
    """Until every layer had a first map."""
    complete: bool
    """False: the deadline came, or somebody stopped it, before all that was wanted was done."""


def coloured(values: npt.NDArray[np.float32]) -> RgbFrame:
    """Return a heat map in colours, blue for 0 and red for 1.

    :param values: float32, H x W, 0..1.
    :return: uint8, H x W x 3, RGB.
    """
    levels = np.round(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_JET)[:, :, ::-1].astype(np.uint8)


def draw_heat_map(frame: RgbFrame, values: npt.NDArray[np.float32],
                  opacity: float = 0.5) -> RgbFrame:
    """Lay a heat map over its frame.

    :param frame: uint8, H x W x 3, RGB.
    :param values: float32, H x W, 0..1.
    :param opacity: 0: only the frame; 1: only the map.
    :return: uint8, H x W x 3, RGB.
    """
    colours = np.ascontiguousarray(coloured(values))
    return cv2.addWeighted(np.ascontiguousarray(frame), 1.0 - opacity, colours, opacity,
                           0.0).astype(np.uint8, copy=False)
