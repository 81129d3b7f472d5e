# SPDX-License-Identifier: Apache-2.0
"""A model card says what it must, and comes back as it was written."""

from dataclasses import fields, replace
import json

import pytest
import yaml

from tunnel_crack_ros.vision.model_card import CardError, ModelCard
from tunnel_crack_ros.vision.model_folder import (
    CLASSIFIER,
    ENVIRONMENT,
    find_card,
    model_set,
    ModelNotFound,
    ModelSet,
    SEGMENTER,
    SETS,
    sets_of,
)

CARD = ModelCard(
    name='a', file='a.onnx', sha256='0123456789ab' + '0' * 52, task='segmenter',
    architecture='DeepLabV3+', classes=['background', 'crack'], input_size=(512, 384),
    threshold=0.3, precision='fp32', version='0.1.0',
    training_data=[{'name': 'uav75', 'licence': 'GPL-3.0', 'images': 50}],
    metrics=[{'name': 'iou', 'value': 0.5, 'data': 'index.csv', 'split': 'val', 'images': 2}],
    taps={'layer1': '/encoder/x'})
NEEDED = ('name', 'file', 'sha256', 'task', 'architecture', 'classes', 'input_size', 'threshold',
          'precision', 'version')


def test_a_card_comes_back_as_it_was_written(tmp_path):
    CARD.write(tmp_path / 'a.yaml')
    assert ModelCard.read(tmp_path / 'a.yaml') == CARD
    assert list(yaml.safe_load((tmp_path / 'a.yaml').read_text())) == \
        [entry.name for entry in fields(ModelCard)]


def test_metadata_props_hold_all_but_hash_and_file():
    props = CARD.metadata_props()
    assert set(props) == {entry.name for entry in fields(ModelCard)} - {'sha256', 'file'}
    assert all(isinstance(value, str) for value in props.values())
    assert json.loads(props['input_size']) == [512, 384]
    assert json.loads(props['training_data']) == CARD.training_data


def test_identity_is_name_and_the_first_12_digits_of_the_hash():
    assert CARD.identity == 'a@0123456789ab'


@pytest.mark.parametrize('key', NEEDED)
def test_every_key_is_missed(tmp_path, key):
    CARD.write(tmp_path / 'a.yaml')
    values = yaml.safe_load((tmp_path / 'a.yaml').read_text())
    del values[key]
    (tmp_path / 'a.yaml').write_text(yaml.safe_dump(values))
    with pytest.raises(CardError, match=f'a.yaml: model card lacks {key}$'):
        ModelCard.read(tmp_path / 'a.yaml')


@pytest.mark.parametrize(('change', 'complaint'), [
    ({'task': 'detector'}, "task is 'detector', expected one of classifier, segmenter"),
    ({'threshold': 1.5}, 'threshold is 1.5, expected 0..1'),
    ({'threshold': float('nan')}, 'threshold is nan'),
    ({'threshold': 'high'}, 'could not convert'),
    ({'enlarge': 0.5}, 'enlarge is 0.5, expected 1..4'),
    ({'enlarge': float('nan')}, 'enlarge is nan'),
    ({'input_size': [300, 300]}, 'input_size is 300 x 300, expected multiples of 32'),
    ({'input_size': [0, 32]}, 'input_size is 0 x 32'),
    ({'taps': None}, 'taps are None, expected layer: tensor'),
    ({'taps': ['a']}, r"taps are \['a'\], expected layer: tensor"),
    ({'taps': {'layer1': 5}}, "taps are {'layer1': 5}, expected layer: tensor"),
    ({'file': '.'}, r"file is '\.', expected a file's name"),
    ({'file': '../a.onnx'}, "expected a file's name"),
    ({'input_size': 320}, r'input_size is 320, expected \[width, height\]'),
    ({'input_size': ['a', 'b']}, 'invalid literal'),
    ({'classes': ['crack', 'background']}, r'classes are .*, expected \[background, crack\]'),
])
def test_wrong_values_are_refused(tmp_path, change, complaint):
    CARD.write(tmp_path / 'a.yaml')
    values = yaml.safe_load((tmp_path / 'a.yaml').read_text()) | change
    (tmp_path / 'a.yaml').write_text(yaml.safe_dump(values))
    with pytest.raises(CardError, match=complaint):
        ModelCard.read(tmp_path / 'a.yaml')


def test_a_hash_in_capitals_is_the_same_hash(tmp_path):
    replace(CARD, sha256=CARD.sha256.upper()).write(tmp_path / 'a.yaml')
    assert ModelCard.read(tmp_path / 'a.yaml') == CARD


@pytest.mark.parametrize(('text', 'complaint'), [
    (b'- a\n- b\n', 'holds no keys'), (b'', 'holds no keys'), (b'a: [', 'not a YAML file'),
    (b'\xff\xfe\x00', 'not a YAML file')])
def test_a_file_that_is_no_card_is_refused(tmp_path, text, complaint):
    (tmp_path / 'a.yaml').write_bytes(text)
    with pytest.raises(CardError, match=complaint):
        ModelCard.read(tmp_path / 'a.yaml')


def test_a_missing_card_is_named(tmp_path):
    with pytest.raises(CardError, match='b.yaml: no such model card'):
        ModelCard.read(tmp_path / 'b.yaml')


def test_models_are_found_by_name_path_and_folder(toy_folder, monkeypatch):
    card = toy_folder / f'{CLASSIFIER}.yaml'
    assert find_card(str(card)) == card
    assert find_card(str(card.with_suffix('.onnx'))) == card
    monkeypatch.setenv(ENVIRONMENT, str(toy_folder))
    assert find_card(CLASSIFIER) == card
    monkeypatch.setenv('HOME', str(toy_folder.parent))
    monkeypatch.setenv(ENVIRONMENT, f'~/{toy_folder.name}')
    assert find_card(CLASSIFIER) == card


@pytest.mark.parametrize('name', [CLASSIFIER, SEGMENTER])
def test_the_shipped_models_are_found_without_any_setting(name, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    card = ModelCard.read(find_card(name))
    assert card.name.startswith(name)       # the name itself, or a smaller build of it
    assert card.training_data and card.metrics


def test_a_smaller_build_stands_in_for_a_model(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    for build in ('net_int8_weights', 'net_fp16', 'net_int8', 'net'):
        (tmp_path / f'{build}.yaml').touch()
        assert find_card('net') == tmp_path / f'{build}.yaml'
    assert find_card('net_fp16') == tmp_path / 'net_fp16.yaml'


def test_the_default_models_are_a_set_and_a_wrong_set_is_refused():
    assert (model_set('').classifier, model_set('').segmenter) == (CLASSIFIER, SEGMENTER)
    assert model_set('paper') == SETS['paper']
    assert sets_of(f'{SEGMENTER}_int8') == ['edge']
    assert sets_of('mine') == []
    with pytest.raises(ModelNotFound, match="no set of models 'big'; expected edge or paper"):
        model_set('big')


def test_a_missing_model_of_a_set_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(SETS, 'huge', ModelSet('absent_classifier', 'absent_segmenter'))
    with pytest.raises(ModelNotFound, match='The set huge needs absent_segmenter.onnx .*'
                       'tunnel_crack train absent_segmenter'):
        find_card('absent_segmenter', tmp_path)


def test_a_model_that_is_not_there_is_named_with_those_that_are(toy_folder, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, str(toy_folder))
    with pytest.raises(ModelNotFound, match=f"no model 'x' in {toy_folder}.*{CLASSIFIER}"):
        find_card('x')
    with pytest.raises(ModelNotFound, match='/no/such.onnx: no such model file'):
        find_card('/no/such.onnx')
