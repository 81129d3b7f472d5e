# SPDX-License-Identifier: Apache-2.0
"""Frames too dark, too bright or too blurred to judge are told from those that can be."""

import cv2
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from tunnel_crack_ros.vision import QualityGate
from tunnel_crack_ros.vision.quality import blur_effect


@pytest.fixture(scope='module')
def sharp() -> np.ndarray:
    """Return a picture with edges of all directions, in mid grey."""
    frame = np.full((240, 320, 3), 120, np.uint8)
    random = np.random.default_rng(3)
    for _ in range(60):
        centre = tuple(int(v) for v in random.integers(0, 320, 2))
        cv2.circle(frame, centre, int(random.integers(4, 25)),
                   [int(random.integers(60, 190))] * 3, -1)
    return frame


def test_a_sharp_frame_is_judged(sharp):
    assert QualityGate().reason_to_refuse(sharp) == ''


@pytest.mark.parametrize(('make', 'reason'), [
    (lambda f: f // 12, r'too dark (mean 10 < 20)'),
    (lambda f: np.full_like(f, 240), r'too bright (mean 240 > 235)'),
    (lambda f: np.where(np.arange(320)[:, None] < 230, 255, f).astype(np.uint8),
     'too bright (72% saturated > 60%)'),
    (lambda f: cv2.GaussianBlur(f, (0, 0), 6), 'too blurred (blur effect 0.'),
    (lambda f: cv2.blur(f, (25, 1)), 'too blurred (blur effect 0.'),
    (lambda f: np.full_like(f, 120), 'too blurred (blur effect 1.00'),
])
def test_a_frame_that_cannot_be_judged_is_refused_with_value_and_limit(sharp, make, reason):
    assert QualityGate().reason_to_refuse(make(sharp)).startswith(reason)


def test_sensor_noise_does_not_make_a_blurred_frame_sharp(sharp):
    blurred = cv2.GaussianBlur(sharp, (0, 0), 8).astype(float)
    noisy = blurred + np.random.default_rng(0).normal(0, 2, blurred.shape)
    assert 'too blurred' in QualityGate().reason_to_refuse(noisy.clip(0, 255).astype(np.uint8))


def test_limits_are_the_users(sharp):
    assert QualityGate(min_brightness=150).reason_to_refuse(sharp).startswith('too dark')
    assert QualityGate(max_blur=0.05).reason_to_refuse(sharp).startswith('too blurred')


def test_a_blurrier_picture_has_the_greater_blur_effect(sharp):
    grey = cv2.cvtColor(sharp, cv2.COLOR_RGB2GRAY)
    effects = [blur_effect(cv2.GaussianBlur(grey, (0, 0), s)) for s in (0.3, 0.6, 1, 2)]
    # (above 0.8, far over any sensible limit, grey values of 8 bits leave nothing to rank)
    assert effects == sorted(effects)


@given(st.integers(1, 70), st.integers(1, 1200), st.integers(0, 255))
def test_frames_of_any_size_are_judged(height, width, grey):
    reason = QualityGate().reason_to_refuse(np.full((height, width, 3), grey, np.uint8))
    assert reason.startswith('too ')     # a picture without structure is never clear
