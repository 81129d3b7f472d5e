# SPDX-License-Identifier: Apache-2.0
"""Curves of a training for TensorBoard: loss, learning rate, validation."""

from __future__ import annotations

import math
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from tunnel_crack_ros.training.validation import Validation


class TensorBoardCurves:
    """Writes the curves of one run; every number stands at the optimiser's step it belongs to."""

    def __init__(self, folder: Path, steps_done: int) -> None:
        """Begin or go on.

        :param folder: of this run's event files; made when missing.
        :param steps_done: 0 for a new run. TensorBoard then drops what the folder holds of later
            steps: those of an earlier run, or of the epoch in which this one was stopped.
        """
        self._writer = SummaryWriter(  # type: ignore[no-untyped-call]
            str(folder), purge_step=steps_done + 1)

    def step(self, number: int, loss: float, learning_rate: float) -> None:
        """Note a step.

        :param number: from 1, over all epochs.
        """
        self._add('loss/step', loss, number)
        self._add('learning_rate', learning_rate, number)

    def epoch(self, steps_done: int, loss: float, validation: Validation | None) -> None:
        """Note an epoch.

        :param steps_done: over all epochs.
        :param loss: mean of the epoch.
        :param validation: None when this epoch was not validated.
        """
        self._add('loss/epoch', loss, steps_done)
        if validation is not None:
            self._add('validation/score', validation.score, steps_done)
            self._add('validation/threshold', validation.threshold, steps_done)
            for metric in validation.metrics:
                self._add(f'{metric.name}/{metric.data}', metric.value, steps_done)
        self._writer.flush()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()  # type: ignore[no-untyped-call]

    def _add(self, name: str, value: float, step: int) -> None:
        if not math.isnan(value):       # a metric that the validation data cannot give
            self._writer.add_scalar(name, value, step)  # type: ignore[no-untyped-call]
