# SPDX-License-Identifier: Apache-2.0
"""The scalar f of masked pictures: where all of Score-CAM's time goes."""

from __future__ import annotations

from collections.abc import Sequence

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

    def scores(self, masks: Sequence[npt.NDArray[np.float32] | float]) -> npt.NDArray[np.float64]:
        """Return f of X masked, in one batch.

        :param masks: float32, H x W, 0 (baseline) .. 1 (X); or one number for all pixels.
        :return: float64, one a mask.
        :raises ModelError: the engine failed.
        """
        return np.array([self.score_of(answer) for answer in self.answers(masks)])

    def score_of(self, answer: npt.NDArray[np.float32]) -> float:
        """Return f of one answer: H x W of a segmenter, 2 of a classifier."""
        if self.weights is None:
            return float(answer[1])
        return float(np.vdot(answer.astype(np.float64), self.weights))

    def answers(self, masks: Sequence[npt.NDArray[np.float32] | float],
                ) -> npt.NDArray[np.float32]:
        """Return what the network says of X masked, in one batch: as `Model.run`."""
        batch = np.stack([self._masked(mask) for mask in masks])
        results = self.model.run(batch)
        self.count += len(masks)
        return results

    def _masked(self, mask: npt.NDArray[np.float32] | float) -> npt.NDArray[np.uint8]:
        shown = mask[:, :, np.newaxis] if isinstance(mask, np.ndarray) else np.float32(mask)
        values = self._difference * shown
        values += self._baseline
        values += np.float32(0.5)  # the cast cuts off
        return np.clip(values, 0.0, 255.0, out=values).astype(np.uint8)
