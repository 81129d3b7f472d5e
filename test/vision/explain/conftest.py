# SPDX-License-Identifier: Apache-2.0
"""The network that the tests of explanations look into, and a frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from two_layer_network import write_network

from tunnel_crack_ros.vision import Model


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('networks')


@pytest.fixture(scope='module')
def segmenter(folder) -> Model:
    return Model.load(write_network(folder), with_taps=True)


@pytest.fixture(scope='module')
def frame() -> np.ndarray:
    """Return 64 x 96 px of smooth colours with a dark line."""
    noise = np.random.default_rng(2).uniform(60, 220, (8, 12, 3)).astype(np.float32)
    frame = cv2.resize(noise, (96, 64), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    cv2.line(frame, (5, 10), (80, 55), (15, 15, 15), 3)
    return frame.astype(np.uint8)
