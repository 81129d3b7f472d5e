# SPDX-License-Identifier: Apache-2.0
"""The ScoreCAM of the package grad-cam (pytorch-grad-cam) on our networks, to compare times."""

from __future__ import annotations

import contextlib
import os
import time

import numpy as np
from pytorch_grad_cam import ScoreCAM
import torch
from torch import nn

from tunnel_crack_ros.training.grad_cam import torch_network
from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.model_folder import find_card
from tunnel_crack_ros.vision.score_cam import ScoreCam


class _Watched(nn.Module):
    """Takes pictures as the package expects them, and passes a layer through one module."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.layer = network, nn.Identity()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        answer, tap = self.network(pictures.permute(0, 2, 3, 1).to(torch.uint8))
        self.layer(tap)
        return answer


def library_seconds(cam: ScoreCam, name: str, frame: RgbFrame, layer: str) -> float:
    """Return how long the package takes for one map, all channels, s.

    The same network (turned into PyTorch by onnx2torch), picture, layer and f as ours; batches of
    16, as the package has them. Its masked pictures fade to black, and it takes a softmax over
    the scores: the maps are others, the passes the same.

    :param cam: says which pixels f looks at.
    :param name: of the segmenter, or path of its file; fp32.
    :raises ModelError: the graph cannot be turned into a network.
    """
    card_file = find_card(name)
    card = ModelCard.read(card_file)
    network = _Watched(torch_network(card_file, card, [card.taps[layer]]))
    picture = cam.picture(frame)
    answer = cam.model.run(picture.pixels.astype(np.uint8)[np.newaxis])[0]
    found = cam.weights(picture, answer, None, None)
    assert found is not None
    weights = torch.from_numpy(found)
    pictures = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None].contiguous()
    library = ScoreCAM(network, [network.layer])
    with torch.no_grad(), open(os.devnull, 'w') as nowhere, \
            contextlib.redirect_stderr(nowhere):     # a progress bar of its own
        network(pictures)       # the first run is slow
        start = time.monotonic()
        library(pictures, [lambda confidence: (confidence * weights).sum()])
        return time.monotonic() - start
