# SPDX-License-Identifier: Apache-2.0
"""What of a frame is explained: the prediction, a box, a mask, one crack."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.vision import Crack, CrackSegmenter, measure_cracks, Model
from tunnel_crack_ros.vision.explain.region import region_of_crack
from tunnel_crack_ros.vision.model_folder import SEGMENTER
from tunnel_crack_ros.vision.score_cam import ScoreCam


def test_the_region_chooses_what_is_explained(segmenter, frame):
    cam = ScoreCam(segmenter)
    left = np.zeros((64, 96), bool)
    left[10:50, 4:30] = True
    by_mask, by_box, all_of_it = (
        cam.explain(frame, ['deep'], method='exact', region=region)
        for region in (left, (4, 10, 26, 40), None))
    confidence = segmenter.run(frame[np.newaxis])[0]
    assert by_mask.score == pytest.approx(confidence[left].mean(), abs=1e-5)
    assert by_box.score == pytest.approx(by_mask.score)
    assert (by_box.heat_maps[0].values == by_mask.heat_maps[0].values).all()
    assert all_of_it.score == pytest.approx(confidence[confidence >= 0.5].mean(), abs=1e-5)


def test_where_nothing_is_predicted_the_nearest_to_it_is_explained(segmenter, frame):
    confidence = segmenter.run(frame[np.newaxis])[0]
    found = ScoreCam(segmenter).explain(frame, ['deep'], threshold=1.1)
    nearest = confidence >= 0.5 * confidence.max()
    assert 0 < nearest.sum() < nearest.size
    assert found.score == pytest.approx(confidence[nearest].mean(), abs=1e-5)


@pytest.mark.parametrize('region', [(200, 0, 5, 5), np.ones((3, 3), bool),
                                    np.zeros((64, 96), bool)])
def test_a_region_that_does_not_fit_is_refused(segmenter, frame, region):
    with pytest.raises(ValueError, match=r'outside the frame|expected some px'):
        ScoreCam(segmenter).explain(frame, ['deep'], region=region)


def test_one_crack_of_a_mask_is_a_region():
    confidence = np.zeros((80, 120), np.float32)
    cv2.line(confidence, (10, 20), (100, 20), 1.0, 3)
    cv2.line(confidence, (10, 60), (60, 60), 1.0, 3)
    from tunnel_crack_ros.vision.segmenter import clean_mask, Segmentation
    mask = clean_mask(confidence, 0.5, 1)
    cracks: list[Crack] = measure_cracks(Segmentation(confidence, mask, 0.5))
    assert len(cracks) == 2
    longest = max(cracks, key=lambda crack: crack.length_px)
    region = region_of_crack(longest, mask)
    assert region[:40].sum() == (mask[:40] > 0).sum() and not region[40:].any()


def test_cracks_of_the_shipped_segmenter_can_be_regions():
    """The path from a measured crack to its explanation, without a look at what it says."""
    model = Model.load(SEGMENTER, with_taps=True)
    frame = np.full((96, 128, 3), 180, np.uint8)
    cv2.line(frame, (10, 20), (110, 70), (20, 20, 20), 3)
    segmentation = CrackSegmenter(model, threshold=0.05).segment(frame)
    cracks = measure_cracks(segmentation)
    if not cracks:
        pytest.skip('the shipped segmenter sees no crack in a plain line')
    region = region_of_crack(cracks[0], segmentation.mask)
    found = ScoreCam(model).explain(frame, [list(model.card.taps)[0]], region=region,
                                    deadline_s=0.0)
    assert found.score == pytest.approx(segmentation.confidence[region].mean(), abs=1e-3)
