# SPDX-License-Identifier: Apache-2.0
"""A weight is the same as having the item so many times: checked against plain counting."""

import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from tunnel_crack_ros.evaluation.metrics import roc_auc
from tunnel_crack_ros.evaluation.weighted_scores import (
    weighted_mean,
    weighted_recall,
    weighted_roc_auc,
)

ITEMS = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), max_size=25)


def repeated(items):
    """Return scores and labels with every item as often as it weighs."""
    return ([score for score, _, weight in items for _ in range(weight)],
            [label for _, label, weight in items for _ in range(weight)])


def columns(items):
    return (np.array([score for score, _, _ in items], float),
            np.array([label for _, label, _ in items], bool),
            np.array([[weight for _, _, weight in items]], float).reshape(1, -1))


def recall_by_trying(scores, labels, share):
    """Try every threshold, and one above all of them."""
    cracked = [score for score, label in zip(scores, labels) if label]
    clean = [score for score, label in zip(scores, labels) if not label]
    if not cracked or not clean:
        return math.nan
    return max(sum(score >= level for score in cracked) / len(cracked)
               for level in {*scores, math.inf}
               if sum(score >= level for score in clean) <= share * len(clean))


@given(ITEMS)
def test_area_under_the_curve(items):
    found, = weighted_roc_auc(*columns(items))
    assert found == pytest.approx(roc_auc(*repeated(items)), nan_ok=True)


@given(ITEMS, st.sampled_from([0.0, 0.05, 0.25, 0.5]))
def test_recall_at_a_share_of_false_alarms(items, share):
    found, = weighted_recall(*columns(items), share)
    assert found == pytest.approx(recall_by_trying(*repeated(items), share), nan_ok=True)


def test_mean_leaves_unknown_values_out():
    values = np.array([1.0, 3.0, math.nan])
    found = weighted_mean(values, np.array([[1.0, 1, 1], [3, 1, 5], [0, 0, 2]]))
    assert found == pytest.approx([2.0, 1.5, math.nan], nan_ok=True)
