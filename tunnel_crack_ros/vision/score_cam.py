# SPDX-License-Identifier: Apache-2.0
"""Score-CAM: which parts of a frame led to the answer, without gradients.

Wang et al., *Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks*
(2020), as used by Feng et al. for crack segmentation: every channel A of a layer, enlarged to the
picture's size and scaled to 0..1, masks the picture; what the network still finds then, over what
it finds in a baseline, is the channel's weight C; the heat map is ReLU(sum of C A).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
import math
import time

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.baseline import baseline_of, BASELINES, DEFAULT
from tunnel_crack_ros.vision.explain.dimming import Dimming, LEVELS
from tunnel_crack_ros.vision.explain.heat_map import Explanation, HeatMap
from tunnel_crack_ros.vision.explain.layer import Layer
from tunnel_crack_ros.vision.explain.passes import Passes
from tunnel_crack_ros.vision.explain.picture import fit, Picture
from tunnel_crack_ros.vision.explain.region import Region, region_of_box
from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.model import Model, ModelError
from tunnel_crack_ros.vision.providers import GPU

METHODS = ('fast', 'exact')
_FEWEST = 3     # channels of a layer that the fast method scores at least
_TAIL_S = 0.1   # of a deadline: what it takes, at most, to make maps of the scores


@dataclass(frozen=True)
class Progress:
    """How far an explanation is."""

    layer: str
    passes: int
    """Passes done so far, all layers."""
    expected: int
    """Passes in all, if nothing stops them."""


class Stopped(Exception):
    """The deadline came, or somebody does not want the rest."""


class ScoreCam:
    """Explains what a model says of frames."""

    def __init__(self, model: Model, *, baseline: str = DEFAULT, max_pixels: int = 0,
                 batch: int = 0, share: float = 0.05) -> None:
        """Make an explainer.

        :param model: loaded `with_taps`.
        :param baseline: what a masked picture fades to: `mean`, `blurred` or, as in the paper,
            `black`.
        :param max_pixels: larger frames are reduced to this many for a segmenter; 0: to as many
            as the model's input size has.
        :param batch: masked pictures in one run of the network; 0: 1 on a CPU, where more give no
            speed, 16 on a GPU.
        :param share: passes that the fast method may make, as a share of the exact one's for all
            layers asked for together, 0..1.
        :raises ValueError: another baseline.
        :raises ModelError: the model's card names no layers.
        """
        if baseline not in BASELINES:
            raise ValueError(f"baseline is '{baseline}', expected one of {', '.join(BASELINES)}")
        if not model.card.taps:
            raise ModelError(f'{model.card.name}: its card names no layers to explain')
        self.model = model
        self.layers = tuple(model.card.taps)
        """Plain names of all layers that can be explained."""
        self._baseline, self._share = baseline, share
        width, height = model.card.input_size
        self._max_pixels = max_pixels or width * height
        self._batch = batch or (16 if model.provider in GPU else 1)

    def explain(self, frame: RgbFrame, layers: Sequence[str] = (), *, method: str = 'fast',
                region: Region = None, threshold: float | None = None,
                deadline_s: float | None = None,
                on_progress: Callable[[Progress], None] | None = None,
                wanted: Callable[[], bool] | None = None) -> Explanation:
        """Explain one frame.

        :param frame: uint8, H x W x 3, RGB, any size.
        :param layers: plain names of taps; empty: all. Layers that are one tensor share passes.
        :param method: `exact`: a pass for every channel; `fast`: for few of them, the rest
            guessed.
        :param region: a segmenter's f is the mean confidence there: a mask (bool, H x W), a box
            (left, top, width, height, px); None: the predicted mask, or the whole frame when
            nothing was predicted. A classifier's f is the crack probability.
        :param threshold: confidence that makes the predicted mask; None: the card's.
        :param deadline_s: time from now after which the best maps so far are returned; the pass
            under way is finished, no pass is begun that would end too late. Two passes, the
            frame's and the baseline's, are always made.
        :param on_progress: called after every run of the network.
        :param wanted: asked before every run of the network; False: return what is there.
        :return: the maps; `complete` says whether the deadline cut them short.
        :raises ValueError: another method, or a region that does not fit the frame.
        :raises ModelError: a layer is not on the card, or the engine failed.
        """
        if method not in METHODS:
            raise ValueError(f"method is '{method}', expected one of {', '.join(METHODS)}")
        names = list(dict.fromkeys(layers or self.layers))
        work = _Work(self, frame, names, region, threshold, deadline_s, on_progress, wanted)
        try:
            if method == 'fast':
                work.guess()
                work.score(work.shares(self._share))
            else:
                work.score({name: len(layer) for name, layer in work.layers.items()})
            complete = True
        except Stopped:
            complete = False
        return work.explanation(names, complete)

    def picture(self, frame: RgbFrame) -> Picture:
        """Return a frame as the network sees it here."""
        return fit(frame, self.model.card, self._max_pixels)

    def weights(self, picture: Picture, answer: npt.NDArray[np.float32], region: Region,
                threshold: float | None) -> npt.NDArray[np.float32] | None:
        """Return by how much each pixel's confidence counts for f, sum 1; None: a classifier.

        :raises ValueError: the region does not fit the frame.
        """
        if self.model.card.task == 'classifier':
            return None
        if region is None:
            limit = self.model.card.threshold if threshold is None else threshold
            chosen = (answer >= limit).astype(np.float32)
            chosen[picture.inner_size[0]:] = 0.0
            chosen[:, picture.inner_size[1]:] = 0.0
        else:
            mask = region_of_box(region, picture.frame_size) if isinstance(region, tuple) \
                else region
            if mask.shape != picture.frame_size or not mask.any():
                raise ValueError(
                    f'region of {mask.shape} with {np.count_nonzero(mask)} px, expected some px '
                    f"within the frame's {picture.frame_size} (height, width)")
            chosen = picture.from_frame(mask.astype(np.float32))
        if not chosen.any():
            chosen = picture.from_frame(np.ones(picture.frame_size, np.float32))
        return (chosen / chosen.sum(dtype=np.float64)).astype(np.float32)

    def baseline(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return X_b of a picture."""
        return baseline_of(pixels, self._baseline)

    @property
    def batch(self) -> int:
        """Return how many masked pictures make one run of the network."""
        return self._batch


