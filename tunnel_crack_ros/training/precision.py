# SPDX-License-Identifier: Apache-2.0
"""In which numbers networks learn: bfloat16 where the processor computes it, float32 elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from torch import nn

# as torch.cpu.get_capabilities names them: x86 with either, ARM with the last
_CPU_FEATURES = ('avx512_bf16', 'amx_bf16', 'bf16')


def autocast(device: torch.device) -> torch.autocast:
    """Return the context that a network trains and validates in.

    bfloat16 halves the time of a step on a CPU that has it. One without emulates it, a
    convolution in 14 times the time of float32 (AVX2, PyTorch 2.14): there nothing is changed.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=_computes_bfloat16(device.type))


def depthwise_in_float32(network: nn.Module) -> None:
    """Let a network's depthwise convolutions compute in float32, whatever autocast says.

    On a CPU their gradients take three to fifteen times as long in bfloat16 (PyTorch 2.14,
    AVX-512 with AMX): half of a step of EfficientNet-Lite0. Weights and names stay as they are.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.__class__ = _in_float32(type(module))


def _in_float32(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    # a class, not a hook or a closure: copies of the network have weights of their own
    class Float32(kind):     # type: ignore[misc, valid-type]

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            with torch.autocast(pixels.device.type, enabled=False):
                found: torch.Tensor = super().forward(pixels.float())
            return found.to(pixels.dtype)
    return Float32


@lru_cache(maxsize=1)
def _computes_bfloat16(device: str) -> bool:
    if device == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # older releases of PyTorch cannot tell
    read: Callable[[], Mapping[str, object]] = getattr(torch.cpu, 'get_capabilities', dict)
    capabilities = read()
    return any(capabilities.get(name) for name in _CPU_FEATURES)
