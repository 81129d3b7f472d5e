# SPDX-License-Identifier: Apache-2.0
"""Where a trained segmenter sees cracks that are not there: the next run looks there more often.

Hard negative mining, as in Sung and Poggio, *Example-Based Learning for View-Based Human Face
Detection*, PAMI 1998, section 2.4. Only images without any crack are looked at: what a network
marks beside a labelled crack may be a crack that the label left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.vision.model import Model
from tunnel_crack_ros.vision.segmenter import CrackSegmenter

_FALSE_FROM = 0.3       # confidence; below a deployed threshold, since what nearly alarms counts
_MIN_AREA_PX = 10


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """A place in a crack-free image that a segmenter took for a crack."""

    image: CrackImage
    x: int              # px, the most confident pixel of the piece
    y: int
    confidence: float   # 0..1, of that pixel


def mine_false_alarms(model: str, images: Sequence[CrackImage],
                      on_image: Callable[[int, int], None] | None = None) -> list[FalseAlarm]:
    """Run a segmenter over images and list what it marks in those without crack.

    :param model: name or path of an ONNX segmenter.
    :param images: those with a crack are skipped.
    :param on_image: told images done and images in all.
    :return: one for each connected piece of confidence, in the order of the images.
    :raises ModelError: no such model, or no segmenter.
    """
    segmenter = CrackSegmenter(Model.load(model, task='segmenter'))
    clean = [image for image in images if not image.has_crack]
    found: list[FalseAlarm] = []
    for done, image in enumerate(clean, 1):
        confidence = segmenter.confidence(np.ascontiguousarray(image.read()[0]))
        marked = (confidence >= _FALSE_FROM).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(marked, connectivity=8)
        for piece in range(1, count):
            if stats[piece, cv2.CC_STAT_AREA] < _MIN_AREA_PX:
                continue
            inside = np.where(labels == piece, confidence, 0.0)
            y, x = np.unravel_index(int(inside.argmax()), inside.shape)
            found.append(FalseAlarm(image, int(x), int(y), float(inside[y, x])))
        if on_image:
            on_image(done, len(clean))
    return found
