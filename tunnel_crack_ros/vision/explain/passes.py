# SPDX-License-Identifier: Apache-2.0
"""The scalar f of masked pictures: where all of Score-CAM's time goes."""

from __future__ import annotations

from collections.abc import Sequence
import time

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.model import Model


class Passes:
    """Runs the network on pictures that fade to a baseline where a mask says so.

    f is the mean crack confidence over a region (segmenter) or the crack probability (classifier).
    """

    def __init__(self, model: Model, pixels: npt.NDArray[np.float32],
                 baseline: npt.NDArray[np.float32],
                 weights: npt.NDArray[np.float32] | None) -> None:
        """Take a picture.

        :param pixels: X, float32, H x W x 3, 0..255.
        :param baseline: X_b, float32, H x W x 3, 0..255.
        :param weights: of the region's pixels, float32, H x W, sum 1; None for a classifier.
        """
        self.model, self.weights = model, weights
        self.size = pixels.shape[0], pixels.shape[1]
        self._baseline, self._difference = baseline, pixels - baseline
        self.count = 0
        """Passes so far."""
        self.seconds = 0.0
        """What the slowest of the last batches took for a pass, s; 0 before the first."""

    def scores(self, masks: Sequence[npt.NDArray[np.float32] | float]) -> npt.NDArray[np.float64]:
        """Return f of X masked, in one batch.

        :param masks: float32, H x W, 0 (baseline) .. 1 (X); or one number for all pixels.
        :return: float64, one a mask.
        :raises ModelError: the engine failed.
        """
        results = self.answers(masks)
        if self.weights is None:
            return results[:, 1].astype(np.float64)
        return np.einsum('nhw,hw->n', results, self.weights, dtype=np.float64)

    def answers(self, masks: Sequence[npt.NDArray[np.float32] | float],
                ) -> npt.NDArray[np.float32]:
        """Return what the network says of X masked, in one batch: as `Model.run`."""
        start = time.monotonic()
        batch = np.stack([self._masked(mask) for mask in masks])
        results = self.model.run(batch)
        self.count += len(masks)
        # forgets a slow batch (the first one) in time, and believes a slow one at once
        self.seconds = max((time.monotonic() - start) / len(masks), 0.8 * self.seconds)
        return results

    def _masked(self, mask: npt.NDArray[np.float32] | float) -> npt.NDArray[np.uint8]:
        shown = mask[:, :, np.newaxis] if isinstance(mask, np.ndarray) else np.float32(mask)
        values = self._difference * shown
        values += self._baseline
        values += np.float32(0.5)  # the cast cuts off
        return np.clip(values, 0.0, 255.0, out=values).astype(np.uint8)
