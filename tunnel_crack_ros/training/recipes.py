# SPDX-License-Identifier: Apache-2.0
"""How networks are trained by default."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from tunnel_crack_ros.training.samples import SampleMix

# How often a source is drawn, relative. Thin, careful labels count more than k11's, whose lines
# are 2 to 5 times too thick; brick, tile and asphalt only lend variety, asphalt_crack500_150 the
# wide cracks: without it networks draw their rims only, or miss them. The simulator's frames are
# the only ones with segment joints and bolt pockets.
# asphalt_cfd118 is for non-commercial research only: 0 leaves it out.
CLASSIFIER_SOURCES: Mapping[str, float] = {
    'uav75': 1.5, 'uavcrack_cc0': 2.0, 'web_concrete24': 1.2, 'k11_rissbilder': 2.0,
    'k11_volker': 1.0, 'k11_eugen': 0.2, 'k11_noncrack': 3.0, 'tile100': 0.8, 'masonry224': 1.0,
    'simulated': 2.5, 'asphalt_cfd118': 0.0, 'asphalt_sut60': 0.4, 'asphalt_crack500_150': 1.2,
    'bridge_walls': 2.0, 'bridge_decks': 1.5,
}
SEGMENTER_SOURCES: Mapping[str, float] = {
    'uav75': 3.0, 'uavcrack_cc0': 3.5, 'web_concrete24': 1.5, 'k11_rissbilder': 2.0,
    'k11_volker': 0.7, 'k11_eugen': 0.1, 'k11_noncrack': 3.0, 'tile100': 0.5, 'masonry224': 1.0,
    'simulated': 3.0, 'asphalt_cfd118': 0.0, 'asphalt_sut60': 0.3, 'asphalt_crack500_150': 1.2,
    'bridge_walls': 2.5, 'bridge_decks': 1.5,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The numbers of one training run."""

    epochs: int
    samples_per_epoch: int          # 0: every image once, whole
    batch_size: int
    learning_rate: float
    source_weights: Mapping[str, float]
    mix: SampleMix = SampleMix()
    loss: str = 'ours'              # or paper: cross entropy; Dice
    silence: float = 0.3            # segmenters: weight of the loss on false cracks
    cells: float = 0.5              # classifiers: weight of the loss on where the crack is
    optimiser: str = 'adamw'        # or sgd, momentum 0.9
    weight_decay: float = 0.02
    schedule: str = 'cosine'        # or steps: times `step_factor` every `step_epochs`
    step_epochs: int = 10
    step_factor: float = 0.1
    best_by: str = 'score'          # on validation; or loss
    average_decay: float = 0.99     # of the moving average that is kept, less at first; 0: none
    crop_side: int = 256            # segmenters, px
    input_side: int = 0             # classifiers, px; 0: the network's own
    validate_every: int = 1         # epochs


OURS: Mapping[str, Recipe] = {
    'classifier': Recipe(
        epochs=12, samples_per_epoch=1024, batch_size=16, learning_rate=6e-4,
        source_weights=CLASSIFIER_SOURCES, validate_every=3),
    'segmenter': Recipe(
        epochs=12, samples_per_epoch=1024, batch_size=8, learning_rate=8e-4,
        source_weights=SEGMENTER_SOURCES, validate_every=3),
}
"""Task -> numbers, found on the light networks."""

# Feng et al., sections 3.2 and 3.3. What they do not say: momentum (0.9 here) and augmentation
# (none here).
PAPER: Mapping[str, Recipe] = {
    'classifier': Recipe(
        epochs=100, samples_per_epoch=0, batch_size=4, learning_rate=0.005, source_weights={},
        mix=SampleMix(distractor_share=0.0, paste_share=0.0, thin_labels=False, vary=False),
        loss='paper', silence=0.0, cells=0.0, optimiser='sgd', weight_decay=0.0,
        schedule='steps', step_epochs=10, step_factor=0.1, best_by='loss', average_decay=0.0),
    'segmenter': Recipe(
        epochs=100, samples_per_epoch=0, batch_size=8, learning_rate=0.001, source_weights={},
        mix=SampleMix(distractor_share=0.0, paste_share=0.0, thin_labels=False, vary=False),
        loss='paper', silence=0.0, cells=0.0, optimiser='sgd', weight_decay=0.0,
        schedule='steps', step_epochs=50, step_factor=0.1, best_by='loss', average_decay=0.0),
}

RECIPES: Mapping[str, Mapping[str, Recipe]] = {'ours': OURS, 'paper': PAPER}
"""Name of the recipe -> task -> numbers."""


def without_parts(recipe: Recipe) -> Recipe:
    """Return a recipe without all that `ablate` looks at: photographs and labels as they are."""
    mix = replace(recipe.mix, distractor_share=0.0, paste_share=0.0, thin_labels=False,
                  scales=(1.0, 1.0), vary=False)
    return replace(recipe, mix=mix, silence=0.0, cells=0.0)


def of_sources(recipe: Recipe, sources: Collection[str], available: Collection[str]) -> Recipe:
    """Return a recipe that draws from some sources only, as often as it did.

    :param available: all sources of the data.
    :raises ValueError: a source that is not there.
    """
    unknown = sorted(set(sources) - set(available))
    if unknown:
        raise ValueError(f"no source {', '.join(unknown)}; expected some of "
                         f"{', '.join(sorted(available))}")
    weights = {name: recipe.source_weights.get(name, 1.0) or 1.0 for name in sources}
    return replace(recipe, source_weights={
        **recipe.source_weights, **dict.fromkeys(available, 0.0), **weights})


def recipe_of(name: str, task: str) -> Recipe:
    """Look a recipe up.

    :param name: ours or paper.
    :param task: classifier or segmenter.
    :raises ValueError: no recipe of that name.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe '{name}'; expected one of {', '.join(RECIPES)}")
    return RECIPES[name][task]
