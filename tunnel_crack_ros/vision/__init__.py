# SPDX-License-Identifier: Apache-2.0
"""The method: classify a frame, segment it, measure its cracks. No ROS, no PyTorch.

A name is imported when it is first asked for: a node that classifies starts without what measures.
"""

from importlib import import_module
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from tunnel_crack_ros.vision.classifier import CrackClassifier, Label, Verdict
    from tunnel_crack_ros.vision.frame import FrameError, RgbFrame
    from tunnel_crack_ros.vision.geometry.crack import Crack, CrackKind
    from tunnel_crack_ros.vision.geometry.measure import measure_cracks, MeasureRules
    from tunnel_crack_ros.vision.geometry.strokes import Gaps
    from tunnel_crack_ros.vision.model import Model, ModelError
    from tunnel_crack_ros.vision.model_card import ModelCard
    from tunnel_crack_ros.vision.quality import QualityGate
    from tunnel_crack_ros.vision.scale import Scale, ScaleSource
    from tunnel_crack_ros.vision.segmenter import CrackSegmenter, Segmentation

_FILES = {
    'classifier': ('CrackClassifier', 'Label', 'Verdict'),
    'frame': ('FrameError', 'RgbFrame'),
    'geometry.crack': ('Crack', 'CrackKind'),
    'geometry.measure': ('MeasureRules', 'measure_cracks'),
    'geometry.strokes': ('Gaps',),
    'model': ('Model', 'ModelError'),
    'model_card': ('ModelCard',),
    'quality': ('QualityGate',),
    'scale': ('Scale', 'ScaleSource'),
    'segmenter': ('CrackSegmenter', 'Segmentation'),
}

__all__ = [
    'Crack', 'CrackClassifier', 'CrackKind', 'CrackSegmenter', 'FrameError', 'Gaps', 'Label',
    'MeasureRules', 'Model', 'ModelCard', 'ModelError', 'QualityGate', 'RgbFrame', 'Scale',
    'ScaleSource', 'Segmentation', 'Verdict', 'measure_cracks',
]


def __getattr__(name: str) -> Any:
    for file, names in _FILES.items():
        if name in names:
            return getattr(import_module(f'{__name__}.{file}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
