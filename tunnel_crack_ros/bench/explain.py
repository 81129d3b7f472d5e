# SPDX-License-Identifier: Apache-2.0
"""How fast and how true Score-CAM is here: exact against float64, fast against exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import math
import time
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision import Model, RgbFrame
from tunnel_crack_ros.vision.explain.ranks import rank_correlation
from tunnel_crack_ros.vision.score_cam import METHODS, ScoreCam

WANTED = ('layer2', 'layer4', 'decoder')
"""Layers that are compared, as far as the model has them; else its last."""
_DEADLINE_S = 2.0
_LATE = 1.1     # times the deadline that still count as kept
Library = Callable[[ScoreCam, RgbFrame, str], float]
"""Explains a layer of a frame as another library does; returns how long that took, s."""


@dataclass(frozen=True)
class Comparison:
    """One layer of one picture."""

    layer: str
    spearman: float
    """Rank correlation of the fast map with the exact one; NaN when one is empty."""
    spearman_drawn: float
    """The same of the maps in 8 bits, as a picture shows them: below 1/510 of the peak is 0."""
    fidelity: float
    """What the fast method said of itself."""
    fast_passes: int
    channels: int


@dataclass(frozen=True)
class ExplainReport:
    """What was measured."""

    model: str
    images: int
    left_out: int
    """Pictures in which the segmenter marks nothing: there is no mask to explain."""
    comparisons: list[Comparison]
    exact_correlation: float
    """Smallest correlation of an exact map with the equations in float64."""
    fast_to_exact_time: float
    exact_to_library_time: float
    """Our exact map's time over the grad-cam package's; NaN when that was not measured."""
    timed_layer: str
    """Layer of these two."""
    first_map_seconds: float
    """Median over the pictures, all layers of a picture asked for together."""
    first_map_seconds_worst: float
    deadline_kept: float
    """Share of the calls that took at most 1.1 times the deadline, fast and exact ones, 0..1."""
    deadline_call_seconds_worst: float

    columns = ('layer', 'channels', 'spearman median', 'worst', 'worst as drawn',
               'fidelity median', 'pass share')

    @property
    def layers(self) -> list[str]:
        """Return the layers compared."""
        return list(dict.fromkeys(c.layer for c in self.comparisons))

    def spearman(self, layer: str = '') -> npt.NDArray[np.float64]:
        """Return the rank correlations of a layer, or of all; those that are not NaN."""
        return self._finite('spearman', layer)

    def spearman_drawn(self, layer: str = '') -> npt.NDArray[np.float64]:
        """Return the same of the maps in 8 bits."""
        return self._finite('spearman_drawn', layer)

    def fidelity(self, layer: str = '') -> npt.NDArray[np.float64]:
        """Return what the fast method said of itself."""
        return self._finite('fidelity', layer)

    def pass_share(self, layer: str = '') -> float:
        """Return the fast method's passes as a share of the exact one's."""
        chosen = [c for c in self.comparisons if layer in ('', c.layer)]
        return sum(c.fast_passes for c in chosen) / max(1, sum(c.channels for c in chosen))

    def rows(self) -> list[list[str]]:
        """Return the table: one layer a line, and all together."""
        return [[layer or 'all', str(sum(c.channels for c in self.comparisons
                                         if layer in ('', c.layer)) // self.images),
                 f'{_median(self.spearman(layer)):.3f}', f'{_worst(self.spearman(layer)):.3f}',
                 f'{_worst(self.spearman_drawn(layer)):.3f}',
                 f'{_median(self.fidelity(layer)):.3f}', f'{self.pass_share(layer):.1%}']
                for layer in (*self.layers, '')]

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values; null where nothing could be measured."""
        per_layer = {layer: {
            'spearman_median': _plain(_median(self.spearman(layer))),
            'spearman_worst': _plain(_worst(self.spearman(layer))),
            'spearman_drawn_worst': _plain(_worst(self.spearman_drawn(layer))),
            'fidelity_median': _plain(_median(self.fidelity(layer))),
            'pass_share': self.pass_share(layer)} for layer in self.layers}
        return {'model': self.model, 'images': self.images, 'left_out': self.left_out,
                'exact_correlation': _plain(self.exact_correlation),
                'fast_spearman_median': _plain(_median(self.spearman())),
                'fast_spearman_worst': _plain(_worst(self.spearman())),
                'fast_spearman_drawn_worst': _plain(_worst(self.spearman_drawn())),
                'fast_pass_share': self.pass_share(),
                'fast_to_exact_time': self.fast_to_exact_time,
                'exact_to_grad_cam_library_time': _plain(self.exact_to_library_time),
                'exact_to_grad_cam_library_layer': self.timed_layer,
                'first_map_seconds': self.first_map_seconds,
                'first_map_seconds_worst': self.first_map_seconds_worst,
                'deadline_seconds': _DEADLINE_S, 'deadline_kept': self.deadline_kept,
                'deadline_call_seconds_worst': self.deadline_call_seconds_worst,
                'layers': per_layer}

    def _finite(self, column: str, layer: str) -> npt.NDArray[np.float64]:
        """Return one number of every comparison of a layer, or of all, but for NaN."""
        found = np.array([getattr(c, column) for c in self.comparisons if layer in ('', c.layer)])
        return found[np.isfinite(found)]


