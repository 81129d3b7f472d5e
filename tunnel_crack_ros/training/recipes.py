# SPDX-License-Identifier: Apache-2.0
"""How networks are trained by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# How often a source is drawn, relative. Thin, careful labels count more than k11's, whose lines
# are 2 to 5 times too thick; brick, tile and asphalt only lend variety. The simulator's frames
# are the only ones with segment joints and bolt pockets.
# asphalt_cfd118 is for non-commercial research only: 0 leaves it out.
CLASSIFIER_SOURCES: Mapping[str, float] = {
    'uav75': 1.5, 'uavcrack_cc0': 2.0, 'web_concrete24': 1.0, 'k11_rissbilder': 2.0,
    'k11_volker': 1.0, 'k11_eugen': 0.2, 'k11_noncrack': 3.0, 'tile100': 0.8, 'masonry224': 0.8,
    'simulated': 2.5, 'asphalt_cfd118': 0.0, 'asphalt_sut60': 0.0, 'asphalt_crack500_150': 0.0,
}
SEGMENTER_SOURCES: Mapping[str, float] = {
    'uav75': 3.0, 'uavcrack_cc0': 3.0, 'web_concrete24': 1.0, 'k11_rissbilder': 2.0,
    'k11_volker': 0.7, 'k11_eugen': 0.1, 'k11_noncrack': 3.0, 'tile100': 0.5, 'masonry224': 0.7,
    'simulated': 3.0, 'asphalt_cfd118': 0.0, 'asphalt_sut60': 0.3, 'asphalt_crack500_150': 0.3,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The numbers of one training run."""

    epochs: int
    samples_per_epoch: int
    batch_size: int
    learning_rate: float
    source_weights: Mapping[str, float]
    weight_decay: float = 0.02
    average_decay: float = 0.99     # of the weights' moving average, which is what is kept
    crop_side: int = 256            # segmenters, px
    clean_share: float = 0.3        # segmenters: samples from photographs without crack
    validate_every: int = 1         # epochs


RECIPES: Mapping[str, Recipe] = {
    'classifier': Recipe(
        epochs=12, samples_per_epoch=1024, batch_size=16, learning_rate=6e-4,
        source_weights=CLASSIFIER_SOURCES),
    'segmenter': Recipe(
        epochs=12, samples_per_epoch=1024, batch_size=8, learning_rate=8e-4,
        source_weights=SEGMENTER_SOURCES, validate_every=3),
}
"""Task -> numbers, found on the light networks; the large ones have none of their own yet."""
