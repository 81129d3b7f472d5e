# SPDX-License-Identifier: Apache-2.0
"""Which ONNX Runtime execution provider runs a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PREFERENCE = ('tensorrt', 'cuda', 'openvino', 'cpu')
"""Plain names of the providers, the most wanted first."""

_FULL_NAMES = {
    'tensorrt': 'TensorrtExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'openvino': 'OpenVINOExecutionProvider',
    'cpu': 'CPUExecutionProvider',
}
GPU = ('tensorrt', 'cuda')


def plain_name(full_name: str) -> str:
    """Return the plain name of an ONNX Runtime provider: `cpu` for `CPUExecutionProvider`."""
    for plain, full in _FULL_NAMES.items():
        if full == full_name:
            return plain
    return full_name


def choose_providers(wanted: Sequence[str], available: Sequence[str],
                     cache: Path | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Return the providers to hand to ONNX Runtime, in order of preference.

    :param wanted: plain names, or empty for the whole of PREFERENCE. The CPU always comes last.
    :param available: full names, from `onnxruntime.get_available_providers()`.
    :param cache: folder for TensorRT's engines; None: no cache.
    :return: pairs of full name and options.
    :raises ValueError: a name is unknown.
    """
    unknown = [name for name in wanted if name not in _FULL_NAMES]
    if unknown:
        raise ValueError(f"unknown provider {', '.join(unknown)}; "
                         f"expected {', '.join(PREFERENCE)}")
    order = [name for name in (*(wanted or PREFERENCE), 'cpu') if _FULL_NAMES[name] in available]
    return [(_FULL_NAMES[name], _options(name, cache)) for name in dict.fromkeys(order)]


def fallback(wanted: Sequence[str], available: Sequence[str], used: str) -> str:
    """Say that a model does not run where it was asked to.

    :param wanted: plain names as `choose_providers` takes them.
    :param available: full names, from `onnxruntime.get_available_providers()`.
    :param used: full name of the provider that the session really uses.
    :return: one sentence; '' when the first choice is in use. Asked for the whole of PREFERENCE,
        the first that this machine has counts as the first choice.
    """
    chosen = [name for name, _ in choose_providers(wanted, available)]
    open_choice = not wanted or tuple(wanted) == PREFERENCE
    first = plain_name(chosen[0]) if open_choice else wanted[0]
    if plain_name(used) == first:
        return ''
    return (f'runs on {plain_name(used)} instead of {first}; ONNX Runtime has '
            f"{', '.join(plain_name(name) for name in available)}")


def _options(name: str, cache: Path | None) -> dict[str, Any]:
    if name == 'tensorrt' and cache is not None:
        return {'trt_engine_cache_enable': True, 'trt_engine_cache_path': str(cache),
                'trt_timing_cache_enable': True, 'trt_timing_cache_path': str(cache)}
    return {}
