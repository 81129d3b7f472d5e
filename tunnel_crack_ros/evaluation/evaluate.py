# SPDX-License-Identifier: Apache-2.0
"""Run the method over labelled photographs and score it.

What runs here is `vision`, the code of the nodes, on the ONNX files that they load, or on a
checkpoint before it is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset
from tunnel_crack_ros.evaluation.report import EvaluationReport
from tunnel_crack_ros.evaluation.score_image import score_image
from tunnel_crack_ros.vision import CrackClassifier, CrackSegmenter, Model
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, SEGMENTER

LEFT_OUT = 'asphalt_'       # sources left out unless named: a road is no lining
CHECKPOINT = '.pt'
STAGES = ('classifier', 'segmenter')


def load_model(name: str | Path, task: str | None = None) -> Model:
    """Load a model to be scored.

    :param name: plain name of a model, path of an .onnx or .yaml file, or of a `.best.pt` that
        `train` wrote (needs PyTorch).
    :param task: `classifier` or `segmenter`, when only that will do.
    :raises ModelError: the model cannot be loaded or is for another task.
    :raises ImportError: a checkpoint, and PyTorch is not installed.
    """
    if Path(name).suffix != CHECKPOINT:
        return Model.load(name, task=task)
    try:
        from tunnel_crack_ros.training.checkpoint_model import CheckpointModel
    except ImportError as error:
        raise ImportError(f'{name} is a checkpoint, which needs PyTorch ({error}); install it by '
                          '`make setup-training`, or give an .onnx file') from error
    return CheckpointModel.load_checkpoint(Path(name), task)


def evaluate(data: Path, split: str = 'test', sources: Sequence[str] | None = None,
             classifier: str | Path | None = None, segmenter: str | Path | None = None,
             progress: Callable[[int, int], None] | None = None,
             only: str | None = None) -> EvaluationReport:
    """Score a classifier and a segmenter on labelled photographs.

    :param data: folder that `CrackDataset` reads.
    :param split: train, val or test; a folder without splits is evaluated whole.
    :param sources: names of sources; None: all but `asphalt_*`.
    :param classifier: name or path of the model, see `load_model`; None: the default one.
    :param segmenter: name or path of the model; None: the default one.
    :param progress: told images done and images in all.
    :param only: `classifier` or `segmenter`: the other stage does not run.
    :raises DatasetError: the data cannot be read, or nothing is left of it.
    :raises ModelError: a model cannot be loaded or run.
    :raises ValueError: no stage of that name.
    """
    if only is not None and only not in STAGES:
        raise ValueError(f"unknown stage '{only}'; expected one of {', '.join(STAGES)}")
    dataset = CrackDataset.read(data)
    images = dataset.select(split, sources, () if sources else (LEFT_OUT,)).images
    judge = None if only == 'segmenter' else CrackClassifier(
        load_model(classifier or CLASSIFIER, 'classifier'))
    outliner = None if only == 'classifier' else CrackSegmenter(
        load_model(segmenter or SEGMENTER, 'segmenter'))
    scores = []
    for number, image in enumerate(images, 1):
        scores.append(score_image(image, judge, outliner))
        if progress:
            progress(number, len(images))
    return EvaluationReport(
        data=str(data), split=split if dataset.has_splits else 'all',
        classifier_model=judge.model.card.identity if judge else None,
        segmenter_model=outliner.model.card.identity if outliner else None,
        threshold=judge.threshold if judge else None,
        segmenter_threshold=outliner.threshold if outliner else None, scores=tuple(scores))
