# SPDX-License-Identifier: Apache-2.0
"""Frames of simulated linings as extra training data.

They are the only training frames with segment joints, bolt pockets and cables, and half of them
are without crack: they teach silence on a clean lining.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.simulation import render_single
from tunnel_crack_ros.training.augment import Mask, Picture
from tunnel_crack_ros.vision.picture_file import write_picture

FIRST_SEED = 100_000    # seeds below are for tests and demonstrations: never train on them
SOURCE = 'simulated'
_LEAST_CONTRAST = 0.07  # of the crack against the concrete beside it


def simulated_images(folder: Path, count: int) -> list[CrackImage]:
    """Render what is not in the folder yet.

    The renderer also draws cracks far thinner than a pixel. A frame whose cracks nobody can see
    would teach the network to guess, so it is left out.

    :param folder: where the pictures are kept; a later run with the same count renders nothing.
    :param count: frames to render; every second one is cracked.
    :return: the frames in the order of their seeds, without those of invisible cracks.
    """
    for kind in ('images', 'masks'):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    rendered = (_rendered(folder, FIRST_SEED + number) for number in range(count))
    return [image for image in rendered
            if not image.has_crack or crack_contrast(*image.read()) >= _LEAST_CONTRAST]


def crack_contrast(picture: Picture, mask: Mask) -> float:
    """How much darker a crack is than the concrete 2 to 4 px beside it.

    :param picture: uint8, H x W x 3, RGB.
    :param mask: bool, H x W.
    :return: share of the concrete's brightness, 0 (invisible) to 1; 0 without crack.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    inside = mask.astype(np.uint8)
    beside = (cv2.dilate(inside, np.ones((9, 9), np.uint8))
              > cv2.dilate(inside, np.ones((3, 3), np.uint8)))
    if not mask.any() or not beside.any():
        return 0.0
    concrete = float(grey[beside].mean())
    return (concrete - float(grey[mask].mean())) / max(concrete, 1.0)


def _rendered(folder: Path, seed: int) -> CrackImage:
    mask_path = folder / 'masks' / f'{seed}.png'
    image = CrackImage(
        source=SOURCE, stem=str(seed), split='', has_crack=seed % 2 == 0,
        image_path=folder / 'images' / f'{seed}.png', mask_path=mask_path,
        group=str(seed))
    if not mask_path.is_file():       # written last: there when the picture is complete
        frame = render_single(seed, cracked=image.has_crack)
        # render_single has compressed the frame already: PNG adds no second loss
        write_picture(image.image_path, frame.rgb)
        write_picture(folder / mask_path.name, frame.mask).replace(mask_path)
    return image
