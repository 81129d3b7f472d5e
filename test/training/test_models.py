# SPDX-License-Identifier: Apache-2.0
"""Every network that can be trained gives what its task promises, and has the layers it names."""

import pytest
import torch

from tunnel_crack_ros.training.models import architecture, ARCHITECTURES

pytestmark = pytest.mark.training

PAPER = {
    'densenet169_classifier', 'densenet201_classifier', 'efficientnet_b0_classifier',
    'resnet50_classifier', 'resnet101_classifier', 'swin_t_classifier', 'vit_b16_classifier',
    'deeplabv3plus_resnet101_segmenter', 'deeplabv3_resnet101_segmenter',
    'pspnet_resnet50_segmenter', 'unet_vgg13_segmenter', 'unetplusplus_vgg13_segmenter'}


def test_all_twelve_networks_of_the_paper_are_there():
    assert set(ARCHITECTURES) >= PAPER


@pytest.mark.parametrize('name', sorted(ARCHITECTURES))
def test_a_network_gives_logits_of_its_task(name):
    plan = architecture(name)
    network = plan.build(False).eval()
    # the vision transformer knows one size only; the others are quicker on a small picture
    side = 224 if name.startswith('vit') else 64
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, side, side))
    assert logits.shape == ((1, 2) if plan.task == 'classifier' else (1, 1, side, side))
    modules = dict(network.named_modules())
    assert {tap.module for tap in plan.taps.values()} <= set(modules)


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown model 'alexnet'.*densenet169_classifier"):
        architecture('alexnet')


@pytest.mark.parametrize(('name', 'side', 'complaint'), [
    ('unet_efficientnet_lite0_segmenter', 320, 'takes frames of any size'),
    ('densenet169_classifier', 300, '300 px; expected a multiple of 32 from 64 on'),
    ('densenet169_classifier', 32, '32 px; expected a multiple of 32 from 64 on'),
    ('vit_b16_classifier', 320, 'takes 224 px a side only, not 320'),
])
def test_an_input_that_a_network_cannot_take_is_refused(name, side, complaint):
    with pytest.raises(ValueError, match=complaint):
        architecture(name, side)


def test_a_classifier_takes_another_input():
    assert architecture('densenet169_classifier', 320).input_size == (320, 320)
    assert architecture('densenet169_classifier').input_size == (224, 224)
    assert architecture('vit_b16_classifier', 224).input_size == (224, 224)


def test_a_full_size_skip_starts_as_if_it_were_not_there():
    """Weights trained without it keep their answers; then it has a say."""
    torch.manual_seed(0)
    plain = architecture('unet_efficientnet_lite0_segmenter').build(False).eval()
    fine = architecture('fine_unet_efficientnet_lite0_segmenter').build(False).eval()
    fine.load_state_dict(fine.state_dict() | plain.state_dict())
    picture = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(fine(picture), plain(picture))
        torch.nn.init.normal_(fine.skip.add.weight)
        assert not torch.equal(fine(picture), plain(picture))
