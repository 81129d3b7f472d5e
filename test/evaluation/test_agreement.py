# SPDX-License-Identifier: Apache-2.0
"""Pixels, tolerance and centre lines against values worked out by hand or by other libraries."""

from dataclasses import astuple
import math

import cv2
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from tunnel_crack_ros.evaluation.agreement import (
    Agreement,
    agreement_scores,
    centre_line_agreement,
    curve_counts,
    CURVE_THRESHOLDS,
    strict_agreement,
    tolerant_agreement,
    widened,
)
from tunnel_crack_ros.evaluation.metrics import PixelCounts

MASKS = arrays.arrays(bool, (13, 17), elements=st.booleans(), fill=st.just(False))


def scores(agreement):
    return {name: float(value) for name, value in
            agreement_scores(np.array(astuple(agreement))).items()}


def line(row, thickness=1, shape=(60, 100)):
    mask = np.zeros(shape, np.uint8)
    cv2.line(mask, (10, row), (89, row), 255, thickness)
    return mask > 0


@given(MASKS, MASKS)
def test_strict_scores_are_those_of_pixel_counts(marked, label):
    found = scores(strict_agreement(marked, label))
    counts = PixelCounts.of(marked, label)
    for name in ('precision', 'recall', 'f1', 'iou'):
        assert found[name] == pytest.approx(getattr(counts, name), nan_ok=True)


@given(MASKS)
def test_widened_is_what_the_distance_transform_says(mask):
    away = distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)
    assert (widened(mask, 2) == (away <= 2)).all()


@pytest.mark.parametrize('shift, f1', [(0, 1.0), (2, 1.0), (3, 0.0)])
def test_a_line_within_two_pixels_is_right_and_found(shift, f1):
    assert scores(tolerant_agreement(line(30 + shift), line(30)))['f1'] == pytest.approx(f1)


def test_tolerance_forgives_no_missed_half():
    half = line(30)
    half[:, 50:] = False    # 40 of 80 px; the tolerance finds 2 more
    found = scores(tolerant_agreement(half, line(30)))
    assert (found['precision'], found['recall']) == (1.0, pytest.approx(42 / 80))


def test_cldice_does_not_mind_thickness_but_gaps():
    label = line(30, 3)
    assert scores(centre_line_agreement(line(30, 9), label))['f1'] == pytest.approx(1.0, abs=0.05)
    broken = line(30, 3)
    broken[:, 30:70] = False    # 40 of 80 px of the line
    found = scores(centre_line_agreement(broken, label))
    assert found['precision'] == 1.0
    assert found['f1'] == pytest.approx(2 / 3, abs=0.04)      # recall one half


def test_a_crack_on_which_nothing_is_marked_scores_zero_without_precision():
    found = scores(Agreement(0, 0, 0, 7))
    assert math.isnan(found.pop('precision'))
    assert found == {'recall': 0.0, 'f1': 0.0, 'iou': 0.0}


def test_curve_counts_as_cutting_at_each_threshold_does():
    rng = np.random.default_rng(8)
    confidence = cv2.GaussianBlur(rng.random((50, 70), np.float32), (0, 0), 2)
    confidence = (confidence - confidence.min()) / np.ptp(confidence)
    label = line(25, 3, (50, 70))
    counts = curve_counts(confidence, label)
    for at, threshold in enumerate(CURVE_THRESHOLDS):
        marked = confidence >= threshold
        strict, tolerant = strict_agreement(marked, label), tolerant_agreement(marked, label)
        assert counts[:, at].tolist() == [
            strict.marked, strict.right, tolerant.right, tolerant.found]
