# SPDX-License-Identifier: Apache-2.0
"""Samples are balanced, labelled by what they show, and the same for the same seed."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset
from tunnel_crack_ros.training import distractors
from tunnel_crack_ros.training.augment import vary_appearance
from tunnel_crack_ros.training.distractors import add_distractors
from tunnel_crack_ros.training.imagenet import efficientnet_lite_weights
from tunnel_crack_ros.training.labels import (
    cell_labels,
    CRACK,
    IGNORE,
    NO_CRACK,
    paste_crack,
    thin_label,
)
from tunnel_crack_ros.training.losses import CrackLoss
from tunnel_crack_ros.training.models import ARCHITECTURES
from tunnel_crack_ros.training.samples import (
    crack_extent,
    CropSamples,
    fit,
    FrameSamples,
    Pool,
    SampleMix,
)
from tunnel_crack_ros.training.simulated import crack_contrast, FIRST_SEED, simulated_images
from tunnel_crack_ros.training.validation import (
    best_balanced_threshold,
    mask_counts,
    PEAKS,
    THRESHOLDS,
)
from tunnel_crack_ros.vision.segmenter import clean_mask

pytestmark = pytest.mark.training

PLAIN = SampleMix(distractor_share=0.0, paste_share=0.0)


@pytest.fixture(scope='module')
def images(drawn_cracks):
    return CrackDataset.read(drawn_cracks).images


def darkest(image):
    return int(image.numpy().min())


def test_half_of_the_frame_samples_show_a_crack_and_are_labelled_so(images, monkeypatch):
    monkeypatch.setattr('tunnel_crack_ros.training.samples.vary_appearance', lambda i, _: i)
    samples = FrameSamples(images, {}, 80, 0, (160, 160), PLAIN)
    labels = [int(label) for _, label, _ in samples]
    assert 25 < sum(labels) < 55
    # the drawn crack is 30, the wall 150 with noise of 6: darkness tells whether it is in view
    assert [darkest(image) < 100 for image, _, _ in samples] == [label == 1 for label in labels]


def test_a_sample_depends_on_seed_epoch_and_position_only(images):
    def sample(seed, epoch, position):
        samples = CropSamples(images, {}, 8, seed, 64)
        samples.set_epoch(epoch)
        return samples[position]

    first, again = sample(1, 2, 3), sample(1, 2, 3)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], sample(1, 3, 3)[0])
    assert not torch.equal(first[0], sample(2, 2, 3)[0])


def test_masks_of_crops_lie_on_the_crack(images, monkeypatch):
    monkeypatch.setattr('tunnel_crack_ros.training.samples.vary_appearance', lambda i, _: i)
    samples = CropSamples([image for image in images if image.has_crack], {}, 10, 0, 96, PLAIN)
    for image, mask in samples:
        inside = mask.numpy() > 0
        if inside.sum() > 40:
            assert image.numpy()[inside].mean() < image.numpy()[~inside].mean() - 50


def test_sources_of_weight_zero_are_never_drawn(images):
    pool = Pool.of(images, {})
    assert set(pool.by_source) == {images[0].source}
    with pytest.raises(ValueError, match='no image to draw from'):
        Pool.of(images, {images[0].source: 0.0})


def test_a_hairline_survives_shrinking():
    mask = np.zeros((512, 512), bool)
    mask[:, 250] = True
    _, small = fit(np.zeros((512, 512, 3), np.uint8), mask, (320, 320))
    assert crack_extent(small) == 1.0


def test_appearance_keeps_shape_and_type(images):
    frame, _ = images[1].read()
    for seed in range(30):
        varied = vary_appearance(np.ascontiguousarray(frame), np.random.default_rng(seed))
        assert varied.shape == frame.shape and varied.dtype == np.uint8


def test_simulated_frames_keep_away_from_the_seeds_of_tests(tmp_path):
    frames = simulated_images(tmp_path, 6)
    assert min(int(frame.stem) for frame in frames) >= FIRST_SEED == 100_000
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.png')}
    assert simulated_images(tmp_path, 6) == frames
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.png')} == written
    for frame in frames:
        assert frame.read()[1].any() == frame.has_crack


def test_frames_that_could_not_be_written_are_rendered_the_next_time(tmp_path, monkeypatch):
    """A disk that was full left a mask without its picture, and no later run mended it."""
    full = 'No space left on device'

    def refuse(self, data):
        self.touch()
        raise OSError(full)

    with monkeypatch.context() as disk:
        disk.setattr(Path, 'write_bytes', refuse)
        with pytest.raises(OSError, match=full):
            simulated_images(tmp_path, 2)
    assert all(frame.read()[1].any() == frame.has_crack for frame in simulated_images(tmp_path, 2))


def test_contrast_tells_visible_cracks_from_invisible_ones():
    mask = np.zeros((40, 40), bool)
    mask[20] = True
    frame = np.full((40, 40, 3), 100, np.uint8)
    assert crack_contrast(frame, mask) == 0.0
    frame[20] = 60
    assert crack_contrast(frame, mask) == pytest.approx(0.4)


def test_counts_at_all_operating_points_equal_those_of_the_cleaned_masks():
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.random((120, 160), np.float32), (0, 0), 4.0)
    confidence = (noise - noise.min()) / (noise.max() - noise.min())
    mask = cv2.GaussianBlur(rng.random((120, 160), np.float32), (0, 0), 4.0) > 0.52
    counts = mask_counts(confidence, mask)
    for i in (0, 6, 12):
        for j in (0, 3):
            found = clean_mask(confidence, THRESHOLDS[i], 30, PEAKS[j]) > 0
            assert counts[:, i, j].tolist() == [
                (found & mask).sum(), (found & ~mask).sum(), (~found & mask).sum()]
    assert counts[:2, 8, 0].sum() > counts[:2, 8, 3].sum()      # the peak does drop pieces


def test_balanced_threshold_lies_between_the_classes():
    assert best_balanced_threshold([0.2, 0.3, 0.7, 0.8], [False, False, True, True]) \
        == pytest.approx(0.5, abs=0.01)
    assert best_balanced_threshold([0.2, 0.3], [True, True]) == 0.5


def test_loss_falls_to_nothing_for_a_perfect_mask():
    label = torch.zeros(2, 8, 8)
    label[:, 3] = 1
    loss = CrackLoss()
    assert loss((label * 40 - 20)[:, None], label) < 1e-3
    assert loss((20 - label * 40)[:, None], label) > 10


@pytest.mark.parametrize('size', [0, 1, 2])
def test_imagenet_weights_fill_the_whole_encoder(size):
    weights = efficientnet_lite_weights(size)
    for plan in (plan for name, plan in ARCHITECTURES.items()
                 if f'lite{size}' in name):
        network = plan.build(True)
        backbone = network.encoder.model if plan.task == 'segmenter' else network
        own = backbone.state_dict()
        assert all(torch.equal(own[name], weights[name])
                   for name in own if not name.startswith('classifier.'))


def wall_with_line(thickness):
    rng = np.random.default_rng(0)
    image = rng.normal(150, 3, (128, 128, 3)).clip(0, 255).astype(np.uint8)
    mask = np.zeros((128, 128), bool)
    image[62:62 + thickness] = 40
    mask[62:62 + thickness] = True
    return image, mask


def test_a_thick_label_is_thinned_to_the_dark_line():
    image, line = wall_with_line(3)
    thick = np.zeros_like(line)
    thick[56:71] = True
    label = thin_label(image, thick)
    assert set(np.flatnonzero((label == CRACK).all(axis=1))) <= {61, 62, 63, 64, 65}
    assert (label[62:65] == CRACK).all()
    assert (label[57] == NO_CRACK).all() and (label[66] == IGNORE).all()


def test_a_label_with_nothing_dark_under_it_is_not_judged():
    image = np.full((64, 64, 3), 150, np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[20:30] = True
    assert (thin_label(image, mask)[mask] == IGNORE).all()


def test_a_pasted_crack_darkens_the_clean_picture_where_it_is_and_nowhere_else():
    image, mask = wall_with_line(4)
    clean = np.full_like(image, 200)
    pasted = paste_crack(clean, image, mask, 1.0).astype(int)
    assert pasted[mask].mean() < 90
    assert np.abs(pasted[:55] - 200).max() == 0 and np.abs(pasted[75:] - 200).max() == 0


def test_distractors_change_the_picture_and_say_what_they_hide():
    image, mask = wall_with_line(4)
    hides = lined = 0
    for seed in range(60):
        drawn, hidden, lines = add_distractors(image, mask, np.random.default_rng(seed))
        changed = np.abs(drawn.astype(int) - image).max(axis=2)
        # what is nowhere near a change is no drawn line
        assert not (lines & (cv2.dilate(changed.astype(np.uint8), np.ones((7, 7))) < 3)).any()
        lined += lines.any()
        assert drawn.shape == image.shape and drawn.dtype == np.uint8
        assert not (hidden & ~mask).any() and hidden.sum() <= 0.3 * mask.sum()
        hides += hidden.any()
    assert 0 < hides < 60
    assert lined > 50
    slowly = image + np.linspace(0.0, 60.0, image.shape[1], dtype=np.float32)[:, None]
    assert not distractors._edges(slowly, image).any()


@pytest.mark.parametrize('kind', dict.fromkeys(distractors._KINDS), ids=lambda kind: kind.__name__)
def test_every_distractor_is_drawn_where_it_covers(kind):
    image, _ = wall_with_line(4)
    changed = 0
    for seed in range(20):
        scene = image.astype(np.float32)
        drawn, cover = kind(scene, np.random.default_rng(seed))
        assert drawn.shape == scene.shape and drawn.dtype == np.float32
        assert cover.shape == scene.shape[:2] and cover.dtype == np.float32
        assert np.isfinite(drawn).all() and cover.min() >= 0.0 and cover.max() <= 1.0 + 1e-5
        assert (scene == image).all()
        changed += bool((np.abs(drawn - scene) > 3.0).any())
    assert changed >= 15


def test_drawn_lines_are_labelled_as_none_but_like_a_crack(images):
    found = set()
    samples = CropSamples(images, {}, 40, 0, 128, SampleMix(paste_share=0.0))
    for _, label in samples:
        found |= set(label.unique().tolist())
    assert found == {0.0, 1.0, 2.0, 255.0}


def test_cells_follow_the_crack():
    label = np.zeros((128, 128), np.uint8)
    label[100, 10:60] = CRACK
    cells = cell_labels(label, (128, 128))
    assert cells.shape == (4, 4)
    assert [tuple(cell) for cell in np.argwhere(cells == CRACK)] == [(3, 0), (3, 1)]
    frame = np.zeros((512, 512), np.uint8)
    frame[:, 256] = CRACK           # one of four pixels remains of it
    assert (cell_labels(frame, (128, 128))[:, 2] == CRACK).all()


def test_a_hairline_beside_a_wide_crack_counts():
    label = torch.zeros(2, 64, 64)
    label[0, :, 30] = 1.0
    label[1, :, 10:50] = 1.0
    right = torch.full((2, 1, 64, 64), -8.0)
    right[:, 0][label == 1] = 8.0
    without_hairline = right.clone()
    without_hairline[0] = -8.0
    # its own share of cross entropy is small: 64 of 8192 pixels
    assert CrackLoss()(without_hairline, label) - CrackLoss()(right, label) > 0.25


def hairline_found():
    """Return the label of a crack of 1 px, 1 x 128 x 128, and the logits that say just that."""
    label = torch.zeros(1, 128, 128)
    label[0, :, 30] = 1.0
    right = torch.full((1, 1, 128, 128), -8.0)
    right[0, 0, :, 30] = 8.0
    return label, right


def test_what_is_marked_near_a_crack_is_no_false_crack():
    label, right = hairline_found()
    plain, silent = CrackLoss(), CrackLoss(silence=1.0)
    for column, costs in ((45, False), (60, True)):
        longer = right.clone()
        longer[0, 0, 10:110, column] = 4.0
        more = silent(longer, label) - silent(right, label) \
            - (plain(longer, label) - plain(right, label))
        assert bool(more > 0.5) is costs


def test_a_joint_drawn_near_a_crack_is_a_false_crack():
    label, right = hairline_found()
    loud = right.clone()
    loud[0, 0, 10:110, 40] = 4.0
    drawn = label.clone()
    drawn[0, :, 40] = 2.0
    silent, plain = CrackLoss(silence=1.0), CrackLoss()
    assert silent(loud, drawn) - silent(loud, label) > 0.5
    assert plain(loud, drawn) == plain(loud, label)


def test_labelled_look_alikes_are_drawn_without_a_crack(tmp_path):
    for kind, value in (('images', 90), ('masks', 0), ('masks_distractor', 0)):
        (tmp_path / kind).mkdir()
        picture = np.full((300, 300), value, np.uint8)
        if kind == 'masks':
            picture[:, 20:22] = 255
        if kind == 'masks_distractor':
            picture[140:150, 250:260] = 255
        cv2.imwrite(str(tmp_path / kind / 'a.png'), picture)
        if kind != 'masks_distractor':
            cv2.imwrite(str(tmp_path / kind / 'b.png'), np.full((300, 300), value, np.uint8))
    images = CrackDataset.read(tmp_path).images
    mix = SampleMix(clean_share=1.0, lookalike_share=1.0, distractor_share=0.0)
    samples = CropSamples(images, {}, 8, 0, 128, mix)
    found = [samples._lookalike_crop(np.random.default_rng(seed)) for seed in range(20)]
    drawn = [crop[1] for crop in found if crop is not None]
    assert len(drawn) > 10 and not any((label == 1).any() for label in drawn)


def test_false_cracks_far_from_any_crack_cost_more_with_the_silence_term():
    label = torch.zeros(1, 64, 64)
    label[0, :, 30] = 1.0
    quiet = torch.full((1, 1, 64, 64), -8.0)
    quiet[0, 0, :, 30] = 8.0
    loud = quiet.clone()
    loud[0, 0, 10:16, 50:56] = 4.0
    plain, silent = CrackLoss(), CrackLoss(silence=1.0)
    assert silent(loud, label) - silent(quiet, label) > 0.5 + (
        plain(loud, label) - plain(quiet, label))
    ignored = label.clone()
    ignored[0, 5:20, 45:60] = 255.0
    assert silent(loud, ignored) < silent(quiet, label) + 0.05
