# SPDX-License-Identifier: Apache-2.0
"""One explanation under way: passes, scores, and the maps that they make so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import math
import time

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.dimming import Dimming, LEVELS, no_guesses
from tunnel_crack_ros.vision.explain.estimate import Estimate
from tunnel_crack_ros.vision.explain.heat_map import Explanation, HeatMap
from tunnel_crack_ros.vision.explain.layer import Layer
from tunnel_crack_ros.vision.explain.passes import Passes
from tunnel_crack_ros.vision.explain.picture import Picture
from tunnel_crack_ros.vision.explain.timing import Stopped, Timing
from tunnel_crack_ros.vision.model import ModelError

_FEWEST = 2     # channels of a layer that the fast method scores at least
_ROUNDING = 1e-7    # what f, a mean of float32, exceeds the baseline's by must be more


@dataclass(frozen=True)
class Progress:
    """How far an explanation is."""

    layer: str
    passes: int
    """Passes done so far, all layers."""
    expected: int
    """Passes in all, if nothing stops them."""


class Explaining:
    """The work on one picture."""

    def __init__(self, passes: Passes, picture: Picture, layers: dict[str, Layer],
                 answer: npt.NDArray[np.float32], timing: Timing, batch: int,
                 on_progress: Callable[[Progress], None] | None) -> None:
        """Take the picture's own pass, and make the baseline's.

        :param passes: of this picture.
        :param layers: name asked for -> layer; names of one tensor share theirs.
        :param answer: what the network says of the picture, as `Model.run` without the first axis.
        :param batch: passes in one run of the network.
        :raises ModelError: the network's answers are no numbers.
        """
        self._passes, self._picture, self._by_name = passes, picture, layers
        self._layers = list(dict.fromkeys(layers.values()))
        self._timing, self._batch, self._on_progress = timing, batch, on_progress
        nothing = self._answer(0.0)
        self._score, self._nothing = passes.score_of(answer), passes.score_of(nothing)
        if not math.isfinite(self._score - self._nothing):
            raise ModelError(
                f'{passes.model.card.name}: answers {self._score:g} for the frame and '
                f'{self._nothing:g} for nothing, expected numbers')
        self._dimming = None if passes.weights is None else Dimming(passes, answer, nothing)
        self._estimates: dict[str, Estimate] = {}
        self._guessing = False
        self._expected = 2 + sum(map(len, self._layers))
        self._first = math.nan

    def exact(self) -> None:
        """Score every channel, the layers in turn.

        :raises Stopped: no time is left.
        """
        waiting = [(layer, layer.by_energy()) for layer in self._layers]
        while waiting:
            for layer, channels in waiting:
                self._run(layer, channels[:self._batch])
            waiting = [(layer, channels[self._batch:]) for layer, channels in waiting
                       if len(channels) > self._batch]

    def fast(self, share: float) -> None:
        """Score few channels: a few of each layer, then those of the layer least sure.

        :param share: of all channels, 0..1, the passes that all layers share included.
        :raises Stopped: no time is left.
        """
        layers = [layer for layer in self._layers if len(layer)]
        budget = int(share * sum(map(len, layers)))
        shared = 0 if self._dimming is None else len(LEVELS)
        least = sum(min(len(layer), _FEWEST) for layer in layers)
        self._expected = 2 + max(budget, shared + least)
        self._guess()
        for _ in range(_FEWEST):
            for layer in layers:
                if not layer.complete:
                    self._choose_and_run(layer, 1)
        while (left := budget - shared - sum(layer.scored for layer in layers)) > 0:
            waiting = [layer for layer in layers if not layer.complete]
            if not waiting:
                break
            self._choose_and_run(min(waiting, key=self._sureness), left)

    def explanation(self, complete: bool) -> Explanation:
        """Make maps of the scores."""
        by_layer = {layer.name: self._heat_map(layer) for layer in self._layers}
        maps = [replace(by_layer[layer.name], layer=name) for name, layer in self._by_name.items()]
        elapsed = self._timing.elapsed_s
        return Explanation(maps, self._score, self._nothing, self._passes.count + 1, elapsed,
                           elapsed if math.isnan(self._first) else self._first, complete)

    def _guess(self) -> None:
        """Make the passes that all layers share."""
        if self._dimming is None or not self._layers:
            return
        self._guessing, first = True, self._layers[0]
        for level in LEVELS:
            self._timing.check()
            self._dimming.add(level, self._answer(level))
            first.passes += 1
            self._tell(first)

    def _choose_and_run(self, layer: Layer, most: int) -> None:
        """Score the channels that tell most; what it takes to choose them counts as a pass's."""
        self._timing.check()
        start = time.monotonic()
        channels = self._estimate(layer).next_channels()[:most]
        choice_s = time.monotonic() - start
        for channel in channels:
            self._run(layer, [channel], choice_s)

    def _run(self, layer: Layer, channels: Sequence[int], choice_s: float = 0.0) -> None:
        if not channels:
            return
        self._timing.check(len(channels))
        start = time.monotonic()
        masks = [layer.mask(channel, self._passes.size) for channel in channels]
        for channel, value in zip(channels, self._passes.scores(masks)):
            # what is no number says nothing of its channel, and would be asked for for ever
            layer.score(channel, float(value) if math.isfinite(value) else self._nothing)
        self._timing.took(choice_s + (time.monotonic() - start) / len(channels))
        self._tell(layer)
        if math.isnan(self._first) and all(one.scored for one in self._layers if len(one)):
            start = time.monotonic()
            self.explanation(False)
            self._timing.maps_took(time.monotonic() - start)
            self._first = self._timing.elapsed_s

    def _answer(self, level: float) -> npt.NDArray[np.float32]:
        start = time.monotonic()
        found = self._passes.answers([level])[0]
        self._timing.took(time.monotonic() - start)
        return found

    def _tell(self, layer: Layer) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(layer.name, self._passes.count + 1, self._expected))

    def _estimate(self, layer: Layer) -> Estimate:
        """Return what is estimated of a layer; the first time takes a while.

        :raises Stopped: no time is left for it.
        """
        if layer.name not in self._estimates:
            # the exact method needs guesses only where it is cut short
            guesses = no_guesses(len(layer), self._score) \
                if self._dimming is None or not self._guessing \
                else self._dimming.guesses(layer, self._timing.check)
            self._estimates[layer.name] = Estimate(layer, guesses, self._nothing)
        return self._estimates[layer.name]

    def _sureness(self, layer: Layer) -> float:
        """Return the fidelity of a layer's map; least where nothing can be said of it."""
        fidelity = self._estimate(layer).fidelity()
        return fidelity if math.isfinite(fidelity) else -1.0

    def _scores(self, layer: Layer) -> tuple[npt.NDArray[np.float64], float]:
        """Return f with each channel's mask, as far as it is known, and the map's fidelity."""
        if layer.complete:
            return layer.known, 1.0
        try:
            nothing_known = not layer.scored and layer.name not in self._estimates
            estimate = None if nothing_known or self._timing.late else self._estimate(layer)
        except Stopped:
            estimate = None
        if estimate is None:    # what it takes to estimate is time of its own
            # the mean of all channels is no explanation, though it would look like one
            rest = float(np.nanmean(layer.known)) if layer.scored else self._nothing
            return np.where(np.isfinite(layer.known), layer.known, rest), math.nan
        return estimate.scores(), math.nan if self._timing.late else estimate.fidelity()

    def _heat_map(self, layer: Layer) -> HeatMap:
        scores, fidelity = self._scores(layer)
        weights = np.zeros(layer.channels)
        weights[layer.places] = scores - self._nothing
        values = self._picture.to_frame(layer.heat(weights[layer.places]))
        peak = float(values.max())
        if abs(self._score - self._nothing) < _ROUNDING:    # a frame of one colour, for one
            values = np.zeros_like(values)
        elif peak > 0.0:
            values = values / np.float32(peak)
        return HeatMap(layer.name, values, weights, len(layer), layer.scored, layer.passes,
                       fidelity)