def measure_explain(model: Model, frames: Sequence[RgbFrame], *, layers: Sequence[str] = (),
                    library: Library | None = None,
                    progress: Callable[[int, int], None] | None = None) -> ExplainReport:
    """Compare the fast method with the exact one, and the exact one with its equations.

    :param model: loaded `with_taps`.
    :param frames: RGB.
    :param layers: plain names; empty: those of `WANTED` that the model has.
    :param library: the grad-cam package's Score-CAM of the same model; None: it is not there.
    :param progress: called with pictures done and in all.
    :raises ValueError: no frame, or none in which anything is marked.
    :raises ModelError: a layer is not on the card, or the engine failed.
    """
    if not frames:
        raise ValueError('no picture to explain')
    cam = ScoreCam(model)
    offered, frames = len(frames), [frame for frame in frames if _marked(cam, frame)]
    if not frames:
        raise ValueError(f'{model.card.name} marks nothing in any of {offered} pictures')
    chosen = list(layers) or [name for name in WANTED if name in cam.layers] or [cam.layers[-1]]
    cam.explain(frames[0], chosen, deadline_s=0.0)      # the first run of a session is slow
    comparisons: list[Comparison] = []
    fast_s = exact_s = 0.0
    firsts: list[float] = []
    calls: list[float] = []
    for done, frame in enumerate(frames):
        fast = cam.explain(frame, chosen)
        exact = cam.explain(frame, chosen, method='exact')
        fast_s, exact_s = fast_s + fast.elapsed_s, exact_s + exact.elapsed_s
        firsts.append(fast.first_map_s)
        for method in METHODS:
            start = time.monotonic()
            cam.explain(frame, chosen, method=method, deadline_s=_DEADLINE_S)
            calls.append(time.monotonic() - start)
        comparisons += [Comparison(
            a.layer, rank_correlation(a.values, b.values),
            rank_correlation(_in_8_bits(a.values), _in_8_bits(b.values)),
            a.fidelity, a.passes, b.channels)
            for a, b in zip(fast.heat_maps, exact.heat_maps)]
        if progress is not None:
            progress(done + 1, len(frames))
    smallest = min(chosen, key=lambda name: next(
        c.channels for c in comparisons if c.layer == name))
    return ExplainReport(
        model.card.identity, len(frames), offered - len(frames), comparisons,
        _exact_correlation(cam, frames[0], smallest), fast_s / exact_s,
        _to_library(cam, frames[0], smallest, library), smallest,
        float(np.median(firsts)), max(firsts),
        float(np.mean(np.array(calls) <= _LATE * _DEADLINE_S)), max(calls))


def _marked(cam: ScoreCam, frame: RgbFrame) -> bool:
    """Return whether there is anything to explain: a classifier always says something."""
    if cam.model.card.task == 'classifier':
        return True
    picture = cam.picture(frame)
    answer = cam.model.run(picture.pixels.astype(np.uint8)[np.newaxis])[0]
    return bool(cam.marked(picture, answer).any())


def _in_8_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.rint(values * np.float32(255.0))


def _to_library(cam: ScoreCam, frame: RgbFrame, layer: str, library: Library | None) -> float:
    """Return our exact map's time over the library's; NaN without one."""
    if library is None:
        return math.nan
    ours = cam.explain(frame, [layer], method='exact').elapsed_s
    return ours / library(cam, frame, layer)


def _exact_correlation(cam: ScoreCam, frame: RgbFrame, layer: str) -> float:
    """Return the correlation of our exact map with the equations, computed plainly in float64."""
    model = cam.model
    frame = cam.picture(frame).pixels.astype(np.uint8)
    # this size as it is: filled up to whole blocks it may be above the limit, and would shrink
    cam = ScoreCam(model, max_pixels=frame.shape[0] * frame.shape[1])
    heat, = cam.explain(frame, [layer], method='exact').heat_maps
    answer, taps = model.run_with_taps(frame[np.newaxis], [layer])
    x, region = frame.astype(np.float64), answer[0] >= model.card.threshold

    def f(picture: npt.NDArray[np.float64]) -> float:
        found = model.run(np.floor(picture + 0.5).astype(np.uint8)[np.newaxis])[0]
        if model.card.task == 'classifier':
            return float(found[1])
        return float(found[region].astype(np.float64).mean())

    activations = taps[layer][0].astype(np.float64)
    colour = x.mean((0, 1))      # what a masked picture fades to, by default
    total, nothing = np.zeros(activations.shape[1:]), f(np.broadcast_to(colour, x.shape))
    for channel in activations:
        up = cv2.resize(channel, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        if up.max() - up.min() > 1e-9:
            h = (up - up.min()) / (up.max() - up.min())
            total += (f(colour + (x - colour) * h[:, :, np.newaxis]) - nothing) * channel
    expected = cv2.resize(np.maximum(total, 0.0), frame.shape[1::-1],
                          interpolation=cv2.INTER_LINEAR)
    if not expected.any() or not heat.values.any():
        return math.nan
    return float(np.corrcoef(expected.ravel(), heat.values.ravel())[0, 1])


def _median(values: npt.NDArray[np.float64]) -> float:
    return float(np.median(values)) if values.size else math.nan


def _worst(values: npt.NDArray[np.float64]) -> float:
    return float(values.min()) if values.size else math.nan


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
