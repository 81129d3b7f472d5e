# SPDX-License-Identifier: Apache-2.0
"""The licences of the photographs that weights are trained on, for the model cards.

The words are those found where the photographs were published. A card repeats them for every
source a model has seen, so that whoever deploys the weights can judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    'asphalt_cfd118': 'non-commercial research only',
    'asphalt_sut60': 'MIT (README; origin not documented)',
    'asphalt_crack500_150': 'none stated',
    'simulated': 'Apache-2.0 (rendered by this project)',
}


def training_data(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Describe what a model was trained on, as its card does.

    :param counts: images by source.
    """
    return [{'name': name, 'licence': LICENCES.get(name, 'not known'), 'images': count}
            for name, count in counts.items()]
