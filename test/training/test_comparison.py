# SPDX-License-Identifier: Apache-2.0
"""The page that compares the paper's networks: honest about what has not run."""

from dataclasses import replace
import json

import pytest

from tunnel_crack_ros.evaluation.crack_dataset import DatasetError
from tunnel_crack_ros.training.comparison import (
    Budget,
    compare,
    comparison_report,
    MODELS,
    PAPER_CLASSIFIERS,
    PAPER_SEGMENTERS,
)
from tunnel_crack_ros.training.models import architecture
from tunnel_crack_ros.training.table_runs import Watch
from tunnel_crack_ros.vision.model_folder import ModelNotFound

pytestmark = pytest.mark.training

TINY = Budget(epochs=1, classifier_samples=16, segmenter_samples=8, crop_side=64)
CLASSIFIER, SEGMENTER = 'efficientnet_b0_classifier', 'pspnet_resnet50_segmenter'


def rows(page, model):
    title, lines = architecture(model).title, page.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f'| {title} |'))
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines[start:]
             if line.startswith('|')]
    return [cells[0], *(row for row in cells[1:3] if row[0] == '')]


def test_without_runs_the_page_holds_the_papers_numbers_only():
    page = comparison_report({}, TINY, 0)
    assert page.count('not run') >= len(MODELS)
    assert rows(page, 'densenet169_classifier') == [
        ['DenseNet-169', '92.23', 'not run', '', '', '39.80', '', '']]
    assert rows(page, 'deeplabv3plus_resnet101_segmenter') == [
        ['DeepLabV3+ with ResNet-101', 'paper', '57.01', '67.44', '62.95', '82.12', 'not given',
         ''],
        ['', 'here', 'not run', '', '', '', '', '']]


def test_every_network_of_the_tables_can_be_built_for_its_task():
    assert len(MODELS) == 12
    assert {architecture(name).task for name in PAPER_CLASSIFIERS} == {'classifier'}
    assert {architecture(name).task for name in PAPER_SEGMENTERS} == {'segmenter'}


def test_networks_are_trained_scored_and_shown_one_after_the_other(drawn_sources, tmp_path):
    report, begun = tmp_path / 'docs' / 'comparison.md', []
    watch = Watch(on_line=lambda line: begun.append(line.name))
    compare(drawn_sources, tmp_path / 'runs', report, [CLASSIFIER], TINY, watch=watch)
    first, = rows(report.read_text(), CLASSIFIER)
    assert first[1] == '75.65' and 0 <= float(first[2]) <= 100
    assert float(first[6]) > 0
    assert float(first[7]) == 4.0       # million parameters
    assert rows(report.read_text(), SEGMENTER)[1][2] == 'not run'

    compare(drawn_sources, tmp_path / 'runs', report, [CLASSIFIER, SEGMENTER], TINY, watch=watch)
    assert begun == [CLASSIFIER, SEGMENTER]     # the finished one is not trained again
    page = report.read_text()
    assert rows(page, CLASSIFIER) == [first]
    _, mean, pooled = rows(page, SEGMENTER)
    assert all(0 <= float(cell) <= 100 for row in (mean, pooled)
               for cell in (row[2], row[3], row[5]))
    assert '--crop 64' in page and '--teachers edge' in page
    assert '| teacher | none | efficientnet_lite0_classifier@' in page
    # the thinly labelled source only: one of its two test images is cracked
    assert 'Here: the 1 test images with crack of uav75.' in page

    found = json.loads((tmp_path / 'runs' / CLASSIFIER / 'scores.json').read_text())
    for limits, may_be_chance in (([0.4, 0.6], True), ([0.2, 0.4], True), ([0.6, 0.9], False),
                                  (None, False)):
        found['classifier']['ci']['roc_auc'] = limits
        words = ' '.join(comparison_report({CLASSIFIER: found}, TINY, 0).split())
        assert ('may have been learned, for EfficientNet-B0.' in words) is may_be_chance

    with pytest.raises(ValueError, match=r'was trained with another recipe.epochs'):
        compare(drawn_sources, tmp_path / 'runs', report, [CLASSIFIER],
                replace(TINY, epochs=2))
    with pytest.raises(ValueError, match=r'was trained with another teacher'):
        compare(drawn_sources, tmp_path / 'runs', report, [CLASSIFIER], replace(TINY, teachers=''))


def test_without_a_teacher_the_page_says_so():
    page = comparison_report({}, replace(TINY, teachers=''), 0)
    assert '--teachers none' in page and '| teacher | none | none |' in page
    assert 'who learns fast from nothing' in page


def test_an_unknown_set_of_teachers_is_refused(drawn_sources, tmp_path):
    with pytest.raises(ModelNotFound, match="no set of models 'best'; expected edge or paper"):
        compare(drawn_sources, tmp_path, tmp_path / 'page.md', budget=Budget(teachers='best'))


def test_a_network_that_is_not_in_the_paper_is_refused(drawn_sources, tmp_path):
    with pytest.raises(ValueError, match="mobilenet_v3_classifier: not in the paper's tables"):
        compare(drawn_sources, tmp_path, tmp_path / 'page.md', ['mobilenet_v3_classifier'])


def test_data_without_splits_is_refused(drawn_cracks, tmp_path):
    with pytest.raises(DatasetError, match='has no splits, so all its images are trained on'):
        compare(drawn_cracks, tmp_path, tmp_path / 'page.md')
