# SPDX-License-Identifier: Apache-2.0
"""`tunnel_crack models` shows every model with its size and score, and finds the broken ones."""

import json

import pytest
from typer.testing import CliRunner
import yaml

from tunnel_crack_ros.cli import app
from tunnel_crack_ros.vision import model_list
from tunnel_crack_ros.vision.model_folder import ENVIRONMENT
from tunnel_crack_ros.vision.model_list import list_models, missing_of_sets


@pytest.fixture
def folder(toy_models, tmp_path, monkeypatch):
    """Make a folder with a good model and one whose file was changed, and no other folder."""
    metrics = [{'name': 'iou', 'value': 0.5, 'data': 'drawn', 'split': 'val', 'images': 9}]
    toy_models.write_model(tmp_path, 'segmenter', precision='int8', metrics=metrics)
    broken = toy_models.write_model(tmp_path, 'classifier')
    broken.write_bytes(broken.read_bytes() + b' ')
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    monkeypatch.setattr(model_list, 'model_folders', lambda: [tmp_path])
    return tmp_path


def test_models_are_listed_and_verified(toy_models, folder):
    found = {model.task: model for model in list_models()}
    good, broken = found['segmenter'], found['classifier']
    assert good.is_ok and good.provider == 'cpu'
    assert (good.name, good.precision, good.sets) == (
        toy_models.NAMES['segmenter'], 'int8', ['edge'])
    assert good.headline == 'iou 0.500 (val, 9)'
    assert good.megabytes == round((folder / f'{good.name}.onnx').stat().st_size / 1e6, 1)
    assert not broken.is_ok and 'SHA-256 is' in broken.state
    assert broken.provider == '' and broken.headline == ''


@pytest.mark.parametrize('metrics', ['text', ['text'], [{'name': 'iou'}]])
def test_a_card_of_odd_metrics_is_listed_as_wrong_beside_the_others(toy_models, folder, metrics):
    card = folder / f"{toy_models.NAMES['classifier']}.yaml"
    card.write_text(yaml.safe_dump(yaml.safe_load(card.read_text()) | {'metrics': metrics}))
    (folder / 'folder.yaml').mkdir()
    states = {model.name: model.state for model in list_models()}
    assert states[toy_models.NAMES['segmenter']] == 'ok'
    assert 'expected a' in states[toy_models.NAMES['classifier']]
    assert 'folder.yaml: not a YAML file' in states['folder']


def test_layers_that_the_file_lacks_are_told(toy_models, folder):
    card = folder / f"{toy_models.NAMES['segmenter']}.yaml"
    values = yaml.safe_load(card.read_text())
    for tensor, state in (('odds', 'ok'), ('nowhere', 'ONNX Runtime cannot load it')):
        card.write_text(yaml.safe_dump(values | {'taps': {'layer1': tensor}}))
        assert state in {model.task: model.state for model in list_models()}['segmenter']


def test_a_card_of_plain_numbers_is_listed_too(toy_models, folder):
    card = folder / f"{toy_models.NAMES['segmenter']}.yaml"
    card.write_text(yaml.safe_dump(yaml.safe_load(card.read_text()) | {'architecture': 169}))
    assert ' 169 ' in CliRunner().invoke(app, ['models']).output


def test_json_of_a_card_with_a_metric_that_is_no_number_is_json(toy_models, folder):
    card = folder / f"{toy_models.NAMES['segmenter']}.yaml"
    card.write_text(yaml.safe_dump(yaml.safe_load(card.read_text()) | {
        'metrics': [{'name': 'roc_auc', 'value': float('nan')}]}))
    said = CliRunner().invoke(app, ['models', '--json']).stdout
    assert 'NaN' not in said and [None] in [
        [metric['value'] for metric in model['metrics']] for model in json.loads(said)]


def test_a_broken_model_fails_the_command(folder):
    result = CliRunner().invoke(app, ['models'])
    assert result.exit_code == 1
    assert '1 models do not fit their cards' in result.output
    listed = json.loads(CliRunner().invoke(app, ['models', '--json']).stdout)
    assert {model['state'] == 'ok' for model in listed} == {True, False}
    assert {'sha256', 'metrics', 'licences', 'megabytes', 'sets'} <= set(listed[0])


def test_sets_that_lack_a_model_are_named(toy_models, monkeypatch):
    from tunnel_crack_ros.vision.model_folder import ModelSet, SETS
    monkeypatch.setitem(SETS, 'huge', ModelSet(toy_models.NAMES['classifier'], 'absent'))
    assert missing_of_sets()['huge'] == ['absent']
    assert 'edge' not in missing_of_sets()
