# SPDX-License-Identifier: Apache-2.0
"""`process` takes the nodes' own parameter file, and says what is wrong with one."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from tunnel_crack_ros.inspection.parameter_file import (
    OF_NODES,
    ParameterFileError,
    read_parameters,
)
from tunnel_crack_ros.vision.quality import QualityGate
from tunnel_crack_ros.vision.segmenter_settings import SegmenterSettings

SHIPPED = Path(__file__).resolve().parents[2] / 'config' / 'tunnel_crack.yaml'


def written(tmp_path, **sections) -> Path:
    file = tmp_path / 'own.yaml'
    names = {'all': '/**', 'segmenter': '/**/segmenter', 'classifier': '/**/classifier'}
    file.write_text(yaml.safe_dump({names[name]: {'ros__parameters': values}
                                    for name, values in sections.items()}))
    return file


def test_the_shipped_file_holds_the_defaults():
    said = read_parameters(SHIPPED)
    assert said.segmenter.settings == SegmenterSettings()
    assert said.classifier.settings == QualityGate()
    for stage in (said.segmenter, said.classifier):
        assert (stage.cameras, stage.model, stage.threshold) == (('camera',), '', None)
    nothing = read_parameters(None)
    assert nothing.segmenter.settings == SegmenterSettings()
    assert nothing.classifier.settings == QualityGate()


def test_the_segmenters_section_wins_over_that_of_all_and_the_command_over_both(tmp_path):
    file = written(
        tmp_path, all={'cameras': ['l', 'r'], 'mm_per_px': 0.5, 'min_area_px': 9, 'threads': 3},
        segmenter={'mm_per_px': 0.7, 'camera_roll': [-1.0, 1.0], 'threshold': 0.4},
        classifier={'max_blur': 0.1})
    said = read_parameters(file, segmenter={'tunnel_radius_m': 3.0, 'mm_per_px': None}).segmenter
    assert said.settings == SegmenterSettings(mm_per_px=0.7, min_area_px=9, tunnel_radius_m=3.0,
                                              camera_roll=[-1.0, 1.0])
    assert (said.cameras, said.threshold) == (('l', 'r'), 0.4)
    nought = read_parameters(file, segmenter={'mm_per_px': 0.0}).segmenter
    assert nought.settings.mm_per_px == 0.0


def test_what_the_classifier_is_told_holds_too_and_the_command_wins(tmp_path):
    file = written(tmp_path, all={'max_blur': 0.3, 'mm_per_px': 0.5},
                   classifier={'threshold': 0.8, 'min_brightness': 5.0, 'model': 'own',
                               'save_flagged_to': '/data', 'threads': 2})
    said = read_parameters(file).classifier
    assert said.settings == QualityGate(min_brightness=5.0, max_blur=0.3)
    assert (said.threshold, said.model) == (0.8, 'own')
    said = read_parameters(file, classifier={'threshold': 0.1, 'model': None}).classifier
    assert (said.threshold, said.model) == (0.1, 'own')


def test_threshold_and_model_of_all_nodes_hold_for_each(tmp_path):
    file = written(tmp_path, all={'threshold': 0.9, 'model': 'own'},
                   segmenter={'threshold': 0.3})
    said = read_parameters(file)
    assert (said.classifier.threshold, said.classifier.model) == (0.9, 'own')
    assert (said.segmenter.threshold, said.segmenter.model) == (0.3, 'own')


@pytest.mark.parametrize(('classifier', 'message'), [
    ({'mm_per_px': 1.0}, "own.yaml: unknown parameter 'mm_per_px', expected one of min_bright"),
    ({'max_blur': 2.0}, "own.yaml: parameter 'max_blur' is 2.0, expected 0..1"),
    ({'threshold': 1.5}, "own.yaml: parameter 'threshold' is 1.5, expected a decimal number such"),
    ({'threshold': True}, "'threshold' is True, expected a decimal number such as 0.5, -1..1"),
    ({'threshold': 1}, "'threshold' is 1, expected a decimal number such as 0.5, -1..1")])
def test_what_does_not_fit_the_classifier_is_named(tmp_path, classifier, message):
    with pytest.raises(ParameterFileError) as error:
        read_parameters(written(tmp_path, classifier=classifier))
    assert message in str(error.value)


@pytest.mark.parametrize('name', ['segmenter', '/segmenter', '/tunnel/segmenter'])
def test_the_node_may_be_named_as_in_ros_and_others_told_things_of_their_own(tmp_path, name):
    file = tmp_path / 'own.yaml'
    file.write_text(yaml.safe_dump({
        name: {'ros__parameters': {'mm_per_px': 0.7}},
        '/**': {'ros__parameters': {'max_blur': 0.2, 'mm_per_px': 0.1, 'min_area_px': 5}}}))
    said = read_parameters(file)
    assert said.segmenter.settings == SegmenterSettings(mm_per_px=0.7, min_area_px=5)
    assert said.classifier.settings == QualityGate(max_blur=0.2)


@pytest.mark.parametrize(('segmenter', 'message'), [
    ({'mm_per_pixel': 1.0}, "own.yaml: unknown parameter 'mm_per_pixel', expected one of max_pix"),
    ({'mm_per_px': -1.0}, "own.yaml: parameter 'mm_per_px' is -1.0, expected 0..1000"),
    ({'mm_per_px': 1}, 'expected a decimal number such as 1.0'),
    ({'camera_roll': [0.1, 0.2], 'cameras': ['a', 'b', 'c']}, "'camera_roll' has 2 values"),
    ({'camera_roll': []}, 'expected a list of decimal numbers such as'),
    ({'camera_roll': 0.5}, 'expected a list of decimal numbers such as'),
    ({'camera_roll': [9.0]}, 'expected only -3.14159..3.14159'),
    ({'cameras': 'left'}, "'cameras' is 'left', expected a list of strings"),
    ({'model': 3}, "'model' is 3, expected a string"),
    ({'threshold': 'high'}, "'threshold' is 'high', expected a decimal number"),
    ({'chainage_from': 'gps'}, "'gps', expected one of axis, distance")])
def test_what_does_not_fit_is_named(tmp_path, segmenter, message):
    with pytest.raises(ParameterFileError) as error:
        read_parameters(written(tmp_path, segmenter=segmenter))
    assert message in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(('text', 'message'), [
    (None, 'cannot be read'), ('a: [', 'cannot be read'), ('- 1', 'no sections'),
    ('other: {}', 'has sections other, expected'), ('/**: 3', 'section /** has no ros__param')])
def test_what_is_no_parameter_file_is_refused(tmp_path, text, message):
    file = tmp_path / 'own.yaml'
    if text is not None:
        file.write_text(text)
    with pytest.raises(ParameterFileError, match=r'own\.yaml: ') as error:
        read_parameters(file)
    assert message in str(error.value)


def test_every_parameter_that_only_nodes_need_is_known():
    node = pytest.importorskip('tunnel_crack_ros.nodes.classifier_node', reason='no ROS 2 here')
    own = {entry.name for entry in fields(node.ClassifierParameters)}
    assert own - {entry.name for entry in fields(QualityGate)} == {
        *OF_NODES, 'cameras', 'model', 'threshold'} - {'use_sim_time'}
