# SPDX-License-Identifier: Apache-2.0
"""Score a network on validation data and choose its threshold there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.evaluation.metrics import accuracy, PixelCounts, roc_auc
from tunnel_crack_ros.training.augment import Mask, Picture
from tunnel_crack_ros.training.labels import OTHER_SURFACES, THICK_SOURCES
from tunnel_crack_ros.training.models import Normalise
from tunnel_crack_ros.training.precision import autocast
from tunnel_crack_ros.training.samples import fit, random_window
from tunnel_crack_ros.vision.segmenter import at_size_of, piece_peaks, reduced

# Operating points looked at: confidence of a crack pixel, and the one a piece must reach.
THRESHOLDS = tuple(round(0.2 + 0.05 * step, 2) for step in range(13))
PEAKS = (0.0, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99)
_AS_GOOD = 0.005     # balanced accuracy
_MIN_AREA_PX = 30           # as the segmenter's own default
_FALSE_CRACK_PX = 50        # a clean image with more marked pixels than this is a false alarm
_ALARMS_ALLOWED = 0.05      # share of clean images; more costs as much F1 as it exceeds this


@dataclass(frozen=True, slots=True)
class Metric:
    """One number on validation data, as it stands on the model card."""

    name: str
    value: float
    data: str
    split: str
    images: int


@dataclass(frozen=True, slots=True)
class Validation:
    """What validation says about a network."""

    score: float                    # what the best epoch is chosen by; higher is better
    threshold: float                # the one that the metrics hold at
    metrics: tuple[Metric, ...]
    peak: float = 0.0               # segmenters: confidence that a piece must reach

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Validation:
        """Read what `to_dict` gave."""
        return cls(values['score'], values['threshold'],
                   tuple(Metric(**metric) for metric in values['metrics']),
                   values.get('peak', 0.0))


def check_images(images: Sequence[CrackImage], task: str) -> None:
    """Read what is going to validate once, so that a fault is told before the first epoch.

    :param task: `classifier` or `segmenter`.
    :raises DatasetError: a file cannot be decoded, or a mask has not its image's size.
    :raises ValueError: no image, or, for a segmenter, none with crack.
    """
    if not images:
        raise ValueError('no image validates: none is in the split val, or all have weight 0')
    if task == 'segmenter':
        _need_crack(images)
    for image in images:
        image.read()


def validate_classifier(network: nn.Module, images: Sequence[CrackImage],
                        size: tuple[int, int], device: torch.device,
                        at: Validation | None = None) -> Validation:
    """Score frames, and crack-free crops of the cracked ones.

    Frames without crack come from few places; the crops show whether the network sees the crack
    or only recognises its surroundings. The threshold is the one of best balanced accuracy over
    frames and crops; the score is the mean of both areas under the curve.

    :param network: logits, N x 2.
    :param images: validation frames of both labels.
    :param size: width and height of the input, px.
    :param at: whose threshold to take instead of the best.
    """
    frames = _probabilities(network, (fit(*image.read(), size)[0] for image in images), device)
    crops = _probabilities(
        network, (fit(*crop, size)[0] for crop in _clean_crops(images)), device)
    labels = [image.has_crack for image in images]
    of_crops = [probability for probability, label in zip(frames, labels) if label]
    everything = frames + crops
    every_label = labels + [False] * len(crops)
    threshold = (best_balanced_threshold(everything, every_label) if at is None else
                 at.threshold)
    auc_frames = roc_auc(frames, labels)
    auc_crops = roc_auc(of_crops + crops, [True] * len(of_crops) + [False] * len(crops))
    metrics = [
        ('accuracy', accuracy(frames, labels, threshold), 'frames', len(frames)),
        ('roc_auc', auc_frames, 'frames', len(frames)),
        ('accuracy', accuracy(crops, [False] * len(crops), threshold),
         'crack-free crops of cracked frames', len(crops)),
        ('roc_auc', auc_crops, 'cracked frames against their crack-free crops',
         len(of_crops) + len(crops)),
    ]
    for name, chosen in _by_kind(images).items():
        metrics.append((
            'accuracy', accuracy([frames[i] for i in chosen], [labels[i] for i in chosen],
                                 threshold), f'{name} frames', len(chosen)))
    areas = [area for area in (auc_frames, auc_crops) if not math.isnan(area)]
    return Validation(
        sum(areas) / len(areas) if areas else 0.0, threshold,
        tuple(Metric(name, value, data, 'val', count) for name, value, data, count in metrics))


def validate_segmenter(network: nn.Module, images: Sequence[CrackImage],
                       device: torch.device, at: Validation | None = None) -> Validation:
    """Score whole images at their own size, their masks cleaned as the segmenter does.

    :param network: logits, N x 1 x H x W.
    :param images: validation images; those without crack count as false alarms when more than
        50 px are marked.
    :param at: whose threshold and peak to take instead of the best; the nearest of THRESHOLDS and
        PEAKS are meant.
    :return: the threshold and peak with the best F1 less what false alarms exceed 5 %; that
        difference is the score. F1 is pooled over the pixels of each source, and the mean of the
        sources of concrete with careful labels is taken (of all where there are none); false
        alarms are the mean of the sources, too.
    :raises ValueError: no image with crack.
    """
    _need_crack(images)
    counts: dict[str, npt.NDArray[np.int64]] = {}     # source: (tp, fp, fn) x thresholds x peaks
    alarms: dict[str, list[npt.NDArray[np.bool_]]] = {}
    for image in images:
        picture, mask = image.read()
        found = mask_counts(segment_image(network, picture, device), mask)
        if image.has_crack:
            counts[image.source] = counts.get(image.source, np.zeros_like(found)) + found
        else:
            alarms.setdefault(image.source, []).append(found[1] > _FALSE_CRACK_PX)
    careful = [source for source in counts if source not in THICK_SOURCES | OTHER_SURFACES]
    f1 = np.mean([_f1(counts[source]) for source in careful or counts], axis=0)
    shares = {source: np.mean(each, axis=0) for source, each in alarms.items()}
    worth = f1 - (np.maximum(np.mean(list(shares.values()), axis=0) - _ALARMS_ALLOWED, 0.0)
                  if shares else 0.0)
    best = divmod(int(np.argmax(worth)), len(PEAKS))
    if at is not None:
        best = (_nearest(THRESHOLDS, at.threshold), _nearest(PEAKS, at.peak))
    at_best = np.sum([found[:, best[0], best[1]] for found in counts.values()], axis=0)
    total = PixelCounts(*(int(value) for value in at_best))
    cracked = sum(image.has_crack for image in images)
    metrics = [Metric(name, getattr(total, name), 'images with crack, pixels pooled', 'val',
                      cracked) for name in ('iou', 'f1', 'precision', 'recall')]
    for source, found in sorted(counts.items()):
        number = sum(image.has_crack and image.source == source for image in images)
        metrics.append(Metric('f1', float(_f1(found)[best]), source, 'val', number))
    for source, share in sorted(shares.items()):
        metrics.append(Metric(
            'false_alarms', float(share[best]),
            f'{source}, images without crack, more than {_FALSE_CRACK_PX} px marked', 'val',
            len(alarms[source])))
    return Validation(float(worth[best]), THRESHOLDS[best[0]], tuple(metrics), PEAKS[best[1]])


def segment_image(network: nn.Module, picture: Picture,
                  device: torch.device) -> npt.NDArray[np.float32]:
    """Confidence of one image, at its own size, as the segmenter sees it in its first pass.

    A picture of more than a megapixel is reduced to one, and borders are mirrored up to a multiple
    of 32.
    """
    seen = reduced(np.ascontiguousarray(picture))
    height, width = seen.shape[:2]
    padded = cv2.copyMakeBorder(seen, 0, -height % 32, 0, -width % 32, cv2.BORDER_REFLECT)
    batch = Normalise()(torch.from_numpy(padded[np.newaxis]).to(device))
    with _inference(device):
        confidence = network(batch)[0, 0].float().sigmoid().cpu().numpy()
    return at_size_of(picture, confidence[:height, :width])


def mask_counts(confidence: npt.NDArray[np.float32], mask: Mask) -> npt.NDArray[np.int64]:
    """Count agreement at all operating points, each mask cleaned as `vision.clean_mask` does.

    :param confidence: float32, H x W, 0..1.
    :param mask: bool, H x W.
    :return: 3 x thresholds x peaks: true positive, false positive and false negative pixels.
    """
    found = np.zeros((3, len(THRESHOLDS), len(PEAKS)), np.int64)
    for i, threshold in enumerate(THRESHOLDS):
        raw = (confidence >= threshold).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(raw, connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
        stays = areas >= _MIN_AREA_PX
        stays[0] = False
        peaks = piece_peaks(confidence, raw, np.asarray(labels, np.int32), count)
        hits = np.bincount(labels[mask], minlength=count)
        for j, peak in enumerate(PEAKS):
            kept = stays & (peaks >= peak)
            hit, marked = int(hits[kept].sum()), int(areas[kept].sum())
            found[:, i, j] = hit, marked - hit, int(mask.sum()) - hit
    return found


def best_balanced_threshold(probabilities: Sequence[float], labels: Sequence[bool]) -> float:
    """Threshold with the best mean of sensitivity and specificity.

    Of all within `_AS_GOOD` of the best the middle: the very best of a few hundred pictures hangs
    on one or two of them.
    """
    scores, truth = np.asarray(probabilities), np.asarray(labels, bool)
    if truth.all() or not truth.any():
        return 0.5
    levels = np.linspace(0.02, 0.98, 193)
    worth = np.array([((scores[truth] >= level).mean() + (scores[~truth] < level).mean()) / 2
                      for level in levels])
    return float(np.median(levels[worth >= worth.max() - _AS_GOOD]))


def _need_crack(images: Sequence[CrackImage]) -> None:
    if not any(image.has_crack for image in images):
        raise ValueError(f'none of the {len(images)} validation images shows a crack: no score')


def _by_kind(images: Sequence[CrackImage]) -> dict[str, list[int]]:
    kinds: dict[str, list[int]] = {}
    for i, image in enumerate(images):
        origin = 'simulated' if image.source == 'simulated' else 'real'
        kinds.setdefault(f"{origin} {'cracked' if image.has_crack else 'clean'}", []).append(i)
    return kinds


def _clean_crops(images: Sequence[CrackImage]) -> Iterator[tuple[Picture, Mask]]:
    for number, image in enumerate(images):
        if not image.has_crack:
            continue
        picture, mask = image.read()
        rng = np.random.default_rng(number)     # the same crops in every epoch
        for _ in range(12):
            window = random_window(mask.shape, rng)
            if not mask[window].any():
                yield picture[window], mask[window]
                break


def _probabilities(network: nn.Module, pictures: Iterator[Picture], device: torch.device,
                   batch_size: int = 16) -> list[float]:
    found: list[float] = []
    batch: list[Picture] = []

    def run() -> None:
        if batch:
            images = Normalise()(torch.from_numpy(np.stack(batch)).to(device))
            with _inference(device):
                found.extend(network(images).float().softmax(1)[:, 1].tolist())
            batch.clear()

    for picture in pictures:
        batch.append(picture)
        if len(batch) == batch_size:
            run()
    run()
    return found


@contextmanager
def _inference(device: torch.device) -> Iterator[None]:
    with torch.inference_mode(), autocast(device):
        yield


def _nearest(values: Sequence[float], value: float) -> int:
    return int(np.argmin(np.abs(np.asarray(values) - value)))


def _f1(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    hit, false, missed = counts.astype(float)
    return 2 * hit / np.maximum(2 * hit + false + missed, 1)
