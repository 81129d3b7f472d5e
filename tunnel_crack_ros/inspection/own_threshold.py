# SPDX-License-Identifier: Apache-2.0
"""Stage 1's threshold for one tunnel, from frames of it that show no crack.

Where the threshold lies is what changes most from one lining to the next. Frames of a stretch
without cracks tell how loud the classifier is there, and no label has to be drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import json
import math
from pathlib import Path

import numpy as np

from tunnel_crack_ros.inspection.sources import FrameSource
from tunnel_crack_ros.vision import CrackClassifier, Label

_HEAD = '# of the model '
_STEP = 1e-4        # thresholds are written with four digits


@dataclass(frozen=True)
class Judged:
    """What the classifier said of a recording."""

    probabilities: tuple[float, ...]
    """Crack probability of each frame that could be judged, 0..1."""
    unknown: int
    """Frames too dark, bright or blurred."""
    unreadable: int

    def share_from(self, threshold: float) -> float:
        """Return the share of frames flagged at a threshold, 0..1; NaN without frames."""
        if not self.probabilities:
            return math.nan
        return float(np.mean(np.array(self.probabilities) >= threshold))


def judge(source: FrameSource, classifier: CrackClassifier,
          progress: Callable[[int, int], None] | None = None) -> Judged:
    """Classify every frame of a recording.

    :param progress: called after every frame with the frames done, and of how many.
    :raises ModelError: the engine failed.
    """
    probabilities: list[float] = []
    unknown = unreadable = 0
    for done, frame in enumerate(source, 1):
        if frame.rgb is None:
            unreadable += 1
        else:
            verdict, = classifier.classify([frame.rgb])
            if verdict.label is Label.UNKNOWN:
                unknown += 1
            else:
                probabilities.append(verdict.crack_probability)
        if progress is not None:
            progress(done, max(done, len(source)))
    return Judged(tuple(probabilities), unknown, unreadable)


def threshold_for(clean: Sequence[float], false_alarms: float) -> float:
    """Return the lowest threshold that flags few enough frames without crack.

    Split conformal prediction (Vovk, Gammerman, Shafer, *Algorithmic Learning in a Random
    World*, 2005; Angelopoulos, Bates, 2021, section 1.1): of n exchangeable frames and a new one
    the new one is above the ceil((n + 1)(1 - a))-th smallest with a chance of at most a.

    :param clean: crack probabilities of frames without crack, 0..1.
    :param false_alarms: a, the chance that another such frame is flagged, 0..1, both excluded.
    :return: threshold, 0..1, four digits.
    :raises ValueError: too few frames for so rare false alarms, or frames so surely cracked that
        no threshold leaves them out.
    """
    needed = math.ceil(1.0 / false_alarms - 1e-9) - 1
    if len(clean) < needed:
        raise ValueError(f'{len(clean)} frames without crack that can be judged, expected at '
                         f'least {needed} for {false_alarms:g} of false alarms')
    rank = math.ceil((len(clean) + 1) * (1.0 - false_alarms) - 1e-9)
    highest = sorted(clean)[rank - 1]
    threshold = round((math.floor(highest / _STEP + 1e-9) + 1) * _STEP, 4)
    if threshold >= 1.0:
        sure = sum(probability >= highest for probability in clean)
        raise ValueError(f'{sure} of {len(clean)} frames have a crack probability of '
                         f'{highest:.4f} or more: no threshold leaves enough of them out; '
                         'expected frames without crack')
    return threshold


def is_own_file(path: Path) -> bool:
    """Tell whether a file is one that `parameter_text` wrote."""
    return path.read_bytes().startswith(_HEAD.encode())


def parameter_text(threshold: float, model: str, false_alarms: float, clean: Path,
                   chosen: str = '') -> str:
    """Write a threshold as a parameter file for the classifier.

    :param model: name and hash of the model that it is for.
    :param false_alarms: what it was chosen for, 0..1.
    :param clean: the frames without crack that it was chosen on.
    :param chosen: what named the model, where one was named: the threshold says nothing for
        another; a file is made absolute, as a node may start elsewhere.
    """
    path = Path(chosen)
    named = str(path.resolve()) if path.suffix and path.exists() else chosen
    return (f'{_HEAD}{model}: flags at most {false_alarms:g} of frames like those of '
            f'{clean},\n# which show no crack\n'
            f'/**/classifier:\n  ros__parameters:\n    threshold: {threshold:.4f}\n'
            + (f'    model: {json.dumps(named)}\n' if named else ''))
