# SPDX-License-Identifier: Apache-2.0
"""Stage 2: a mask at the frame's own size, whatever that size is."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from tunnel_crack_ros.vision import CrackSegmenter, Model, ModelError
from tunnel_crack_ros.vision.segmenter import clean_mask, wide_parts


@pytest.fixture(scope='module')
def model(toy_models, toy_folder) -> Model:
    return Model.load(toy_folder / f"{toy_models.NAMES['segmenter']}.onnx")


def cracked(height: int, width: int) -> np.ndarray:
    """Return a light frame with a dark column 3 px wide, where it has room."""
    frame = np.full((height, width, 3), 180, np.uint8)
    frame[:, width // 2:width // 2 + 3] = 10
    return frame


@given(st.integers(1, 130), st.integers(1, 130))
@settings(deadline=None)
def test_the_mask_of_a_frame_of_any_size_is_exact(model, height, width):
    segmentation = CrackSegmenter(model, min_area_px=1).segment(cracked(height, width))
    assert segmentation.confidence.shape == segmentation.mask.shape == (height, width)
    assert segmentation.confidence.dtype == np.float32
    assert np.array_equal(segmentation.mask > 0, cracked(height, width)[:, :, 0] == 10)


@pytest.mark.parametrize('size', [(400, 300), (301, 401), (31, 5000), (3, 40000 // 2)])
def test_large_frames_are_reduced_and_their_masks_are_not(model, size):
    seen = []
    run = model.run

    class Watching:
        card = model.card

        @staticmethod
        def run(images):
            seen.append(images.shape)
            return run(images)

    segmentation = CrackSegmenter(Watching(), max_pixels=32 * 1024).segment(cracked(*size))
    assert segmentation.mask.shape == size
    (_, height, width, _), = seen
    assert height % 32 == 0 and width % 32 == 0
    # at most a padding of 31 px on each side above the limit
    assert (height - 31) * (width - 31) <= 32 * 1024


def test_a_reduced_frame_keeps_its_crack(model):
    segmentation = CrackSegmenter(model, max_pixels=200 * 200).segment(cracked(600, 600))
    found = np.flatnonzero(segmentation.mask.any(axis=0))
    # reduced by 3: where a column of the network's picture was dark, give or take one of them
    assert found.size and abs(found.mean() - 301) <= 1.5 and found.size <= 9


def test_a_frame_that_needs_no_padding_is_left_as_it_was(model):
    frame = cracked(64, 96)
    frame.flags.writeable = False
    assert CrackSegmenter(model).segment(frame).mask.any()


def test_thresholds(model):
    frame = cracked(64, 64)
    assert CrackSegmenter(model, 0.0).segment(frame).mask.all()
    assert not CrackSegmenter(model, 1.0).segment(frame).mask.any()
    assert CrackSegmenter(model).segment(frame).threshold == model.card.threshold


def test_pieces_below_the_smallest_area_go_and_diagonal_neighbours_count_as_one():
    confidence = np.zeros((20, 20), np.float32)
    confidence[[2, 3, 4], [2, 3, 4]] = 0.9       # a diagonal of 3
    confidence[10, 10:12] = 0.9                  # 2
    confidence[15, 15] = 0.5                     # 1, at the threshold
    assert np.count_nonzero(clean_mask(confidence, 0.5, 1)) == 6
    assert np.count_nonzero(clean_mask(confidence, 0.5, 2)) == 5
    assert np.count_nonzero(clean_mask(confidence, 0.5, 3)) == 3
    assert np.count_nonzero(clean_mask(confidence, 0.5, 4)) == 0
    assert set(np.unique(clean_mask(confidence, 0.5, 1))) == {0, 255}


@pytest.mark.parametrize('value', [0.0, 1.0])
def test_empty_and_full_masks(value):
    mask = clean_mask(np.full((9, 7), value, np.float32), 0.5, 30)
    assert mask.dtype == np.uint8 and (mask == 255 * value).all()


def test_a_classifier_is_no_segmenter(toy_models, toy_folder):
    other = Model.load(toy_folder / f"{toy_models.NAMES['classifier']}.onnx")
    with pytest.raises(ModelError, match='is a classifier, expected a segmenter'):
        CrackSegmenter(other)


def test_a_piece_that_never_reaches_the_peak_is_dropped():
    confidence = np.zeros((20, 40), np.float32)
    confidence[5, 2:18] = 0.6           # faint all along
    confidence[15, 2:18] = 0.6
    confidence[15, 9] = 0.95            # faint, with one sure pixel
    mask = clean_mask(confidence, 0.5, 1, peak=0.9)
    assert not mask[5].any() and np.count_nonzero(mask[15]) == 16
    assert np.count_nonzero(clean_mask(confidence, 0.5, 1)) == 32
    assert np.count_nonzero(clean_mask(confidence, 0.5, 1, peak=0.4)) == 32


def test_half_size_fills_wide_cracks_and_leaves_hairlines_as_they_are():
    confidence = np.zeros((60, 90), np.float32)
    confidence[:, 20] = 0.9         # a hairline
    confidence[:, 40:44] = 0.8      # 4 px
    confidence[:, 60:69] = 0.7      # 9 px
    kept = wide_parts(confidence)
    assert not kept[:, :58].any() and not kept[:, 71:].any()
    assert (kept[:, 60:69] == np.float32(0.7)).all()


@pytest.mark.parametrize('size', [(96, 160), (64, 64), (63, 200), (101, 97), (700, 900)])
def test_half_size_is_seen_when_the_card_says_so_and_the_frame_is_large_enough(model, size):
    seen = []

    class RimsOnly:
        card = replace(model.card, half_scale=True)

        @staticmethod
        def run(images):
            seen.append(images.shape[1:3])
            # the half-size picture's network fills the middle, the other one sees nothing
            confidence = np.zeros(images.shape[:3], np.float32)
            if len(seen) == 2 or min(size) < 64:
                middle = images.shape[2] // 2
                confidence[:, :, middle - 8:middle + 8] = 0.9
            return confidence

    confidence = CrackSegmenter(RimsOnly(), max_pixels=1 << 18).confidence(
        np.zeros((*size, 3), np.uint8))
    assert confidence.shape == size and confidence.dtype == np.float32
    assert len(seen) == (2 if min(size) >= 64 else 1)
    assert (confidence > 0.8).any()
    assert all(side % 32 == 0 for shape in seen for side in shape)


class SeesOnlyWide:
    """Stands in for a network that misses cracks below 4 px."""

    def __init__(self, model: Model, enlarge: float) -> None:
        self.card = replace(model.card, enlarge=enlarge)
        self.seen: list[tuple[int, int]] = []

    def run(self, images: np.ndarray) -> np.ndarray:
        """Mark columns that are dark for at least 4 px."""
        self.seen.append(images.shape[1:3])
        dark = images[..., 0] < 90
        wide = dark & (dark.sum(2, keepdims=True) >= 4)
        return wide.astype(np.float32)


@pytest.mark.parametrize('size', [(100, 160), (64, 64), (37, 201), (1, 96)])
def test_a_hairline_is_found_in_the_enlarged_frame_and_drawn_where_it_is(model, size):
    network, frame = SeesOnlyWide(model, 1.5), cracked(*size)
    confidence = CrackSegmenter(network).confidence(frame)
    assert confidence.shape == size and confidence.dtype == np.float32
    assert len(network.seen) == 2 and network.seen[1][1] >= 1.5 * size[1] - 1
    assert np.array_equal(confidence > 0.5, frame[:, :, 0] == 10)
    assert not CrackSegmenter(network, enlarge=False).confidence(frame).any()
    assert len(network.seen) == 3


def test_without_a_word_on_the_card_no_frame_is_enlarged(model):
    network = SeesOnlyWide(model, 1.0)
    CrackSegmenter(network).confidence(cracked(96, 96))
    assert network.seen == [(96, 96)]


@pytest.mark.parametrize(('max_pixels', 'expected'), [
    (1 << 20, (384, 384)), (320 * 320, (320, 320)), (300 * 300, None), (200 * 200, None)])
def test_an_enlarged_frame_keeps_to_max_pixels(model, max_pixels, expected):
    """Enlarging by less than 1.2 is left; a frame that had to be reduced is not enlarged again."""
    network = SeesOnlyWide(model, 1.5)
    CrackSegmenter(network, max_pixels=max_pixels).confidence(cracked(256, 256))
    assert network.seen[1:] == ([expected] if expected else [])
