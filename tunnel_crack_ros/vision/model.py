# SPDX-License-Identifier: Apache-2.0
"""A model that runs: an ONNX file checked against its card, and the session that executes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from tunnel_crack_ros.vision import providers
from tunnel_crack_ros.vision.cores import allowed_cores
from tunnel_crack_ros.vision.explain.graph_outputs import with_outputs
from tunnel_crack_ros.vision.model_card import CardError, ModelCard, sha256_of
from tunnel_crack_ros.vision.model_folder import find_card, ModelNotFound

_OUTPUTS = {'classifier': ('probabilities', 2), 'segmenter': ('confidence', 3)}


class ModelError(RuntimeError):
    """A model cannot be loaded or run; the message says what was found and what was expected."""


class RunStopped(ModelError):
    """A run was ended by `Model.stop_runs`."""


class Model:
    """An ONNX model of the project's contract: uint8 RGB in, float32 probabilities out."""

    def __init__(self, card: ModelCard, session: onnxruntime.InferenceSession,
                 fallback: str = '') -> None:
        """Wrap a session; use `Model.load`."""
        self.card = card
        self.fallback = fallback
        """What is wrong when another provider runs the model than was asked for; else ''."""
        self._session = session
        self._output = _OUTPUTS[card.task][0]
        self._under_way: list[onnxruntime.RunOptions] = []

    @classmethod
    def load(cls, name: str | Path, *, task: str | None = None,
             wanted_providers: Sequence[str] = (), require_gpu: bool = False,
             threads: int = 0, with_taps: bool = False) -> Model:
        """Load a model and check it against its card.

        :param name: plain name of a model, or path to its .onnx or .yaml file.
        :param task: `classifier` or `segmenter`, when only that will do.
        :param wanted_providers: plain names (`tensorrt`, `cuda`, `openvino`, `cpu`), the most
            wanted first; empty: all that this machine has, in that order.
        :param require_gpu: refuse to run on anything but TensorRT or CUDA.
        :param threads: threads of one inference; 0: as many as cores that the process may use.
        :param with_taps: make the card's taps outputs of the graph, for `run_with_taps`; costs a
            little time and memory in every run.
        :raises ModelError: the file or card is missing, or does not fit hash, task, input, output
            or provider.
        """
        try:
            path = find_card(str(name))
            card = ModelCard.read(path)
        except (ModelNotFound, CardError) as error:
            raise ModelError(str(error)) from None
        file = path.with_name(card.file)
        _check_file(file, card, task)
        try:
            chosen = providers.choose_providers(
                wanted_providers, onnxruntime.get_available_providers(), file.parent)
        except ValueError as error:
            raise ModelError(f'{card.name}: {error}') from None
        options = onnxruntime.SessionOptions()
        # 0 of its own would tie its threads to cores, even to such as `taskset` has taken away,
        # and those of two nodes to the same ones
        options.intra_op_num_threads = threads or allowed_cores()
        # spinning threads take the core from the camera's driver between two frames
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        # int8 on CPUs without VNNI: sums must not saturate, or they differ from those measured
        options.add_session_config_entry('session.x64quantprecision', '1')
        options.log_severity_level = 3
        graph = with_outputs(file.read_bytes(), list(dict.fromkeys(card.taps.values()))) \
            if with_taps else str(file)
        try:
            session = onnxruntime.InferenceSession(
                graph, options, providers=[name for name, _ in chosen],
                provider_options=[option for _, option in chosen])
        except Exception as error:  # ONNX Runtime raises several types of its own
            raise ModelError(f'{file}: ONNX Runtime cannot load it: {error}') from error
        _check_graph(file, card, session)
        model = cls(card, session, providers.fallback(
            wanted_providers, onnxruntime.get_available_providers(), session.get_providers()[0]))
        if require_gpu and model.provider not in providers.GPU:
            raise ModelError(f'{card.name}: runs on {model.provider}, but require_gpu is set; '
                             f"available: {', '.join(onnxruntime.get_available_providers())}")
        return model

    @property
    def provider(self) -> str:
        """Return the plain name of the provider really in use, e.g. `cpu`."""
        return providers.plain_name(self._session.get_providers()[0])

    def run(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Run the network on a batch.

        :param images: uint8, N x H x W x 3, RGB; H and W as the card says (a segmenter takes any
            multiples of 32).
        :return: float32, N x 2 (background, crack) for a classifier, N x H x W for a segmenter.
        :raises ModelError: the engine failed.
        """
        result, = self._run(images, [self._output])
        return result

    def run_with_taps(
            self, images: npt.NDArray[np.uint8], layers: Sequence[str],
            ) -> tuple[npt.NDArray[np.float32], dict[str, npt.NDArray[np.float32]]]:
        """Run the network on a batch and look at layers on the way; load with `with_taps`.

        :param images: as in `run`.
        :param layers: plain names of taps on the card.
        :return: what `run` returns; and layer -> float32, N x C x h x w.
        :raises ModelError: a layer is not on the card, or the engine failed.
        """
        unknown = [layer for layer in layers if layer not in self.card.taps]
        if unknown:
            raise ModelError(f"{self.card.name} has no layer {', '.join(unknown)}; "
                             f"its card names {', '.join(self.card.taps) or 'none'}")
        tensors = list(dict.fromkeys(self.card.taps[layer] for layer in layers))
        result, *found = self._run(images, [self._output, *tensors])
        by_tensor = dict(zip(tensors, found))
        return result, {layer: by_tensor[self.card.taps[layer]] for layer in layers}

    def stop_runs(self) -> None:
        """End the runs that are under way in other threads: they raise `RunStopped`."""
        for options in tuple(self._under_way):
            options.terminate = True

    def _run(self, images: npt.NDArray[np.uint8],
             outputs: list[str]) -> list[npt.NDArray[np.float32]]:
        options = onnxruntime.RunOptions()
        self._under_way.append(options)
        try:
            results: list[npt.NDArray[np.float32]] = self._session.run(
                outputs, {'image': images}, options)
        except Exception as error:  # ONNX Runtime raises several types of its own
            if options.terminate:
                raise RunStopped(f'{self.card.name}: inference was stopped') from error
            raise ModelError(f'{self.card.name}: inference failed on {images.shape}: {error}') \
                from error
        finally:
            self._under_way.remove(options)
        # a NaN is not above any threshold: a broken engine would pass for a sound lining
        if not all(np.isfinite(result).all() for result in results):
            raise ModelError(f'{self.card.name}: inference on {images.shape} gave numbers that '
                             'are not finite')
        return results


def _check_file(file: Path, card: ModelCard, task: str | None) -> None:
    if task is not None and card.task != task:
        raise ModelError(f'{card.name} is a {card.task}, expected a {task}')
    if not file.is_file():
        raise ModelError(f'{file}: named by its card, but there is no such file')
    found = sha256_of(file)
    if found != card.sha256:
        raise ModelError(f'{file}: SHA-256 is {found[:12]}…, the card says '
                         f'{card.sha256[:12]}…: the file was changed or damaged')


def _check_graph(file: Path, card: ModelCard, session: onnxruntime.InferenceSession) -> None:
    """Hold the graph's input and output against the contract. A dynamic side is no whole number.

    :raises ModelError: they do not fit.
    """
    inputs = {i.name: i for i in session.get_inputs()}
    outputs = {o.name: o for o in session.get_outputs()}
    if set(inputs) != {'image'} or inputs['image'].type != 'tensor(uint8)' \
            or len(inputs['image'].shape) != 4 or inputs['image'].shape[3] != 3:
        found = ', '.join(f'{i.name} {i.type} {i.shape}' for i in inputs.values())
        raise ModelError(f'{file}: input is {found}; expected image tensor(uint8) [N, H, W, 3]')
    name, rank = _OUTPUTS[card.task]
    if name not in outputs or outputs[name].type != 'tensor(float)' \
            or len(outputs[name].shape) != rank:
        found = ', '.join(f'{o.name} {o.type} {o.shape}' for o in outputs.values())
        raise ModelError(f'{file}: output is {found}; '
                         f'expected {name} tensor(float) of rank {rank}')
    size = [side for side in inputs['image'].shape[1:3] if isinstance(side, int)]
    classes = outputs[name].shape[1]
    if card.task == 'segmenter' and size:
        raise ModelError(f'{file}: takes only pictures of {inputs["image"].shape[1:3]} '
                         '(height, width), expected both sides dynamic')
    if card.task == 'classifier' and size and tuple(size) != card.input_size[::-1]:
        raise ModelError(f'{file}: takes pictures of {size} (height, width), the card says '
                         f'{list(card.input_size[::-1])}')
    if card.task == 'classifier' and isinstance(classes, int) and classes != len(card.classes):
        raise ModelError(f'{file}: gives {classes} probabilities, the card says '
                         f'{len(card.classes)} classes')
