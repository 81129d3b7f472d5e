# SPDX-License-Identifier: Apache-2.0
"""The licences of the photographs that weights are trained on, for the model cards.

The words are those found where the photographs were published. A card repeats them for every
source a model has seen and sums up what they allow, so that whoever deploys the weights can judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunnel_crack_ros.vision.model_card import ModelCard

LICENCES: Mapping[str, str] = {
    'uav75': 'GPL-3.0',
    'uavcrack_cc0': 'CC0-1.0 (as stated on Kaggle)',
    'k11_rissbilder': 'none stated',
    'k11_volker': 'none stated',
    'k11_eugen': 'none stated',
    'k11_noncrack': 'none stated (web pictures)',
    'web_concrete24': 'MIT (repository; pictures from the web)',
    'tile100': 'MIT (repository; pictures from the web)',
    'tunnel_tdt20': 'CC-BY-4.0',
    'masonry224': 'GPL-3.0',
    'tunnel_bitemporal': 'non-commercial: academic use only (README; its LICENSE file is MIT)',
    'tunnel_bitemporal_clean': 'non-commercial: academic use only (README; its LICENSE file is '
                               'MIT)',
    'asphalt_cfd118': 'non-commercial research only',
    'asphalt_sut60': 'MIT (README; origin not documented)',
    'asphalt_crack500_150': 'none stated',
    'bridge_walls': 'none stated (its repository: MIT, of the code that it builds on)',
    'bridge_decks': 'none stated (its repository: MIT, of the code that it builds on)',
    # crack-free textures and scenes, chosen by licence, each picture under one of these
    'clean_photographs': 'CC-BY, CC0, MIT, BSD, Apache-2.0, zlib or Pexels licence, by picture',
    'simulated': 'Apache-2.0 (rendered by this project)',
}

ALLOWS: Mapping[str, str] = {
    'public domain': 'any use',
    'attribution': 'any use; name the authors and keep their notice',
    'copyleft': 'any use; what is derived is passed on under the same licence. Whether weights '
                'are derived is not settled',
    'non-commercial': 'research only: weights trained on it are not for commercial use',
    'none stated': 'nothing is granted beyond what the law allows for training; ask the authors',
    'not known': 'the project does not know this source; its owner must say',
}
"""Class of a licence -> what it allows, the freest first."""

# the first words of a licence, as LICENCES writes it -> its class
_CLASSES = {'CC0': 'public domain', 'MIT': 'attribution', 'Apache': 'attribution',
            'BSD': 'attribution', 'CC-BY-NC': 'non-commercial', 'CC-BY-SA': 'copyleft',
            'CC-BY': 'attribution', 'GPL': 'copyleft', 'LGPL': 'copyleft', 'AGPL': 'copyleft',
            'non-commercial': 'non-commercial', 'none stated': 'none stated'}


def training_data(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Describe what a model was trained on, as its card does.

    :param counts: images by source.
    """
    return [{'name': name, 'licence': LICENCES.get(name, 'not known'), 'images': count}
            for name, count in counts.items()]


def images_by_source(card: ModelCard) -> dict[str, int]:
    """Return what a model was trained on, as its card tells it."""
    return {each['name']: int(each['images']) for each in card.training_data}


def most_of_each(*counts: Mapping[str, int]) -> dict[str, int]:
    """Join counts of images by source, names sorted.

    A source in several of them counts with its largest number: a run that goes on from another
    mostly sees the same pictures again.
    """
    names = sorted({name for each in counts for name in each})
    return {name: max(each.get(name, 0) for each in counts) for name in names}


def licence_class(licence: str) -> str:
    """Return the class, a key of ALLOWS, of a licence as LICENCES writes it."""
    return next((kind for start, kind in _CLASSES.items() if licence.startswith(start)),
                'not known')


def licence_summary(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sum up what the licences of a model's training data allow.

    :param data: as `training_data` gives it.
    :return: one entry a class of licence, in the order of ALLOWS: `class`, `allows`, `sources`
        (names) and `images` (their sum).
    """
    found = []
    for kind, allows in ALLOWS.items():
        sources = [entry for entry in data if licence_class(entry['licence']) == kind]
        if sources:
            found.append({'class': kind, 'allows': allows,
                          'sources': [entry['name'] for entry in sources],
                          'images': sum(entry['images'] for entry in sources)})
    return found
