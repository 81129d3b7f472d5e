# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that runs like an exported model, so that the same evaluation scores both."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from tunnel_crack_ros import __version__
from tunnel_crack_ros.training.checkpoint import plan_of, read_checkpoint
from tunnel_crack_ros.training.export import Deployed
from tunnel_crack_ros.training.licences import training_data
from tunnel_crack_ros.training.validation import Validation
from tunnel_crack_ros.vision import Model, ModelCard, ModelError
from tunnel_crack_ros.vision.model_card import sha256_of


class CheckpointModel(Model):
    """A `.best.pt` behind the face of `vision.Model`: uint8 RGB in, float32 probabilities out.

    The network runs in float32, as exported files do; its card is the one that an export would
    write, save that file and hash are the checkpoint's and that it names no taps.
    """

    def __init__(self, card: ModelCard, network: Deployed, device: torch.device) -> None:
        """Wrap a network; use `CheckpointModel.load_checkpoint`."""
        self.card = card
        self.fallback = ''
        self._network = network
        self._device = device

    @classmethod
    def load_checkpoint(cls, path: Path, task: str | None = None) -> CheckpointModel:
        """Load the best weights of a training.

        :param path: `<model>.best.pt`.
        :param task: `classifier` or `segmenter`, when only that will do.
        :raises ModelError: no such file, not a `.best.pt`, or a network for another task.
        """
        try:
            state = read_checkpoint(path)
            plan = plan_of(state)
            network = plan.build(False)
            network.load_state_dict(state['network'])
        except Exception as error:  # torch.load raises several types of its own
            raise ModelError(f'{path}: cannot be loaded: {error}') from error
        if task is not None and plan.task != task:
            raise ModelError(f"{path}: {state['model']} is a {plan.task}, expected a {task}")
        validation = Validation.from_dict(state['validation'])
        card = ModelCard(
            name=state['model'], file=path.name, sha256=sha256_of(path), task=plan.task,
            architecture=plan.title, classes=['background', 'crack'], input_size=plan.input_size,
            threshold=round(validation.threshold, 3), peak=round(validation.peak, 3),
            precision='fp32', version=__version__,
            training_data=training_data(state.get('training_data', {})))
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        return cls(card, Deployed(network, plan).eval().to(device), device)

    @property
    def provider(self) -> str:
        """Return `pytorch-cpu` or `pytorch-cuda`."""
        return f'pytorch-{self._device.type}'

    def run(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Run the network on a batch; as `vision.Model.run`.

        :param images: uint8, N x H x W x 3, RGB; sides of a segmenter's image are multiples of 32.
        :return: float32, N x 2 (background, crack) for a classifier, N x H x W for a segmenter.
        :raises ModelError: the network failed, or gave numbers that are not finite.
        """
        try:
            with torch.inference_mode():
                found = self._network(torch.from_numpy(images).to(self._device))
        except RuntimeError as error:
            raise ModelError(f'{self.card.name}: inference failed on {images.shape}: {error}') \
                from error
        result = cast(torch.Tensor, found).float().cpu().numpy()
        if not np.isfinite(result).all():
            raise ModelError(f'{self.card.name}: inference on {images.shape} gave numbers that '
                             'are not finite')
        return cast('npt.NDArray[np.float32]', result)
