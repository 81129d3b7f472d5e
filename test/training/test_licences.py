# SPDX-License-Identifier: Apache-2.0
"""A card sums up what its training data's licences allow."""

import pytest

from tunnel_crack_ros.training.licences import (
    ALLOWS,
    licence_class,
    licence_summary,
    LICENCES,
    training_data,
)

pytestmark = pytest.mark.training


@pytest.mark.parametrize('licence, kind', [
    ('CC0-1.0 (as stated on Kaggle)', 'public domain'),
    ('MIT (repository; pictures from the web)', 'attribution'),
    ('CC-BY-4.0', 'attribution'),
    ('CC-BY-NC-4.0', 'non-commercial'),
    ('CC-BY-SA-4.0', 'copyleft'),
    ('GPL-3.0', 'copyleft'),
    ('none stated (web pictures)', 'none stated'),
    ('non-commercial research only', 'non-commercial'),
    ('somebody said so', 'not known'),
])
def test_a_licence_has_a_class(licence, kind):
    assert licence_class(licence) == kind
    assert kind in ALLOWS


def test_every_source_the_project_knows_has_a_class():
    assert 'not known' not in {licence_class(licence) for licence in LICENCES.values()}


def test_a_summary_names_sources_by_what_they_allow():
    data = training_data({'uav75': 50, 'masonry224': 168, 'uavcrack_cc0': 221, 'mine': 7})
    found = licence_summary(data)
    assert [(entry['class'], entry['sources'], entry['images']) for entry in found] == [
        ('public domain', ['uavcrack_cc0'], 221),
        ('copyleft', ['uav75', 'masonry224'], 218),
        ('not known', ['mine'], 7)]
    assert all(entry['allows'] == ALLOWS[entry['class']] for entry in found)
