# SPDX-License-Identifier: Apache-2.0
"""A network starts from the encoder that it shares with a trained one."""

from pathlib import Path
import re

import pytest
import torch
import torchvision

from tunnel_crack_ros.training.checkpoint import data_of_start, read_start
from tunnel_crack_ros.training.models import architecture, Normalise
from tunnel_crack_ros.training.published_weights import adapted
from tunnel_crack_ros.training.warm_start import start_network

pytestmark = pytest.mark.training


def _checkpoint(model: str) -> dict[str, object]:
    torch.manual_seed(1)
    return {'model': model, 'network': architecture(model).build(False).state_dict()}


@pytest.mark.parametrize('start, model, ours, theirs', [
    ('unet_densenet169_segmenter', 'densenet169_classifier',
     'features.denseblock3.denselayer7.conv2.weight',
     'encoder.features.denseblock3.denselayer7.conv2.weight'),
    ('unet_resnet101_segmenter', 'deeplabv3plus_resnet101_segmenter',
     'encoder.layer4.2.conv3.weight', 'encoder.layer4.2.conv3.weight'),
    ('unet_efficientnet_lite0_segmenter', 'efficientnet_lite0_classifier',
     'blocks.3.1.conv_pw.weight', 'encoder.model.blocks.3.1.conv_pw.weight')])
def test_encoder_is_taken_from_another_model(start: str, model: str, ours: str,
                                             theirs: str) -> None:
    """Every tensor of the encoder arrives; the head stays its own."""
    checkpoint = _checkpoint(start)
    torch.manual_seed(2)
    network = architecture(model).build(False)
    weights = checkpoint['network']
    assert isinstance(weights, dict)
    assert not torch.equal(network.state_dict()[ours], weights[theirs])
    taken = start_network(network, model, checkpoint, Path('start.pt'))
    assert torch.equal(network.state_dict()[ours], weights[theirs])
    encoder = [name for name in weights if name.startswith('encoder.')]
    assert taken > 0.9 * len(encoder)


def test_same_model_is_taken_whole() -> None:
    """Decoder and head too."""
    model = 'deeplabv3plus_resnet18_segmenter'
    checkpoint = _checkpoint(model)
    torch.manual_seed(2)
    network = architecture(model).build(False)
    start_network(network, model, checkpoint, Path('start.pt'))
    weights = checkpoint['network']
    assert isinstance(weights, dict)
    assert all(torch.equal(tensor, weights[name])
               for name, tensor in network.state_dict().items())


def test_another_encoder_is_refused() -> None:
    """The error names file, both models and what fitted."""
    checkpoint = _checkpoint('deeplabv3plus_resnet34_segmenter')
    network = architecture('efficientnet_lite0_classifier').build(False)
    with pytest.raises(ValueError, match='start.pt holds deeplabv3plus_resnet34'):
        start_network(network, 'efficientnet_lite0_classifier', checkpoint, Path('start.pt'))


def test_deeper_network_starts_as_the_shallow_one_does() -> None:
    """A ResNet-101 from a ResNet-50's weights gives the same answers at first."""
    start, model = 'deeplabv3plus_resnet50_segmenter', 'deeplabv3plus_resnet101_segmenter'
    torch.manual_seed(1)
    shallow = architecture(start).build(False)
    for name, weights in shallow.named_parameters():
        if name.startswith('encoder.layer') and name.endswith('bn3.weight'):
            torch.nn.init.uniform_(weights, 0.1, 0.5)       # as if it had learned
    torch.manual_seed(2)
    deep = architecture(model).build(False)
    start_network(deep, model, {'model': start, 'network': shallow.state_dict()},
                  Path('start.pt'))
    picture = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(deep.eval()(picture), shallow.eval()(picture), atol=1e-5)


def test_pyramid_starts_with_its_centre() -> None:
    """The outer weights of atrous convolutions are zero, the middle ones are not."""
    network = architecture('deeplabv3plus_resnet18_segmenter').build(False)
    atrous = [module for name, module in network.named_modules()
              if isinstance(module, torch.nn.Conv2d) and module.dilation[0] in (6, 12, 18)]
    assert len(atrous) == 3
    for module in atrous:
        assert module.weight[:, :, 1, 1].any()
        outer = module.weight.detach().clone()
        outer[:, :, 1, 1] = 0.0
        assert not outer.any()


@pytest.mark.parametrize('published, model, ours, theirs', [
    (torchvision.models.densenet169, 'densenet169_classifier',
     'features.denseblock3.denselayer7.norm2.weight',
     'features.denseblock3.denselayer7.norm.2.weight'),
    (torchvision.models.resnet50, 'deeplabv3plus_resnet50_segmenter',
     'encoder.layer4.2.conv3.weight', 'layer4.2.conv3.weight'),
    (torchvision.models.vgg13, 'unet_vgg13_segmenter',
     'encoder.features.10.weight', 'features.10.weight')])
def test_published_weights_are_a_start(published: object, model: str, ours: str, theirs: str,
                                       tmp_path: Path) -> None:
    """A file as torchvision publishes it: 1000 classes, DenseNet's layers in their old names."""
    torch.manual_seed(1)
    assert callable(published)
    weights = {re.sub(r'(denselayer\d+\.(?:norm|conv))([12])\.', r'\1.\2.', name): tensor
               for name, tensor in published(weights=None).state_dict().items()}
    path = tmp_path / 'imagenet.pth'
    torch.save(weights, path)
    torch.manual_seed(2)
    network = architecture(model).build(False)
    body = [name for name in weights if not name.startswith(('classifier.', 'fc.'))]
    assert start_network(network, model, read_start(path), path) >= len(body)
    assert torch.equal(network.state_dict()[ours], weights[theirs])
    assert data_of_start(path) == {}


@pytest.mark.parametrize('published', [torchvision.models.vgg13, torchvision.models.resnet18])
def test_published_weights_see_what_they_saw(published: object) -> None:
    """A convolution with a bias, and one with a batch normalisation behind it."""
    assert callable(published)
    torch.manual_seed(1)
    theirs, ours = published(weights=None).eval(), published(weights=None).eval()
    for name, tensor in theirs.state_dict().items():
        if name.endswith(('running_mean', '.bias')):
            torch.nn.init.normal_(tensor)
    ours.load_state_dict(adapted(theirs.state_dict()))
    picture = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    seen = torchvision.transforms.functional.normalize(
        picture.permute(0, 3, 1, 2) / 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    parts = [getattr(net, 'features', None) or torch.nn.Sequential(net.conv1, net.bn1)
             for net in (theirs, ours)]
    with torch.inference_mode():
        wanted, found = parts[0][:2](seen), parts[1][:2](Normalise()(picture))
    assert torch.allclose(found[:, :, 3:-3, 3:-3], wanted[:, :, 3:-3, 3:-3], atol=1e-4)
    assert wanted.std() > 0.1


@pytest.mark.parametrize('content, reason', [
    (b'no weights at all', 'PyTorch cannot read it'),
    ({'epoch': 3}, 'holds no network'),
    ([1, 2], 'holds no network')])
def test_what_holds_no_weights_is_refused(content: object, reason: str, tmp_path: Path) -> None:
    """The error names the file."""
    path = tmp_path / 'start.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=f'start.pth.*{reason}'):
        read_start(path)
