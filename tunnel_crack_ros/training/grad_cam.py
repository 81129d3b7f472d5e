# SPDX-License-Identifier: Apache-2.0
"""Grad-CAM, to compare Score-CAM with: it needs gradients, so the ONNX file becomes a network.

Selvaraju et al., *Grad-CAM* (2017), equations 1 and 2; for segmenters, f is a mean over a region
(Vinogradova et al., *Seg-Grad-CAM*, 2020, equation 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import warnings

import numpy as np
import onnx
from onnx2torch import convert
import torch
from torch import nn

from tunnel_crack_ros.evaluation.faithfulness import Maps, Method
from tunnel_crack_ros.training.small_weights import restored
from tunnel_crack_ros.vision.explain.graph_outputs import with_outputs
from tunnel_crack_ros.vision.frame import RgbFrame
from tunnel_crack_ros.vision.model import ModelError
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.model_folder import find_card
from tunnel_crack_ros.vision.score_cam import ScoreCam

_LEAST = 1e-6   # probability; its logit and gradient are finite


def grad_cam(cam: ScoreCam, name: str) -> Method:
    """Return Grad-CAM of the same model as a method.

    :param cam: says which pixels f looks at.
    :param name: of the segmenter, or path of its file; not int8.
    :raises ModelError: the graph cannot be turned into a network.
    """
    card_file = find_card(name)
    card = ModelCard.read(card_file)
    tensors = list(dict.fromkeys(card.taps.values()))
    network = torch_network(card_file, card, tensors)

    def explain(frame: RgbFrame, layers: Sequence[str]) -> Maps:
        picture = cam.picture(frame)
        pixels = torch.from_numpy(picture.pixels.astype(np.uint8)[np.newaxis])
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')     # onnx2torch indexes with lists
            answer, *found = network(pixels)
        weights = cam.weights(picture, answer[0].detach().numpy(), None, None)
        assert weights is not None
        # a confidence near 1 has no slope left: what counts is what makes it, its logit
        score = (answer[0].clamp(_LEAST, 1.0 - _LEAST).logit() * torch.from_numpy(weights)).sum()
        taps = dict(zip(tensors, found))
        chosen = [taps[card.taps[layer]] for layer in layers]
        maps = {}
        for layer, tap, slope in zip(layers, chosen, torch.autograd.grad(score, chosen)):
            heat = (slope.mean((2, 3), keepdim=True) * tap).sum(1)[0].relu().detach().numpy()
            values = picture.to_frame(heat)
            maps[layer] = values / max(float(values.max()), 1e-12)
        return maps
    return explain


def torch_network(card_file: Path, card: ModelCard, tensors: Sequence[str]) -> nn.Module:
    """Return a model's ONNX file as a PyTorch network that also gives some inner tensors.

    :raises ModelError: the graph cannot be turned into a network.
    """
    graph = with_outputs(card_file.with_name(card.file).read_bytes(), tensors)
    try:
        network: nn.Module = convert(restored(onnx.load_from_string(graph))).eval()
    except Exception as error:  # of several types, for operators it does not know
        raise ModelError(f'{card.name} ({card.precision}): cannot be turned into a PyTorch '
                         f'network: {error}') from error
    return network
