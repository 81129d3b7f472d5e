# SPDX-License-Identifier: Apache-2.0
"""A network learns from a trained one, beside its labels."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tunnel_crack_ros.training.cell_head import CellHead
from tunnel_crack_ros.training.checkpoint import read_run
from tunnel_crack_ros.training.deployed_weights import load_deployed
from tunnel_crack_ros.training.distillation import answer_loss, Distillation, reduced, Teacher
from tunnel_crack_ros.training.export import export
from tunnel_crack_ros.training.fit import Epoch, train
from tunnel_crack_ros.training.models import architecture, Normalise
from tunnel_crack_ros.training.recipes import OURS
from tunnel_crack_ros.vision.model import ModelError
from tunnel_crack_ros.vision.model_card import ModelCard
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, find_card, SEGMENTER

pytestmark = pytest.mark.training

_STUDENT = 'deeplabv3plus_resnet18_segmenter'


def _pictures(side: int) -> torch.Tensor:
    return torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8,
                         generator=torch.Generator().manual_seed(0))


def _lesson(network: torch.nn.Module, model: str) -> Distillation:
    plan = architecture(model)
    return Distillation(network, plan, Teacher(SEGMENTER, plan))


class Interrupted(Exception):
    """Somebody stopped the run."""


def stop(epoch: Epoch) -> None:
    """Stop after the first epoch."""
    raise Interrupted


def test_teacher_itself_is_nearest_to_its_answers() -> None:
    """The same weights as the teacher's answer as it does; random ones do not."""
    images = _pictures(96)
    plan = architecture(SEGMENTER)
    answers, _ = Teacher(SEGMENTER, plan)(images)
    network = plan.build(False)
    with torch.inference_mode():
        strange = answer_loss(network.eval()(Normalise()(images)), answers)
        load_deployed(network, SEGMENTER, find_card(SEGMENTER).with_suffix('.onnx'), images)
        same = answer_loss(network.eval()(Normalise()(images)), answers)
    entropy = torch.nn.functional.binary_cross_entropy(answers, answers)
    assert float(same) == pytest.approx(float(entropy), abs=1e-5)
    assert float(strange) > float(same) + 0.1


def test_every_common_layer_teaches() -> None:
    """Gradients reach the first layer and the last, at different strides than the teacher's."""
    torch.manual_seed(0)
    network = architecture(_STUDENT).build(False)
    images = _pictures(96)
    lesson = _lesson(network, _STUDENT)
    lesson(images, network.train()(Normalise()(images)), torch.zeros(2, 96, 96)).backward()
    for name in ('encoder.conv1', 'encoder.layer4.1.conv1', 'segmentation_head.0'):
        gradient = network.get_submodule(name).weight.grad
        # identity blocks pass nothing on to their convolutions in the first step
        assert gradient is not None and (bool(gradient.any()) or 'layer4' in name)


@pytest.mark.parametrize('model, teacher', [
    (_STUDENT, SEGMENTER), ('efficientnet_lite0_classifier', CLASSIFIER)])
def test_stopped_run_goes_on_to_the_same_weights(model: str, teacher: str, drawn_cracks: Path,
                                                 tmp_path: Path) -> None:
    """What translates between the features is restored, too."""
    recipe = replace(OURS[architecture(model).task], epochs=2, samples_per_epoch=4, batch_size=2,
                     crop_side=96, validate_every=2, schedule='steps', step_epochs=5,
                     input_side=96 if teacher == CLASSIFIER else 0)
    train(model, drawn_cracks, tmp_path / 'whole', recipe=recipe, teacher=teacher)
    with pytest.raises(Interrupted):
        train(model, drawn_cracks, tmp_path / 'parts', recipe=recipe, teacher=teacher,
              on_epoch=stop)
    train(model, drawn_cracks, tmp_path / 'parts', recipe=recipe, teacher=teacher, resume=True)
    ours, theirs = (read_run(tmp_path / run / f'{model}.last.pt')['run']['network']
                    for run in ('whole', 'parts'))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_card_names_the_teacher_and_its_data(drawn_cracks: Path, tmp_path: Path) -> None:
    """What taught the teacher is training data of the network, too."""
    recipe = replace(OURS['segmenter'], epochs=1, samples_per_epoch=2, batch_size=2, crop_side=96)
    best = train(_STUDENT, drawn_cracks, tmp_path, recipe=recipe, teacher=SEGMENTER)
    card = ModelCard.read(export(best, tmp_path).card)
    teacher = ModelCard.read(find_card(SEGMENTER))
    assert card.teacher == teacher.identity
    names = {each['name'] for each in card.training_data}
    assert names > {each['name'] for each in teacher.training_data}


