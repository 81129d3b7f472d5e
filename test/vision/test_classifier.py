# SPDX-License-Identifier: Apache-2.0
"""Stage 1: labels by threshold, batches in order, UNKNOWN where the gate refuses."""

import math

import numpy as np
import pytest

from tunnel_crack_ros.vision import CrackClassifier, Label, Model, ModelError, QualityGate
from tunnel_crack_ros.vision.classifier import windows_of


@pytest.fixture(scope='module')
def model(toy_models, toy_folder) -> Model:
    return Model.load(toy_folder / f"{toy_models.NAMES['classifier']}.onnx")


def frame(darkest: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """Return a frame with a block of one grey value in light surroundings."""
    picture = np.full((*size, 3), 180, np.uint8)
    picture[size[0] // 4:size[0] // 2, size[1] // 4:size[1] // 2] = darkest
    return picture


def test_a_batch_of_mixed_sizes_keeps_its_order(model, toy_models):
    verdicts = CrackClassifier(model).classify(
        [frame(20), frame(150, (300, 200)), frame(45, (65, 1000))])
    assert [v.label for v in verdicts] == [Label.CRACK, Label.NO_CRACK, Label.CRACK]
    assert verdicts[0].crack_probability == pytest.approx(toy_models.probability(20), abs=1e-6)
    assert [v.reason for v in verdicts] == ['', '', '']
    assert {v.threshold for v in verdicts} == {0.5}


@pytest.mark.parametrize('shape', [(384, 4000), (4000, 384), (100, 251), (1, 9000)])
def test_windows_of_a_long_frame_cover_it_and_are_alike(shape):
    picture = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(*shape, 1)
    windows = windows_of(picture)
    assert len({window.shape for window in windows}) == 1 < len(windows)
    assert len(windows) <= 32
    assert max(windows[0].shape[:2]) <= max(1.5 * min(shape), max(shape) / 32) + 1
    assert np.array_equal(np.unique(np.concatenate([w.ravel() for w in windows])),
                          picture.ravel())


def test_frames_of_usual_cameras_are_judged_whole():
    for shape in ((480, 640), (1080, 1920), (1920, 1080), (100, 250), (1, 1), (0, 0)):
        picture = np.zeros((*shape, 3), np.uint8)
        assert [window.shape for window in windows_of(picture)] == [picture.shape]


def test_a_thin_crack_across_a_line_scan_is_seen_and_a_batch_keeps_its_order(model, toy_models):
    scan = np.full((64, 6400, 3), 180, np.uint8)
    scan[:, 4000:4004] = 20     # squeezed to 64 px it would be grey like its surroundings
    scan[:, 100:104] = 60
    verdicts = CrackClassifier(model).classify([frame(150), scan, frame(150)])
    assert [v.label for v in verdicts] == [Label.NO_CRACK, Label.CRACK, Label.NO_CRACK]
    assert verdicts[1].crack_probability == pytest.approx(
        max(toy_models.probability(grey) for grey in (20, 60)), abs=0.02)


def test_a_batch_gives_what_single_frames_give(model):
    frames = [frame(value) for value in (10, 60, 61, 200)]
    classifier = CrackClassifier(model)
    assert classifier.classify(frames) == [classifier.classify([f])[0] for f in frames]


def test_unknown_frames_are_left_out_of_the_batch(model):
    class Gate(QualityGate):

        def reason_to_refuse(self, picture):
            return 'too odd' if picture.shape[0] % 2 else ''

    frames = [frame(20, (65, 64)), frame(20), frame(20, (67, 64)), frame(150)]
    verdicts = CrackClassifier(model, Gate()).classify(frames)
    assert [v.label for v in verdicts] == [Label.UNKNOWN, Label.CRACK, Label.UNKNOWN,
                                           Label.NO_CRACK]
    assert [v.reason for v in verdicts] == ['too odd', '', 'too odd', '']
    assert [math.isnan(v.crack_probability) for v in verdicts] == [True, False, True, False]


def test_all_unknown_and_no_frames_at_all_need_no_engine(model):
    classifier = CrackClassifier(model, QualityGate())
    assert classifier.classify([]) == []
    assert [v.label for v in classifier.classify([np.zeros((9, 9, 3), np.uint8)])] == \
        [Label.UNKNOWN]


def test_a_probability_at_the_threshold_is_a_crack(model):
    probability = CrackClassifier(model).classify([frame(60)])[0].crack_probability
    assert CrackClassifier(model, None, probability).classify([frame(60)])[0].label is Label.CRACK
    above = float(np.nextafter(np.float32(probability), np.float32(1)))
    assert CrackClassifier(model, None, above).classify([frame(60)])[0].label is Label.NO_CRACK


def test_a_threshold_of_zero_is_not_the_cards(model):
    assert CrackClassifier(model, None, 0.0).classify([frame(255)])[0].label is Label.CRACK


def test_a_read_only_frame_is_left_as_it_was(model):
    picture = frame(20, (200, 200))
    picture.flags.writeable = False
    before = picture.copy()
    CrackClassifier(model, QualityGate()).classify([picture])
    assert np.array_equal(picture, before)


def test_a_segmenter_is_no_classifier(toy_models, toy_folder):
    other = Model.load(toy_folder / f"{toy_models.NAMES['segmenter']}.onnx")
    with pytest.raises(ModelError, match='is a segmenter, expected a classifier'):
        CrackClassifier(other)
