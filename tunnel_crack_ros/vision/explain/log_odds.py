# SPDX-License-Identifier: Apache-2.0
"""The scale on which networks answer: near 0 and near 1 differences count as in between."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LEAST = 1e-5   # probability below which all are alike, and as much below 1


def log_odds(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ln((p + e) / (1 - p + e)), e = 1e-5, so that 0 and 1 have finite ones.

    :param probabilities: 0..1; what lies outside counts as the end it is nearest to.
    """
    inside = np.clip(probabilities, 0.0, 1.0)
    found: npt.NDArray[np.float64] = np.log((inside + _LEAST) / (1.0 - inside + _LEAST))
    return found


def from_log_odds(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the probabilities, 0..1, that have these log-odds."""
    odds = np.exp(np.clip(values, -40.0, 40.0))
    found: npt.NDArray[np.float64] = np.clip(
        (odds * (1.0 + _LEAST) - _LEAST) / (1.0 + odds), 0.0, 1.0)
    return found


def slope_at(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return by how much a probability changes for a change of 1 in its log-odds."""
    return probabilities * (1.0 - probabilities) + _LEAST
