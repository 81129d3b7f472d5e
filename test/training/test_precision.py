# SPDX-License-Identifier: Apache-2.0
"""Networks learn in bfloat16 only where that is no detour."""

import copy

import pytest
import torch

from tunnel_crack_ros.training import precision

pytestmark = pytest.mark.training
CPU = torch.device('cpu')


def _type_of_products(monkeypatch, capabilities):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: capabilities, raising=False)
    precision._computes_bfloat16.cache_clear()
    with precision.autocast(CPU):
        found = (torch.ones(4, 4) @ torch.ones(4, 4)).dtype
    precision._computes_bfloat16.cache_clear()
    return found


@pytest.mark.parametrize('capabilities', [
    {'avx512_f': True, 'avx512_bf16': True}, {'amx_bf16': True}, {'bf16': True}])
def test_a_processor_that_computes_bfloat16_uses_it(monkeypatch, capabilities):
    assert _type_of_products(monkeypatch, capabilities) is torch.bfloat16


@pytest.mark.parametrize('capabilities', [
    {'avx2': True, 'avx512_bf16': False, 'amx_bf16': False}, {'avx512_f': True}, {}])
def test_one_that_would_emulate_it_stays_with_float32(monkeypatch, capabilities):
    assert _type_of_products(monkeypatch, capabilities) is torch.float32


def test_an_older_pytorch_stays_with_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, 'get_capabilities', raising=False)
    precision._computes_bfloat16.cache_clear()
    with precision.autocast(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32
    precision._computes_bfloat16.cache_clear()


def test_depthwise_convolutions_stay_in_float32_and_copies_have_weights_of_their_own():
    plain = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 1), torch.nn.Conv2d(8, 8, 3, padding=1, groups=8))
    network = copy.deepcopy(plain)
    precision.depthwise_in_float32(network)
    seen = []
    network[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].dtype))
    pixels = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(network(pixels), plain(pixels))
    assert list(network.state_dict()) == list(plain.state_dict())
    average = copy.deepcopy(network)
    with torch.no_grad():
        network[1].weight.zero_()
        assert torch.equal(average(pixels), plain(pixels))
    with torch.autocast('cpu', torch.bfloat16):
        found = average(pixels)
    assert found.dtype is torch.bfloat16 and seen[-1] is torch.bfloat16
    found.float().sum().backward()
    assert average[1].weight.grad.dtype is torch.float32
