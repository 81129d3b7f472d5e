# SPDX-License-Identifier: Apache-2.0
"""Deployed models in the place of a network, so that the same functions score both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import nn

from tunnel_crack_ros.training.models import Normalise
from tunnel_crack_ros.vision.model import Model
from tunnel_crack_ros.vision.segmenter import CrackSegmenter

_LEAST = 1e-9   # probability; its logarithm is finite


class OnnxNetwork(nn.Module):
    """Takes what a network takes and gives what it gives: normalised pixels in, logits out."""

    def __init__(self, path: Path) -> None:
        """Load a file of the model contract; it runs on the CPU, on as many cores as PyTorch."""
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry('session.x64quantprecision', '1')
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=['CPUExecutionProvider'])

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Run a batch.

        :param batch: float32 N x 3 x H x W, as `Normalise` gives it.
        :return: float32: N x 2 of a classifier, N x 1 x H x W of a segmenter.
        """
        found, = self._session.run(None, {'image': _pixels(batch)})
        if found.ndim == 2:     # a classifier's: softmax undoes the logarithm
            return torch.from_numpy(np.log(_inside(found)).astype(np.float32))
        return _logits(found)


class SegmenterNetwork(nn.Module):
    """A deployed segmenter with all its passes: half size, enlarged, as its card says."""

    def __init__(self, path: Path) -> None:
        """Load a file with its card beside it."""
        super().__init__()
        self._segmenter = CrackSegmenter(Model.load(path, task='segmenter',
                                                    threads=torch.get_num_threads()))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Run a batch: float32 N x 3 x H x W, as `Normalise` gives it, to N x 1 x H x W."""
        return _logits(np.stack([self._segmenter.confidence(image) for image in _pixels(batch)]))


def _pixels(batch: torch.Tensor) -> npt.NDArray[np.uint8]:
    pixels = (batch.float() * Normalise.STD + Normalise.MEAN).round().clamp(0, 255)
    return np.asarray(pixels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy())


def _inside(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return np.clip(probabilities.astype(np.float64), _LEAST, 1.0 - _LEAST)


def _logits(confidence: npt.NDArray[np.float32]) -> torch.Tensor:
    likely = _inside(confidence)
    return torch.from_numpy(np.log(likely / (1.0 - likely)).astype(np.float32))[:, None]
