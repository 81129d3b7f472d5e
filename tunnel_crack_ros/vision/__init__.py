# SPDX-License-Identifier: Apache-2.0
"""The method: classify a frame, segment it, measure its cracks. No ROS, no PyTorch."""

from tunnel_crack_ros.vision.classifier import CrackClassifier, Label, Verdict
from tunnel_crack_ros.vision.frame import FrameError, RgbFrame
from tunnel_crack_ros.vision.geometry import (
    Crack,
    CrackKind,
    Gaps,
    measure_cracks,
    MeasureRules,
)
from tunnel_crack_ros.vision.model import Model, ModelError
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.quality import QualityGate
from tunnel_crack_ros.vision.scale import Scale, ScaleSource
from tunnel_crack_ros.vision.segmenter import CrackSegmenter, Segmentation

__all__ = [
    'Crack', 'CrackClassifier', 'CrackKind', 'CrackSegmenter', 'FrameError', 'Gaps', 'Label',
    'MeasureRules', 'Model', 'ModelCard', 'ModelError', 'QualityGate', 'RgbFrame', 'Scale',
    'ScaleSource', 'Segmentation', 'Verdict', 'measure_cracks',
]
