# SPDX-License-Identifier: Apache-2.0
"""Is an explanation true? Insertion, deletion, average drop and increase, the pointing game.

- Insertion and deletion (Petsiuk et al., *RISE*, 2018, section 4.2): the picture's pixels appear
  over its blurred self, or vanish into it, those first that the map calls most important. What
  counts is the area below f as a share of f(X). A true map has a large one for insertion, a small
  one for deletion.
- Average drop and increase (Chattopadhay et al., *Grad-CAM++*, 2018, section 4.1): by how much f
  falls when the map masks the picture, and how often it rises.
- Pointing game (Zhang et al., *Excitation Backprop*, 2018, section 4.2): does the map's maximum
  lie on the label, within 15 px? And its energy-based kin (Wang et al., *Score-CAM*, 2020,
  section 4.3): the share of the map that lies on the label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import math
from typing import Any, ClassVar, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.baseline import baseline_of
from tunnel_crack_ros.vision.explain.passes import Passes
from tunnel_crack_ros.vision.explain.picture import enlarged
from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.score_cam import ScoreCam

Maps: TypeAlias = 'Mapping[str, npt.NDArray[np.float32]]'
"""Layer -> heat map as large as the frame, 0..1."""
Method: TypeAlias = 'Callable[[RgbFrame, Sequence[str]], Maps]'
"""Explains a frame: one map for each of some layers."""

_NEAR_PX = 15       # of the pointing game, by convention
_STEPS = 12
SHARES = tuple((step / _STEPS) ** 2 for step in range(_STEPS + 1))
"""Share of the picture's pixels at each step: dense at first, since a crack has few pixels."""


@dataclass(frozen=True)
class Trial:
    """One map of one picture."""

    picture: str
    layer: str
    method: str
    insertion: npt.NDArray[np.float64]
    """f over f(X) at each of `SHARES`, the most important pixels of X laid over its blurred
    self."""
    deletion: npt.NDArray[np.float64]
    """The same, with these pixels blurred."""
    drop: float
    """max(0, f(X) - f(X masked)) / f(X), 0..1."""
    increased: bool
    pointed: bool
    """Whether the maximum lies on the label, or at most 15 px beside it."""
    on_label: float
    """Share of the map's sum that lies on the label, 0..1; NaN: the map is empty."""


