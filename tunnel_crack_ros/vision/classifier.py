# SPDX-License-Identifier: Apache-2.0
"""Stage 1: is the lining in this frame cracked?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
import math

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.model import Model, ModelError
from tunnel_crack_ros.vision.quality import QualityGate
from tunnel_crack_ros.vision.resize import resized

_LONGEST = 2.5      # sides of a frame that is judged as it is, long to short
_WINDOW = 1.5       # and of a window of a longer one,
_MOST = 32          # of which there are at most so many,
_AT_ONCE = 8        # and as many in one run of the network


class Label(IntEnum):
    """The three words of stage 1; numbers as in tunnel_crack_msgs/FrameVerdict."""

    NO_CRACK = 0
    CRACK = 1
    UNKNOWN = 2


@dataclass(frozen=True)
class Verdict:
    """Stage 1's word on one frame."""

    label: Label
    crack_probability: float
    """0..1; NaN when UNKNOWN."""
    threshold: float
    """Crack probability from which on the label is CRACK, 0..1."""
    reason: str = ''
    """Why UNKNOWN, e.g. `too dark (mean 7 < 20)`; '' otherwise."""


class CrackClassifier:
    """Decide whether frames show a crack (stage 1; Feng et al., section 2.2)."""

    def __init__(self, model: Model, gate: QualityGate | None = None,
                 threshold: float | None = None) -> None:
        """Make a classifier.

        :param model: a loaded classifier.
        :param gate: refuses frames that cannot be judged; None: every frame is judged.
        :param threshold: crack probability that flags a frame, 0..1; None: the model card's.
        :raises ModelError: the model is no classifier.
        """
        if model.card.task != 'classifier':
            raise ModelError(f'{model.card.name} is a {model.card.task}, expected a classifier')
        self.model = model
        self.threshold = model.card.threshold if threshold is None else threshold
        self._gate = gate

    def classify(self, frames: Sequence[RgbFrame]) -> list[Verdict]:
        """Classify frames in one batch.

        :param frames: uint8, H x W x 3, RGB, any size; reduced here to the model's input, aspect
            not kept. One that is longer than 2.5 times its shorter side, a line scan for example,
            is judged in windows: its crack probability is that of the likeliest.
        :return: one verdict a frame, in order.
        :raises ModelError: the engine failed; the frames are untouched and may be tried again.
        """
        reasons = [self._gate.reason_to_refuse(f) if self._gate else '' for f in frames]
        clear = [frame for frame, reason in zip(frames, reasons) if not reason]
        probabilities = iter(self._crack_probabilities(clear))
        return [Verdict(Label.UNKNOWN, math.nan, self.threshold, reason) if reason
                else self._verdict(next(probabilities)) for reason in reasons]

    def _crack_probabilities(self, frames: Sequence[RgbFrame]) -> list[float]:
        if not frames:
            return []
        windows = [windows_of(frame) for frame in frames]
        flat = [window for own in windows for window in own]
        most = max(len(frames), _AT_ONCE)
        probabilities = np.concatenate([
            self._run(flat[i:i + most]) for i in range(0, len(flat), most)])
        firsts = np.cumsum([0, *map(len, windows[:-1])])
        return [float(p) for p in np.maximum.reduceat(probabilities, firsts)]

    def _run(self, pictures: Sequence[RgbFrame]) -> npt.NDArray[np.float32]:
        batch = np.stack([resized(picture, self.model.card.input_size) for picture in pictures])
        return self.model.run(batch)[:, 1]

    def _verdict(self, probability: float) -> Verdict:
        label = Label.CRACK if probability >= self.threshold else Label.NO_CRACK
        return Verdict(label, probability, self.threshold)


def windows_of(frame: RgbFrame) -> list[RgbFrame]:
    """Cut a frame that is too long to be squeezed to a square; others are their one window.

    Squeezed, a line scan's cracks across its length would be too thin to be seen.

    :param frame: H x W x 3.
    :return: views of the frame that cover it, of equal size and spacing, lengthwise.
    """
    height, width = frame.shape[:2]
    short, long = sorted((height, width))
    if long <= _LONGEST * short:
        return [frame]
    size = max(round(_WINDOW * short), math.ceil(long / _MOST))
    starts = np.linspace(0, long - size, math.ceil(long / size)).round().astype(int)
    return [frame[:, at:at + size] if width > height else frame[at:at + size] for at in starts]