def test_a_teacher_of_the_other_task_is_refused() -> None:
    """Its answers would be of another kind."""
    with pytest.raises(ModelError, match='expected a segmenter'):
        Teacher(CLASSIFIER, architecture(_STUDENT))


@pytest.mark.parametrize('model', [
    'pspnet_resnet50_segmenter', 'unet_vgg13_segmenter', 'efficientnet_b0_classifier',
    'swin_t_classifier', 'vit_b16_classifier'])
def test_networks_of_other_kinds_are_taught(model: str) -> None:
    """By the layers that both have; where there is none, by the answers alone."""
    torch.manual_seed(0)
    plan = architecture(model)
    network = plan.build(False).train()
    teacher = Teacher(CLASSIFIER if plan.task == 'classifier' else SEGMENTER, plan)
    lesson = Distillation(network, plan, teacher)
    side = teacher.input_size[0] if plan.task == 'classifier' else 96
    images = _pictures(side)
    seen = reduced(images, plan.input_size) if plan.task == 'classifier' else images
    logits = network(Normalise()(seen))
    labels = torch.zeros(2) if plan.task == 'classifier' else torch.zeros(2, 96, 96)
    loss = lesson(images, logits, labels)
    answers = answer_loss(logits, teacher(images)[0])
    if teacher.layers:
        assert float(loss.detach()) > float(answers.detach()) + 0.1
    else:
        assert float(loss.detach()) == pytest.approx(float(answers.detach()))
    loss.backward()
    assert all(bool(weights.grad is None or weights.grad.isfinite().all())
               for weights in network.parameters())


def test_pictures_are_reduced_by_area() -> None:
    """Each pixel is the mean of those it covers; the right size is left alone."""
    picture = torch.tensor([[[10, 20], [30, 40]]], dtype=torch.uint8)[..., None].repeat(1, 1, 1, 3)
    assert reduced(picture, (1, 1)).flatten().tolist() == [25, 25, 25]
    assert reduced(picture, (2, 2)) is picture


def test_a_crack_that_the_teacher_misses_is_not_taught_as_none() -> None:
    """Where the label says crack, marking it costs less than leaving it out."""
    plan = architecture(SEGMENTER)
    network = plan.build(False).train()
    lesson = _lesson(network, SEGMENTER)
    images = torch.full((1, 96, 96, 3), 128, dtype=torch.uint8)     # the teacher sees none
    label = torch.zeros(1, 96, 96)
    label[0, 40:42] = 1.0
    network(Normalise()(images))
    marked, left_out = torch.full((1, 1, 96, 96), -6.0), torch.full((1, 1, 96, 96), -6.0)
    marked[0, 0, 40:42] = 6.0
    unjudged = label.clone()
    unjudged[0, 40:42] = 255.0      # of which it says nothing
    with torch.no_grad():
        assert lesson(images, marked, label) < lesson(images, left_out, label) - 0.1
        assert lesson(images, marked, unjudged) > lesson(images, left_out, unjudged) + 0.1


@pytest.mark.parametrize('model', [_STUDENT, 'efficientnet_lite0_classifier'])
def test_lessons_and_heads_begin_where_the_network_is(model: str) -> None:
    """A network that has been moved to a GPU is not shown a picture on the CPU."""
    plan = architecture(model)
    # the CPU computes nothing on `meta`, and says so: as if it were a GPU
    network = plan.build(False).to('meta')
    if plan.task == 'classifier':
        CellHead(network, plan.taps['layer4'].module, (96, 96))
    Distillation(network, plan, Teacher(
        CLASSIFIER if plan.task == 'classifier' else SEGMENTER, plan))