@dataclass(frozen=True)
class FaithfulnessReport:
    """What was measured."""

    model: str
    trials: list[Trial]
    without_answer: int
    """Pictures left out because the model marked nothing: there is nothing to explain."""

    columns: ClassVar[tuple[str, ...]] = (
        'layer', 'map', 'insertion', 'deletion', 'average drop %', 'increase %', 'pointing %',
        'on the label %')

    @property
    def pictures(self) -> int:
        """Return how many were explained."""
        return len({trial.picture for trial in self.trials})

    def means(self, layer: str, method: str) -> dict[str, float]:
        """Return each measure's mean over the pictures."""
        found = [trial for trial in self.trials if (trial.layer, trial.method) == (layer, method)]
        shares = [trial.on_label for trial in found if math.isfinite(trial.on_label)]
        return {
            'insertion': float(np.mean([area_below(trial.insertion) for trial in found])),
            'deletion': float(np.mean([area_below(trial.deletion) for trial in found])),
            'average_drop': float(np.mean([trial.drop for trial in found])),
            'increase': float(np.mean([trial.increased for trial in found])),
            'pointing': float(np.mean([trial.pointed for trial in found])),
            'on_label': float(np.mean(shares)) if shares else math.nan}

    def curves(self, layer: str, method: str) -> dict[str, list[float]]:
        """Return the mean insertion and deletion curve."""
        found = [trial for trial in self.trials if (trial.layer, trial.method) == (layer, method)]
        return {name: [float(value) for value in
                       np.mean([getattr(trial, name) for trial in found], axis=0)]
                for name in ('insertion', 'deletion')}

    def kinds(self) -> list[tuple[str, str]]:
        """Return all pairs of layer and method, in the order tried."""
        return list(dict.fromkeys((trial.layer, trial.method) for trial in self.trials))

    def rows(self) -> list[list[str]]:
        """Return the table: a layer and a kind of map a line."""
        rows = []
        for layer, method in self.kinds():
            means = self.means(layer, method)
            rows.append([layer, method, f"{means['insertion']:.3f}", f"{means['deletion']:.3f}",
                         *(f'{means[name]:.1%}'.rstrip('%') for name in (
                             'average_drop', 'increase', 'pointing', 'on_label'))])
        return rows

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values; null where nothing could be measured."""
        return {
            'model': self.model, 'images': self.pictures, 'without_answer': self.without_answer,
            'shares': list(SHARES),
            'maps': [{'layer': layer, 'method': method, **{
                name: value if math.isfinite(value) else None
                for name, value in self.means(layer, method).items()},
                'curves': self.curves(layer, method)} for layer, method in self.kinds()]}


def measure_faithfulness(cam: ScoreCam,
                         pictures: Sequence[tuple[str, RgbFrame, npt.NDArray[np.bool_]]],
                         methods: Mapping[str, Method], layers: Sequence[str], *,
                         progress: Callable[[int, int], None] | None = None,
                         ) -> FaithfulnessReport:
    """Try maps of several methods on the same pictures.

    :param cam: of a segmenter; f is the mean confidence over what it marks.
    :param pictures: name, frame (uint8, H x W x 3, RGB) and label (bool, H x W), with crack.
    :param methods: name -> what makes the maps.
    :param layers: plain names.
    :param progress: called with pictures done and in all.
    :raises ValueError: the model is a classifier, or a picture's label is empty.
    :raises ModelError: a layer is not on the card, or the engine failed.
    """
    if cam.model.card.task != 'segmenter':
        raise ValueError(f'{cam.model.card.name} is a classifier, expected a segmenter')
    trials: list[Trial] = []
    without = 0
    for done, (name, frame, label) in enumerate(pictures):
        if not label.any():
            raise ValueError(f'{name}: its label holds no crack, expected some')
        probe = Probe(cam, frame)
        if probe.marked:
            near = cv2.distanceTransform((~label).astype(np.uint8), cv2.DIST_L2,
                                         cv2.DIST_MASK_PRECISE) <= _NEAR_PX
            for method, explain in methods.items():
                for layer, values in explain(frame, layers).items():
                    trials.append(_trial(name, layer, method, probe, values, label, near))
        else:
            without += 1
        if progress is not None:
            progress(done + 1, len(pictures))
    return FaithfulnessReport(cam.model.card.identity, trials, without)


class Probe:
    """Asks a segmenter how much it still finds of what it marks when a part is hidden."""

    def __init__(self, cam: ScoreCam, frame: RgbFrame) -> None:
        """Take a frame.

        :raises ModelError: the engine failed.
        """
        self._picture = cam.picture(frame)
        pixels = self._picture.pixels
        answer = cam.model.run(pixels.astype(np.uint8)[np.newaxis])[0]
        self.marked = bool(cam.marked(self._picture, answer).any())
        """Whether the model marks anything."""
        weights = cam.weights(self._picture, answer, None, None)
        self._blurred = Passes(cam.model, pixels, baseline_of(pixels, 'blurred'), weights)
        self._masked = Passes(cam.model, pixels, cam.baseline(pixels), weights)
        self.whole = float(self._blurred.scores([1.0])[0])
        """f(X), 0..1."""

    def curves(self, values: npt.NDArray[np.float32],
               ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return f over f(X) for the parts of `SHARES`: inserted, and deleted.

        :param values: as large as the frame.
        """
        order = self._order(values)
        inserted, deleted = [], []
        for share in SHARES:
            shown = (order < round(share * order.size)).astype(np.float32)
            inserted.append(self._blurred.scores([shown])[0])
            deleted.append(self._blurred.scores([1.0 - shown])[0])
        return np.array(inserted) / self.whole, np.array(deleted) / self.whole

    def masked(self, values: npt.NDArray[np.float32]) -> float:
        """Return f of the picture masked by a map, 0..1."""
        return float(self._masked.scores([self._picture.from_frame(values)])[0])

    def _order(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return each pixel's rank, 0 the most important; equal ones are shuffled."""
        inside = self._picture.from_frame(values).ravel()
        chance = np.random.default_rng(0).permutation(inside.size)
        order = np.empty(inside.size, np.int64)
        order[np.lexsort((chance, -inside))] = np.arange(inside.size)
        return order.reshape(self._picture.size)


def _trial(picture: str, layer: str, method: str, probe: Probe, values: npt.NDArray[np.float32],
           label: npt.NDArray[np.bool_], near: npt.NDArray[np.bool_]) -> Trial:
    inserted, deleted = probe.curves(values)
    masked, total = probe.masked(values), float(values.sum(dtype=np.float64))
    return Trial(
        picture, layer, method, inserted, deleted,
        max(0.0, probe.whole - masked) / probe.whole, masked > probe.whole,
        total > 0.0 and bool(near.ravel()[int(values.argmax())]),
        float(values[label].sum(dtype=np.float64)) / total if total > 0.0 else math.nan)


def area_below(curve: npt.NDArray[np.float64]) -> float:
    """Return the area below a curve over `SHARES`."""
    widths = np.diff(SHARES)
    return float(((curve[1:] + curve[:-1]) / 2.0 * widths).sum())


def score_cam(cam: ScoreCam, method: str) -> Method:
    """Return Score-CAM as a method.

    :param method: `fast` or `exact`.
    """
    def explain(frame: RgbFrame, layers: Sequence[str]) -> Maps:
        return {heat.layer: heat.values
                for heat in cam.explain(frame, layers, method=method).heat_maps}
    return explain


def random_maps(cam: ScoreCam, seed: int = 0) -> Method:
    """Return maps that know nothing, as coarse as the layers' own: what chance would score."""
    rng = np.random.default_rng(seed)

    def explain(frame: RgbFrame, layers: Sequence[str]) -> Maps:
        picture = cam.picture(frame)
        _, taps = cam.model.run_with_taps(picture.pixels.astype(np.uint8)[np.newaxis], layers)
        return {layer: picture.to_frame(
            enlarged(rng.random(tap.shape[-2:], np.float32), picture.size))
            for layer, tap in taps.items()}
    return explain
