# SPDX-License-Identifier: Apache-2.0
"""What a masked picture fades to: the input X_b that shows nothing (Wang et al., definition 2)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

BASELINES = ('black', 'mean', 'blurred')
DEFAULT = 'mean'
"""Where a mask darkens a crack, black makes it look more like one; the mean colour hides it."""


def baseline_of(pixels: npt.NDArray[np.float32], kind: str) -> npt.NDArray[np.float32]:
    """Return the baseline of a picture.

    :param pixels: float32, H x W x 3, 0..255.
    :param kind: `black`; `mean`: the picture's mean colour everywhere; `blurred`: the picture
        without its details (Gaussian of an eighth of its shorter side).
    :return: float32, H x W x 3.
    :raises ValueError: another kind.
    """
    if kind == 'black':
        return np.zeros_like(pixels)
    if kind == 'mean':
        return np.broadcast_to(pixels.mean((0, 1), dtype=np.float64).astype(np.float32),
                               pixels.shape).copy()
    if kind == 'blurred':
        sigma = min(pixels.shape[:2]) / 8.0
        return cv2.GaussianBlur(pixels, (0, 0), sigma,
                                borderType=cv2.BORDER_REFLECT).astype(np.float32, copy=False)
    raise ValueError(f"baseline is '{kind}', expected one of {', '.join(BASELINES)}")
