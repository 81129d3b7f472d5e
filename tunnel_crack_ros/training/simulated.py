# SPDX-License-Identifier: Apache-2.0
"""Frames of simulated linings as extra training data.

They are the only training frames with segment joints, bolt pockets and cables, and half of them
are without crack: they teach silence on a clean lining.
"""

from __future__ import annotations

from pathlib import Path

import cv2

from tunnel_crack_ros.evaluation.crack_dataset import CrackImage
from tunnel_crack_ros.simulation import render_single

FIRST_SEED = 100_000    # seeds below are for tests and demonstrations: never train on them
SOURCE = 'simulated'


def simulated_images(folder: Path, count: int) -> list[CrackImage]:
    """Render what is not in the folder yet.

    :param folder: where the pictures are kept; a later run with the same count renders nothing.
    :param count: frames; every second one is cracked.
    :return: the frames in the order of their seeds.
    """
    for kind in ('images', 'masks'):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    return [_rendered(folder, FIRST_SEED + number) for number in range(count)]


def _rendered(folder: Path, seed: int) -> CrackImage:
    image = CrackImage(
        source=SOURCE, stem=str(seed), split='', has_crack=seed % 2 == 0,
        image_path=folder / 'images' / f'{seed}.png', mask_path=folder / 'masks' / f'{seed}.png',
        group=str(seed))
    if not image.mask_path.is_file():       # written last: there when the picture is complete
        frame = render_single(seed, cracked=image.has_crack)
        # render_single has compressed the frame already: PNG adds no second loss
        cv2.imwrite(str(image.image_path), frame.rgb[:, :, ::-1])
        cv2.imwrite(str(image.mask_path), frame.mask)
    return image
