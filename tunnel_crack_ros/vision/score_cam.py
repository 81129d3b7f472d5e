# SPDX-License-Identifier: Apache-2.0
"""Score-CAM: which parts of a frame led to the answer, without gradients.

Wang et al., *Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks*
(2020), as used by Feng et al. for crack segmentation: every channel A of a layer, enlarged to the
picture's size and scaled to 0..1, masks the picture; what the network still finds then, over what
it finds in a baseline, is the channel's weight C; the heat map is ReLU(sum of C A).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tunnel_crack_ros.vision.explain.baseline import baseline_of, BASELINES, DEFAULT
from tunnel_crack_ros.vision.explain.explaining import Explaining, Progress
from tunnel_crack_ros.vision.explain.heat_map import Explanation
from tunnel_crack_ros.vision.explain.layer import Layer
from tunnel_crack_ros.vision.explain.passes import Passes
from tunnel_crack_ros.vision.explain.picture import fit, Picture
from tunnel_crack_ros.vision.explain.region import Region, region_of_box
from tunnel_crack_ros.vision.explain.timing import Stopped, Timing
from tunnel_crack_ros.vision.explain.watch import Watch
from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.model import Model, ModelError, RunStopped
from tunnel_crack_ros.vision.providers import GPU

__all__ = ['METHODS', 'Progress', 'ScoreCam', 'Stopped']
METHODS = ('fast', 'exact')


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
            (left, top, width, height, px); None: the predicted mask, or, when nothing was
            predicted, what came nearest to it: all pixels of at least half the largest
            confidence. A classifier's f is the crack probability.
        :param threshold: confidence that makes the predicted mask; None: the card's.
        :param deadline_s: time from now after which the best maps so far are returned; no pass
            is begun that would end too late, one that does is broken off. Two passes, the frame's
            and the baseline's, are always made.
        :param on_progress: called after every run of the network.
        :param wanted: asked before every run of the network and, in another thread, while it
            lasts; False: return what is there.
        :return: the maps; `complete` says whether the deadline cut them short.
        :raises ValueError: another method, or a region that does not fit the frame.
        :raises RunStopped: not wanted any more before the two passes were made.
        :raises ModelError: a layer is not on the card, or the engine failed.
        """
        if method not in METHODS:
            raise ValueError(f"method is '{method}', expected one of {', '.join(METHODS)}")
        timing = Timing(deadline_s, wanted)
        names = list(dict.fromkeys(layers or self.layers))
        picture = self.picture(frame)
        with Watch(self.model, timing):
            return self._explain(picture, names, method, region, threshold, timing, on_progress)

    def _explain(self, picture: Picture, names: Sequence[str], method: str, region: Region,
                 threshold: float | None, timing: Timing,
                 on_progress: Callable[[Progress], None] | None) -> Explanation:
        pixels = picture.pixels
        answers, taps = self.model.run_with_taps(pixels.astype(np.uint8)[np.newaxis], names)
        passes = Passes(self.model, pixels, self.baseline(pixels),
                        self.weights(picture, answers[0], region, threshold))
        work = Explaining(passes, picture, self._layers_of(names, taps), answers[0], timing,
                          self._batch, on_progress)
        try:
            if method == 'fast':
                work.fast(self._share)
            else:
                work.exact()
            complete = True
        except (Stopped, RunStopped):
            complete = False
        return work.explanation(complete)

    def _layers_of(self, names: Sequence[str], taps: dict[str, npt.NDArray[np.float32]],
                   ) -> dict[str, Layer]:
        """Return name -> layer; names of one tensor are one layer."""
        tensors = self.model.card.taps
        by_tensor: dict[str, Layer] = {}
        for name in names:
            if tensors[name] not in by_tensor:
                by_tensor[tensors[name]] = Layer(name, taps[name][0])
        return {name: by_tensor[tensors[name]] for name in names}

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
            chosen = self.marked(picture, answer, threshold).astype(np.float32)
            if not chosen.any():    # nothing predicted: what came nearest to it
                nearest = 0.5 * float(picture.inner(answer).max())
                chosen = self.marked(picture, answer, nearest).astype(np.float32)
        else:
            mask = region_of_box(region, picture.frame_size) if isinstance(region, tuple) \
                else region
            if mask.shape != picture.frame_size or not mask.any():
                raise ValueError(
                    f'region of {mask.shape} with {np.count_nonzero(mask)} px, expected some px '
                    f"within the frame's {picture.frame_size} (height, width)")
            chosen = picture.from_frame(mask.astype(np.float32))
        if not chosen.any():    # a box or mask thinner than a pixel of the picture
            chosen = picture.from_frame(np.ones(picture.frame_size, np.float32))
        return (chosen / chosen.sum(dtype=np.float64)).astype(np.float32)

    def marked(self, picture: Picture, answer: npt.NDArray[np.float32],
               threshold: float | None = None) -> npt.NDArray[np.bool_]:
        """Return the pixels that a segmenter marks, as large as the picture.

        :param answer: its confidence in the picture, H x W.
        :param threshold: confidence that makes the mask; None: the card's.
        """
        limit = self.model.card.threshold if threshold is None else threshold
        found = np.zeros(answer.shape, bool)
        picture.inner(found)[:] = picture.inner(answer) >= limit
        return found

    def baseline(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return X_b of a picture."""
        return baseline_of(pixels, self._baseline)
