# SPDX-License-Identifier: Apache-2.0
"""Length and width from a predicted mask against the same from the label, on photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.bench.chain import median, median_size, Segment
from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.vision.geometry.crack import Crack
from tunnel_crack_ros.vision.geometry.measure import measure_cracks
from tunnel_crack_ros.vision.segmenter import Segmentation

_SHORTEST_PX = 20.0     # a label with less crack than this says nothing about lengths


@dataclass
class SourceErrors:
    """Errors of one source's photographs, as shares of what the label gives."""

    images: int = 0
    """Photographs with at least 20 px of labelled crack."""
    empty: int = 0
    """Those of them in which nothing was predicted: they have no errors."""
    length: list[float] = field(default_factory=list)
    width: list[float] = field(default_factory=list)

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values: medians of sizes and of the signed errors."""
        return {'images': self.images, 'nothing_found': self.empty,
                'length_error_median': median_size(self.length),
                'length_bias_median': median(self.length),
                'mean_width_error_median': median_size(self.width),
                'mean_width_bias_median': median(self.width)}


def measure_against_labels(segment: Segment, images: Sequence[CrackImage],
                           progress: Callable[[int, int], None] | None = None,
                           ) -> dict[str, SourceErrors]:
    """Measure every cracked photograph twice, from the prediction and from the label.

    A photograph's length is that of all its cracks, branches included; its width their mean,
    weighted by length. Labels are binary, so their widths are good to a fraction of a pixel at
    best, and only where they were drawn as wide as the crack is.

    :param segment: frame -> segmentation of its size.
    :param images: photographs with masks; those without crack are passed over.
    :param progress: told photographs done and in all.
    :return: name of the source -> its errors, sorted.
    :raises DatasetError: a photograph cannot be read.
    """
    errors: dict[str, SourceErrors] = {}
    for done, image in enumerate(images, 1):
        if image.has_crack:
            picture, label = image.read()
            true_length, true_width = _size(measure_cracks(as_segmentation(label)))
            if true_length >= _SHORTEST_PX:
                own = errors.setdefault(image.source, SourceErrors())
                own.images += 1
                length, width = _size(measure_cracks(segment(np.ascontiguousarray(picture))))
                if length == 0.0:
                    own.empty += 1
                else:
                    own.length.append(length / true_length - 1.0)
                    own.width.append(width / true_width - 1.0)
        if progress:
            progress(done, len(images))
    return dict(sorted(errors.items()))


def as_segmentation(label: npt.NDArray[np.bool_]) -> Segmentation:
    """Take a label, bool H x W, for a segmentation that is sure of every pixel."""
    return Segmentation(label.astype(np.float32), label.astype(np.uint8) * np.uint8(255), 0.5)


def _size(cracks: list[Crack]) -> tuple[float, float]:
    """Return length in all and mean width, px; 0, 0 without cracks."""
    length = sum(crack.length_px for crack in cracks)
    if length == 0.0:
        return 0.0, 0.0
    return length, sum(crack.length_px * crack.width_mean_px for crack in cracks) / length
