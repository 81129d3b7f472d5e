# SPDX-License-Identifier: Apache-2.0
"""Learn from a trained network: from its answers, and from what its layers see.

A deep network from random weights learns next to nothing from masks in an hour: few pixels are
crack, and a frame's label is one bit. A trained network tells it something at every pixel of every
layer. Answers: Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural Network*, 2015.
Features: Romero et al., *FitNets*, 2015, section 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tunnel_crack_ros.training.licences import images_by_source
from tunnel_crack_ros.training.models import Architecture
from tunnel_crack_ros.vision.model import Model

_LAYERS = ('layer1', 'layer2', 'layer3', 'layer4')
_ANSWER_WEIGHT = 1.0
_FEATURE_WEIGHT = 1.0


class Teacher:
    """A deployed model that answers for the training samples."""

    def __init__(self, name: str, plan: Architecture) -> None:
        """Load the model.

        :param name: plain name or path of an ONNX model of the same task as `plan`.
        :param plan: of the network that learns.
        :raises ModelError: there is no such model, or it is of the other task.
        """
        self._model = Model.load(name, task=plan.task, with_taps=True)
        # a Vision Transformer has no layer of such a name: it learns from the answers alone
        self.layers = [layer for layer in _LAYERS
                       if layer in plan.taps and layer in self._model.card.taps]

    @property
    def input_size(self) -> tuple[int, int]:
        """Return width and height that a classifier sees, px."""
        return self._model.card.input_size

    @property
    def identity(self) -> str:
        """Return name and hash."""
        return self._model.card.identity

    @property
    def training_data(self) -> dict[str, int]:
        """Return what it was trained on itself: images by source."""
        return images_by_source(self._model.card)

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Answer for uint8 N x H x W x 3.

        :return: crack probability, N or N x H x W; and layer -> float32, N x C x h x w.
        """
        answers, features = self._model.run_with_taps(images.numpy(), self.layers)
        if answers.ndim == 2:
            answers = answers[:, 1]
        return (torch.from_numpy(answers),
                {layer: torch.from_numpy(found) for layer, found in features.items()})


class Distillation(nn.Module):
    """How far a network is from its teacher; holds what translates between their features."""

    def __init__(self, network: nn.Module, plan: Architecture, teacher: Teacher) -> None:
        """Listen to the network's layers and translate each by a 1 x 1 convolution.

        :param network: the one that learns; of `plan`.
        """
        super().__init__()
        self._teacher = [teacher]       # in a list: no part of the network's state
        self._features: dict[str, torch.Tensor] = {}
        for layer in teacher.layers:
            network.get_submodule(plan.taps[layer].module).register_forward_hook(
                self._keep(layer))
        width, height = teacher.input_size
        _, theirs = teacher(torch.zeros(1, height, width, 3, dtype=torch.uint8))
        with torch.no_grad():
            device = next(network.parameters()).device
            network.eval()(torch.zeros(1, 3, plan.input_size[1], plan.input_size[0],
                                       device=device))
        self._translate = nn.ModuleDict({
            layer: nn.Conv2d(self._features[layer].shape[1], theirs[layer].shape[1], 1)
            for layer in teacher.layers})
        # their channels count alike, however large their numbers are
        self._even = nn.ModuleDict({
            layer: nn.BatchNorm2d(theirs[layer].shape[1], affine=False)
            for layer in teacher.layers})

    def _keep(self, layer: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            self._features[layer] = output
        return keep

    def forward(self, images: torch.Tensor, logits: torch.Tensor,
                labels: torch.Tensor) -> torch.Tensor:
        """Compare with the network's last forward pass.

        :param images: uint8, N x H x W x 3, as the teacher sees them.
        :param logits: of the network, N x 2 (classifier) or N x 1 x H x W (segmenter).
        :param labels: N, or float32 N x H x W: 1 crack. Where a segmenter's teacher misses a
            crack, the label is right: half of the hairlines' pixels would be taught as none.
        :return: binary cross entropy to the teacher's probabilities, and the mean square
            difference of its features, in standard deviations.
        """
        answers, theirs = self._teacher[0](images.cpu())
        if answers.ndim == 3:
            answers = torch.maximum(answers, (labels == 1).float().cpu())
        return (_ANSWER_WEIGHT * answer_loss(logits, answers)
                + _FEATURE_WEIGHT * self._of_features(theirs))

    def _of_features(self, theirs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        differences = []
        for layer, translate in self._translate.items():
            found = translate(self._features[layer])
            wanted = self._even[layer](theirs[layer].to(found.device))
            differences.append(functional.mse_loss(
                found.float(), _resized(wanted, found.shape[2:])))
        return torch.stack(differences).mean() if differences else torch.zeros(())


def answer_loss(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Compare a network's logits with its teacher's probabilities, by binary cross entropy.

    :param logits: N x 2 (background, crack) or N x 1 x H x W.
    :param answers: probability of crack, N or N x H x W, 0..1.
    """
    own = logits.float()
    own = own[:, 1] - own[:, 0] if own.ndim == 2 else own[:, 0]
    return functional.binary_cross_entropy_with_logits(own, answers.to(own.device))


def reduced(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Reduce uint8 N x H x W x 3 to width and height by area averaging."""
    width, height = size
    if images.shape[1:3] == (height, width):
        return images
    small = functional.interpolate(images.permute(0, 3, 1, 2).float(), (height, width),
                                   mode='area')
    return small.round().to(torch.uint8).permute(0, 2, 3, 1)


def _resized(features: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    height, width = shape
    if features.shape[2:] == shape:
        return features
    if features.shape[2] > height:
        return functional.adaptive_avg_pool2d(features, (height, width))
    return functional.interpolate(features, (height, width), mode='bilinear',
                                  align_corners=False)
