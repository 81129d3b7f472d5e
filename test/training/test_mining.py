# SPDX-License-Identifier: Apache-2.0
"""False alarms of a trained segmenter are found, and drawn more often."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset
from tunnel_crack_ros.simulation import render_single
from tunnel_crack_ros.training.mining import FalseAlarm, mine_false_alarms
from tunnel_crack_ros.training.samples import CropSamples, SampleMix
from tunnel_crack_ros.vision.model import ModelError
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, SEGMENTER

pytestmark = pytest.mark.training


_SEED = 12      # of a simulated frame with a plain crack


@pytest.fixture(scope='module')
def three_walls(tmp_path_factory: pytest.TempPathFactory) -> CrackDataset:
    """Give a crack that is labelled as none, a plain wall, and a labelled crack."""
    folder = tmp_path_factory.mktemp('walls')
    for kind in ('images', 'masks'):
        (folder / kind).mkdir()
    frame = render_single(_SEED, cracked=True)
    flat = np.full_like(frame.rgb, 140)
    flat[100:104, 300:304] = 0      # a spot
    nothing = np.zeros_like(frame.mask)
    for name, picture, mask in (('line', frame.rgb, nothing), ('wall', flat, nothing),
                                ('crack', frame.rgb, frame.mask)):
        cv2.imwrite(str(folder / 'images' / f'{name}.png'), picture[:, :, ::-1])
        cv2.imwrite(str(folder / 'masks' / f'{name}.png'), mask)
    return CrackDataset.read(folder)


def test_only_what_is_marked_without_a_crack_is_mined(three_walls: CrackDataset) -> None:
    """What is labelled as no crack is found where the crack is; wall and labelled crack not."""
    told: list[tuple[int, int]] = []
    found = mine_false_alarms(SEGMENTER, three_walls.images,
                              lambda done, of: told.append((done, of)))
    assert found and {alarm.image.stem for alarm in found} == {'line'}
    near = cv2.dilate(render_single(_SEED, cracked=True).mask, np.ones((9, 9), np.uint8))
    strongest = max(found, key=lambda alarm: alarm.confidence)
    assert near[strongest.y, strongest.x]
    assert told == [(1, 2), (2, 2)]


def test_crack_free_crops_hold_a_mined_place(three_walls: CrackDataset) -> None:
    """With nothing but mined places drawn, every crop holds the place."""
    wall = next(image for image in three_walls.images if image.stem == 'wall')
    place = FalseAlarm(wall, 301, 101, 0.9)
    mix = replace(SampleMix(), clean_share=1.0, mined_share=1.0, distractor_share=0.0,
                  scales=(2.0, 2.0), vary=False)
    samples = CropSamples(three_walls.images, {}, 12, 0, 96, mix, [place])
    for crop, label in (samples[number] for number in range(12)):
        assert crop.float().mean(dim=2).min() < 90      # the dark spot is in it
        assert not label.any()


def test_only_segmenters_mine(three_walls: CrackDataset) -> None:
    """The error says what was found and what was expected."""
    with pytest.raises(ModelError, match='expected a segmenter'):
        mine_false_alarms(CLASSIFIER, three_walls.images)
