# SPDX-License-Identifier: Apache-2.0
"""The evaluation as a whole: right sums on known models, and the shipped ones on photographs."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset, CrackImage
from tunnel_crack_ros.evaluation.evaluate import evaluate, EvaluationReport, FrameScore
from tunnel_crack_ros.evaluation.metrics import PixelCounts

PHOTOGRAPHS = Path(os.environ.get(
    'TUNNEL_CRACK_DATA', Path(__file__).parents[3] / 'shared' / 'data' / 'cracks'))


def frame_score(source, cracked, probability, *pixels):
    image = CrackImage(source, 'x', 'test', cracked, Path('x.jpg'), Path('x.png'), 'x')
    return FrameScore(image, probability, PixelCounts(*pixels))


@pytest.fixture
def report():
    return EvaluationReport(
        'photos', 'test', 'c@1', 's@2', 0.5, 0.3,
        (frame_score('wall', True, 0.9, 30, 10, 10),
         frame_score('wall', True, 0.2, 10, 0, 10),
         frame_score('plain', False, 0.1, 0, 51, 0),
         frame_score('plain', False, 0.7, 0, 50, 0)))


def test_report_sums_over_all_and_by_source(report):
    values = report.to_json_dict()
    assert values['classifier'] == {'n': 4, 'accuracy': 0.5, 'roc_auc': 0.75}
    assert values['segmenter']['n'] == 2
    assert values['segmenter']['iou'] == pytest.approx(40 / 70)
    assert values['segmenter']['per_image']['recall'] == pytest.approx((0.75 + 0.5) / 2)
    assert values['clean'] == {'n': 2, 'false_masks': 0.5}
    assert values['by_source']['wall']['classifier'] == {'n': 2, 'accuracy': 0.5, 'roc_auc': None}
    assert values['by_source']['plain']['segmenter']['iou'] is None


def test_report_is_json_without_nan(report):
    assert json.loads(json.dumps(report.to_json_dict(), allow_nan=False))['split'] == 'test'


def test_table_has_a_row_a_source_and_one_for_all(report):
    console = Console(width=150, record=True, file=open(os.devnull, 'w', encoding='utf-8'))
    console.print(report.table())
    text = console.export_text()
    assert all(word in text for word in ('wall', 'plain', 'all', '0.571'))


@pytest.fixture(scope='module')
def photographs():
    if not (PHOTOGRAPHS / 'index.csv').is_file():
        pytest.skip(f'no labelled photographs in {PHOTOGRAPHS} (TUNNEL_CRACK_DATA names them)')
    return PHOTOGRAPHS


def test_only_the_named_sources_are_scored(photographs):
    steps = []
    report = evaluate(photographs, 'test', ['web_concrete24'],
                      progress=lambda *step: steps.append(step))
    values = report.to_json_dict()
    assert set(values['by_source']) == {'web_concrete24'}
    assert values['segmenter']['n'] == len(steps) == steps[-1][1] == 4


def test_shipped_models_tell_cracks_from_clean_walls_on_photographs(photographs):
    """A floor that a broken export or a swapped channel falls through, not a goal."""
    values = evaluate(photographs, 'test', ['uavcrack_cc0', 'k11_noncrack']).to_json_dict()
    assert values['classifier']['roc_auc'] > 0.8
    assert values['segmenter']['f1'] > 0.4


def test_photographs_of_one_place_stay_in_one_split(photographs):
    splits = {}
    for image in CrackDataset.read(photographs).images:
        if image.source != 'uav75':     # keeps its authors' split, which does not hold this
            splits.setdefault(image.group, set()).add(image.split)
    assert all(len(found) == 1 for found in splits.values())


def test_masks_of_photographs_are_binary_and_fit(photographs):
    for image in CrackDataset.read(photographs).select('val').images[::25]:
        frame, mask = image.read()
        assert frame.dtype == np.uint8 and mask.any() == image.has_crack
