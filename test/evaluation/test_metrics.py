# SPDX-License-Identifier: Apache-2.0
"""Scores against values worked out by hand."""

import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from tunnel_crack_ros.evaluation.metrics import accuracy, PixelCounts, pooled, roc_auc


def test_pixel_scores_of_a_known_overlap():
    label, found = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    label[0] = True             # 4 px of crack
    found[0, :3] = True         # 3 of them found,
    found[1, :2] = True         # 2 px marked beside it
    counts = PixelCounts.of(found, label)
    assert counts == PixelCounts(3, 2, 1)
    assert counts.precision == pytest.approx(3 / 5)
    assert counts.recall == pytest.approx(3 / 4)
    assert counts.iou == pytest.approx(3 / 6)
    assert counts.f1 == pytest.approx(6 / 9)


def test_pooled_scores_weigh_pixels_not_images():
    assert pooled([PixelCounts(1, 0, 0), PixelCounts(0, 0, 9)]).recall == pytest.approx(0.1)


def test_scores_of_nothing_are_nan_not_zero():
    nothing = PixelCounts()
    assert all(math.isnan(value) for value in (
        nothing.iou, nothing.f1, nothing.precision, nothing.recall, accuracy([], [], 0.5)))


def test_accuracy_counts_the_threshold_itself_as_crack():
    assert accuracy([0.5, 0.4, 0.9], [True, True, False], 0.5) == pytest.approx(1 / 3)


def test_roc_auc_counts_ties_half():
    assert roc_auc([0.9, 0.5, 0.5, 0.1], [True, True, False, False]) == pytest.approx(3.5 / 4)
    assert math.isnan(roc_auc([0.3, 0.4], [True, True]))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_roc_auc_is_the_share_of_pairs_in_order(samples):
    scores, labels = [score for score, _ in samples], [label for _, label in samples]
    cracked = [score for score, label in samples if label]
    clean = [score for score, label in samples if not label]
    if not cracked or not clean:
        assert math.isnan(roc_auc(scores, labels))
        return
    pairs = [(a > b) + (a == b) / 2 for a in cracked for b in clean]
    assert roc_auc(scores, labels) == pytest.approx(sum(pairs) / len(pairs))
