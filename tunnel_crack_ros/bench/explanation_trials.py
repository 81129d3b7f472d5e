# SPDX-License-Identifier: Apache-2.0
"""What `bench faithfulness` tries and draws: pictures, kinds of maps, curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.bench.explain import Library
from tunnel_crack_ros.evaluation.canvas import Picture, stacked
from tunnel_crack_ros.evaluation.chart import legend, line_chart
from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset, DatasetError
from tunnel_crack_ros.evaluation.faithfulness import (
    FaithfulnessReport,
    Method,
    random_maps,
    score_cam,
    SHARES,
)
from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.score_cam import METHODS, ScoreCam

MAPS = (*METHODS, 'random', 'grad-cam')


def cracked_pictures(data: Path, split: str, sources: Sequence[str] | None, count: int,
                     ) -> list[tuple[str, RgbFrame, npt.NDArray[np.bool_]]]:
    """Return some cracked pictures, evenly from all there are: name, frame, label.

    :param sources: None: all but asphalt; empty: all.
    :raises DatasetError: none is there.
    """
    chosen = CrackDataset.read(data).select(split, sources or None,
                                            ('asphalt_',) if sources is None else ())
    cracked = [image for image in chosen.images if image.has_crack]
    if not cracked:
        raise DatasetError(f'{data}: no image with a crack in split {split}')
    pictures = []
    for place in np.linspace(0, len(cracked) - 1, min(count, len(cracked))).astype(int):
        frame, label = cracked[place].read()
        pictures.append((f'{cracked[place].source}/{cracked[place].stem}',
                         np.ascontiguousarray(frame), label))
    return pictures


def around_crack(frame: RgbFrame, label: npt.NDArray[np.bool_], side: int) -> RgbFrame:
    """Cut a square out of a picture, around the crack pixel nearest to the crack's middle.

    :param label: bool, H x W, some of it True.
    :param side: px; a shorter side of the picture is kept whole.
    """
    points = np.argwhere(label)
    middle = points[np.abs(points - np.median(points, axis=0)).sum(axis=1).argmin()]
    top, left = (min(max(int(at) - side // 2, 0), max(length - side, 0))
                 for at, length in zip(middle, label.shape))
    return np.ascontiguousarray(frame[top:top + side, left:left + side])


def methods_of(names: str, cam: ScoreCam, model: str) -> dict[str, Method]:
    """Return what makes each kind of map.

    :param names: of `MAPS`, with commas between.
    :param model: name or file of the model behind `cam`.
    :raises ValueError: another name.
    :raises ImportError: grad-cam without PyTorch.
    """
    found: dict[str, Method] = {}
    for name in (part.strip() for part in names.split(',') if part.strip()):
        if name in METHODS:
            found[name] = score_cam(cam, name)
        elif name == 'random':
            found[name] = random_maps(cam)
        elif name == 'grad-cam':
            try:
                from tunnel_crack_ros.training.grad_cam import grad_cam
            except ImportError as error:
                raise ImportError(f'grad-cam needs PyTorch and onnx2torch (make setup-training): '
                                  f'{error}') from None
            found[name] = grad_cam(cam, model)
        else:
            raise ValueError(f"map '{name}' is unknown, expected some of {', '.join(MAPS)}")
    if not found:
        raise ValueError(f"no kind of map was named, expected some of {', '.join(MAPS)}")
    return found


def library_of(model: str) -> tuple[Library | None, str]:
    """Return the grad-cam package's Score-CAM of a model; or None, and what is missing.

    :param model: name or file of a segmenter.
    """
    try:
        from tunnel_crack_ros.training.score_cam_library import library_seconds
    except ImportError as error:
        return None, f'needs PyTorch, onnx2torch and grad-cam (make setup-training): {error}'
    return lambda cam, frame, layer: library_seconds(cam, model, frame, layer), ''


def draw_curves(report: FaithfulnessReport) -> Picture:
    """Draw the mean insertion and deletion curves of every layer, one chart below the other."""
    charts = []
    for layer in dict.fromkeys(layer for layer, _ in report.kinds()):
        methods = [method for of, method in report.kinds() if of == layer]
        for what, text in (('insertion', 'of the most important pixels shown, share'),
                           ('deletion', 'of the most important pixels blurred, share')):
            lines = {method: list(zip(SHARES, report.curves(layer, method)[what]))
                     for method in methods}
            charts += [line_chart(lines, f'{layer}: f over f(X)', text, x_range=(0.0, 1.0)),
                       legend(methods, 560)]
    return stacked(charts)