class _Work:
    """One explanation under way."""

    def __init__(self, cam: ScoreCam, frame: RgbFrame, names: Sequence[str], region: Region,
                 threshold: float | None, deadline_s: float | None,
                 on_progress: Callable[[Progress], None] | None,
                 wanted: Callable[[], bool] | None) -> None:
        self._start = time.monotonic()
        self._end = math.inf if deadline_s is None else \
            self._start + deadline_s - min(_TAIL_S, 0.1 * deadline_s)
        self._cam, self._on_progress, self._wanted = cam, on_progress, wanted
        self._picture = cam.picture(frame)
        pixels = self._picture.pixels
        answer, taps = cam.model.run_with_taps(pixels.astype(np.uint8)[np.newaxis], names)
        weights = cam.weights(self._picture, answer[0], region, threshold)
        self._passes = Passes(cam.model, pixels, cam.baseline(pixels), weights)
        nothing = self._passes.answers([0.0])
        if weights is None:
            self._score, self._nothing = float(answer[0, 1]), float(nothing[0, 1])
        else:
            self._score, self._nothing = (
                float((part[0] * weights).sum(dtype=np.float64)) for part in (answer, nothing))
        # names of one tensor are one layer
        tensors = cam.model.card.taps
        by_tensor: dict[str, Layer] = {}
        for name in names:
            if tensors[name] not in by_tensor:
                by_tensor[tensors[name]] = Layer(name, taps[name][0], self._nothing)
        self._of = {name: by_tensor[tensors[name]] for name in names}
        self.layers = {layer.name: layer for layer in by_tensor.values()}
        self._dimming = None if weights is None else Dimming(self._passes, answer[0], nothing[0])
        self._shared = 2
        self._expected = 2 + sum(map(len, self.layers.values()))
        self._first = math.nan

    # ---- scores -----------------------------------------------------------------------------

    def guess(self) -> None:
        """Make the passes that all layers share.

        :raises Stopped: no time is left.
        """
        if self._dimming is None:
            return
        self._expected = 2 + len(LEVELS)
        first = next(iter(self.layers.values()))
        try:
            for level in LEVELS:
                self._check()
                self._dimming.add(level, self._passes.answers([level])[0])
                first.passes += 1
                self._tell(first.name)
        finally:
            for layer in self.layers.values():
                layer.take_hints(self._dimming.guesses(layer))

    def shares(self, share: float) -> dict[str, int]:
        """Return how many channels of each layer may be scored: more of those that have more.

        The square root keeps something for layers of few channels, which are the harder ones.
        """
        total = share * sum(map(len, self.layers.values()))
        if self._dimming is not None:
            total -= len(LEVELS)
        roots = {name: math.sqrt(len(layer)) for name, layer in self.layers.items()}
        part = max(0.0, total) / (sum(roots.values()) or 1.0)
        return {name: min(len(layer), max(_FEWEST, int(roots[name] * part)))
                for name, layer in self.layers.items()}

    def score(self, counts: dict[str, int]) -> None:
        """Score channels, the layers in turn.

        :param counts: of each layer.
        :raises Stopped: no time is left.
        """
        done = sum(layer.passes for layer in self.layers.values())
        self._expected = self._shared + done + sum(counts.values())
        waiting = {name: self._chunks(layer, counts[name]) for name, layer in self.layers.items()
                   if counts[name]}
        while waiting:
            for name in list(waiting):
                chunk = next(waiting[name], None)
                if chunk is None:
                    del waiting[name]
                else:
                    self._run(self.layers[name], chunk)

    def _chunks(self, layer: Layer, count: int) -> Iterator[list[int]]:
        chosen, size = layer.representatives(count), self._cam.batch
        return (chosen[i:i + size] for i in range(0, len(chosen), size))

    def _run(self, layer: Layer, indices: list[int]) -> None:
        self._check(len(indices))
        masks = [layer.mask(index, self._passes.size) for index in indices]
        for index, value in zip(indices, self._passes.scores(masks)):
            layer.score(index, float(value))
        layer.passes += len(indices)
        if math.isnan(self._first) and all(
                np.isfinite(other.known).any() for other in self.layers.values() if len(other)):
            self._first = time.monotonic() - self._start
        self._tell(layer.name)

    def _check(self, passes: int = 1) -> None:
        if self._wanted is not None and not self._wanted():
            raise Stopped
        if time.monotonic() + passes * self._passes.seconds > self._end:
            raise Stopped

    def _tell(self, layer: str) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(layer, self._passes.count + 1, self._expected))

    # ---- result -----------------------------------------------------------------------------

    def explanation(self, names: Sequence[str], complete: bool) -> Explanation:
        """Make maps of the scores."""
        by_layer = {name: self._heat_map(layer) for name, layer in self.layers.items()}
        maps = []
        for name in names:
            found = by_layer[self._of[name].name]
            maps.append(found if found.layer == name else HeatMap(
                name, found.values, found.weights, found.channels, found.scored, found.passes,
                found.fidelity))
        elapsed = time.monotonic() - self._start
        return Explanation(maps, self._score, self._nothing, self._passes.count + 1, elapsed,
                           elapsed if math.isnan(self._first) else self._first, complete)

    def _heat_map(self, layer: Layer) -> HeatMap:
        values = self._picture.to_frame(layer.heat())
        peak = float(values.max())
        if peak > 0.0:
            values = values / np.float32(peak)
        # how sure a guess is takes time of its own to find out: not when there is none
        late = time.monotonic() > self._end
        return HeatMap(layer.name, values, layer.weights(), len(layer),
                       int(np.isfinite(layer.known).sum()), layer.passes,
                       math.nan if late and not layer.complete else layer.fidelity())
