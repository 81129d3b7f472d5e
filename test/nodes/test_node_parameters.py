# SPDX-License-Identifier: Apache-2.0
"""Parameters: the file names them all, wrong ones are refused with the reason, live ones apply."""

from dataclasses import fields
from pathlib import Path
import shutil

from diagnostic_msgs.msg import DiagnosticStatus
import pytest
from sensor_msgs.msg import Image
from tunnel_crack_msgs.msg import FrameVerdict
import yaml

from tunnel_crack_ros.nodes.classifier_node import ClassifierParameters
from tunnel_crack_ros.nodes.explainer_node import ExplainerParameters
from tunnel_crack_ros.nodes.parameters import default_of, limits_of, reason_to_refuse
from tunnel_crack_ros.nodes.segmenter_node import SegmenterParameters

FILE = Path(__file__).resolve().parents[2] / 'config' / 'tunnel_crack.yaml'
KINDS = {'classifier': ClassifierParameters, 'segmenter': SegmenterParameters,
         'explainer': ExplainerParameters}


@pytest.mark.parametrize('node', KINDS)
def test_the_parameter_file_names_every_parameter_with_its_default(node):
    sections = yaml.safe_load(FILE.read_text())
    assert set(sections) == {'/**', *(f'/**/{name}' for name in KINDS)}
    given = sections['/**']['ros__parameters'] | sections[f'/**/{node}']['ros__parameters']
    declared = {entry.name: default_of(entry) for entry in fields(KINDS[node])}
    assert given == declared
    assert {name: type(value) for name, value in given.items()} == {
        name: type(value) for name, value in declared.items()}
    # nothing is said twice
    assert not sections['/**']['ros__parameters'].keys() & sections[f'/**/{node}'][
        'ros__parameters'].keys()


@pytest.mark.parametrize('node', KINDS)
def test_the_parameter_file_says_which_parameters_are_live(node):
    text, section = FILE.read_text(), f'/**/{node}:'
    own = text[text.index(section):].split('\n\n')[0]
    for entry in fields(KINDS[node]):
        if f'    {entry.name}:' not in own:
            continue
        said = own[own.index(f'    {entry.name}:'):]
        end = said.find('\n    ', 5)
        while end > 0 and said[end + 5] == ' ':     # the comment goes on
            end = said.find('\n    ', end + 5)
        assert ('(live)' in said[:end if end > 0 else None]) is limits_of(entry).live, entry.name


@pytest.mark.parametrize('kind', KINDS.values())
def test_every_default_is_allowed_and_described(kind):
    for entry in fields(kind):
        assert reason_to_refuse(entry, default_of(entry)) == ''
        assert limits_of(entry).description


def test_the_parameter_file_reaches_each_node_in_any_namespace(start, toy, tmp_path):
    values = yaml.safe_load(FILE.read_text())
    values['/**']['ros__parameters']['cameras'] = ['left', 'right']
    for node in ('classifier', 'segmenter'):
        values[f'/**/{node}']['ros__parameters'] |= {'model': toy[node], 'threshold': 0.25}
    values['/**/classifier']['ros__parameters']['max_blur'] = 0.4
    values['/**/segmenter']['ros__parameters']['min_area_px'] = 7
    own = tmp_path / 'own.yaml'
    own.write_text(yaml.safe_dump(values))
    for name, parameter, value in (('classifier', 'max_blur', 0.4),
                                   ('segmenter', 'min_area_px', 7)):
        node = start(name, params_file=own)
        assert node.get(parameter) == value
        assert node.get('threshold') == 0.25
        assert node.get('cameras') == ['left', 'right']
        node.stop()


WRONG_AT_START = [
    {'threshold': (1.5, "parameter 'threshold' is 1.5, expected -1..1", 0.5),
     'transport': ('theora', "'theora', expected one of raw, compressed", 'raw'),
     'cameras': ('left', "'cameras' is 'left', expected a list of strings", ['left']),
     'queue_depth': (0, "'queue_depth' is 0, expected 1..100", 3),
     'providers': (['npu'], "'providers' is ['npu'], expected only tensorrt", ['cpu'])},
    {'threshold': (1, "'threshold' is 1, expected a decimal number such as 1.0", 1.0),
     'max_blur': ('low', "'max_blur' is 'low', expected a decimal number", 0.6),
     'cameras': (['a', 'a'], 'expected no name twice', ['a', 'b']),
     'require_gpu': (1, "'require_gpu' is 1, expected true or false", False)},
    {'cameras': ([], "parameter 'cameras' is empty, expected a list of strings", ['left'])},
    {'cameras': (['left', ''], "'cameras' is ['left', ''], expected no empty name", ['left'])},
]


@pytest.mark.parametrize('wrong', WRONG_AT_START,
                         ids=['range', 'type', 'empty', 'empty name'])
def test_wrong_values_at_start_leave_the_node_up_and_unconfigured_until_all_are_put_right(
        start, toy, wrong):
    node = start('classifier', wait='', model=toy['classifier'],
                 **{name: value for name, (value, _, _) in wrong.items()})
    log = node.wait_log('cannot configure')
    assert node.state() == 'unconfigured'
    status = node.diagnosed(lambda s: s.level == DiagnosticStatus.ERROR, 'an error')
    for _, reason, _ in wrong.values():
        assert reason in log
        assert reason in status.message
    for name, (_, _, right) in wrong.items():
        assert not node.change('configure')
        assert node.set(**{name: right}) == ''
    assert node.change('configure') and node.change('activate')
    node.diagnosed(lambda s: s.message == 'running', 'running')
    assert node.get('queue_depth') == (3 if 'queue_depth' in wrong else 1)
    node.stop()


def test_a_model_or_setting_that_cannot_be_used_is_told_and_another_one_taken(
        start, toy, wrong_models):
    node = start('classifier', wait='unconfigured', autostart=False, model=toy['classifier'])
    for wrong, reason, right in (
            ({'model': 'no_such'}, "no model 'no_such' in", {}),
            ({'model': '/no/such.onnx'}, '/no/such.onnx: no such model file', {}),
            ({'model': wrong_models['SEGMENTER']}, 'is a segmenter, expected a classifier', {}),
            ({'model': wrong_models['FLIPPED']}, 'the file was changed or damaged', {}),
            ({'model': wrong_models['NO THRESHOLD']}, 'model card lacks threshold', {}),
            ({'cameras': ['no name']}, 'nvalid topic name', {'cameras': ['name']}),
            ({'require_gpu': True}, 'runs on cpu, but require_gpu is set', {'require_gpu': False}),
            ({'save_flagged_to': '/proc/no/such'}, '/proc/no', {'save_flagged_to': ''})):
        assert node.set(**wrong) == ''
        assert not node.change('configure')
        assert node.state() == 'unconfigured'
        assert reason in node.wait_log(reason)
        assert node.set(**right | {'model': toy['classifier']}) == ''
        assert node.change('configure')
        assert node.change('cleanup')
    assert not node.set(require_gpu=True) and not node.change('configure')
    node.diagnosed(lambda s: s.level == DiagnosticStatus.ERROR
                   and 'require_gpu is set' in s.message, 'require_gpu is set')
    node.stop()


@pytest.fixture(scope='module')
def wrong_models(toy, tmp_path_factory) -> dict[str, str]:
    """Return a model of the other task, one with a flipped byte, one whose card lacks a key."""
    made = {'SEGMENTER': toy['segmenter']}
    for name in ('FLIPPED', 'NO THRESHOLD'):
        folder = tmp_path_factory.mktemp('wrong')
        for ending in ('.onnx', '.yaml'):
            shutil.copy(Path(toy['classifier']).with_suffix(ending), folder)
        made[name] = str(folder / Path(toy['classifier']).name)
    data = bytearray(Path(made['FLIPPED']).read_bytes())
    data[100] ^= 0x10
    Path(made['FLIPPED']).write_bytes(data)
    card = Path(made['NO THRESHOLD']).with_suffix('.yaml')
    values = yaml.safe_load(card.read_text())
    del values['threshold']
    card.write_text(yaml.safe_dump(values))
    return made


@pytest.fixture(scope='module')
def live(bench, start, toy):
    """Return a running classifier, its verdicts and a publisher of frames."""
    node = start('classifier', model=toy['classifier'])
    verdicts = bench.collect(FrameVerdict, node.topic('camera/verdict'))
    frames = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(frames)

    def verdict_on(message) -> FrameVerdict:
        frames.publish(message)
        return verdicts.find(lambda v: v.header == message.header, 'verdict')

    return node, verdict_on


def test_live_parameters_apply_to_the_next_frame(live, stamped, cracked):
    node, verdict_on = live
    assert verdict_on(stamped.raw(cracked)).verdict == FrameVerdict.CRACK
    assert node.set(threshold=1.0) == ''
    verdict = verdict_on(stamped.raw(cracked))
    assert (verdict.verdict, verdict.threshold) == (FrameVerdict.NO_CRACK, 1.0)
    assert node.set(min_brightness=250.0, threshold=0.3) == ''
    verdict = verdict_on(stamped.raw(cracked))
    assert verdict.verdict == FrameVerdict.UNKNOWN
    assert verdict.reason.startswith('too dark') and verdict.reason.endswith('< 250)')
    assert node.set(min_brightness=20.0, threshold=-1.0) == ''      # the card's again
    assert verdict_on(stamped.raw(cracked)).threshold == 0.5


@pytest.mark.parametrize(('given', 'reason'), [
    ({'threshold': 1.01}, 'threshold'),
    ({'threshold': float('nan')}, 'threshold'),
    ({'threshold': 1}, 'type'),
    ({'max_blur': -0.1}, 'max_blur'),
    ({'threshold': 0.9, 'max_blur': 2.0}, 'max_blur'),
    ({'transport': 'compressed'},
     "parameter 'transport' changes only before the node is configured: deactivate and clean up"),
    ({'cameras': ['other']}, "parameter 'cameras' changes only before"),
    ({'threshold': 0.9, 'queue_depth': 5}, "parameter 'queue_depth' changes only before"),
])
def test_a_wrong_or_fixed_parameter_is_refused_as_a_whole_with_the_reason(
        live, stamped, cracked, given, reason):
    node, verdict_on = live
    before = {name: node.get(name) for name in given}
    assert reason in node.set(**given)
    assert {name: node.get(name) for name in given} == before
    assert verdict_on(stamped.raw(cracked)).threshold == 0.5


def test_a_parameter_file_set_again_as_it_stands_is_no_change(live):
    node, _ = live
    assert node.set(cameras=['camera'], transport='raw', queue_depth=1, threshold=-1.0) == ''


def test_a_segmenters_live_parameters_apply_to_the_next_frame(bench, start, toy, stamped, cracked):
    import numpy as np
    node = start('segmenter', model=toy['segmenter'])
    masks = bench.collect(Image, node.topic('camera/mask'))
    frames = bench.publisher(Image, node.topic('camera/flagged'))
    bench.wait_matched(frames)

    def pixels() -> int:
        message = stamped.raw(cracked)
        frames.publish(message)
        mask = masks.find(lambda m: m.header == message.header, 'mask')
        return int(np.count_nonzero(np.frombuffer(mask.data, np.uint8)))

    assert pixels() == 6 * 80           # the dark bar
    assert node.set(min_area_px=481) == ''
    assert pixels() == 0
    assert node.set(min_area_px=1, threshold=0.0) == ''
    assert pixels() == 96 * 128
    assert 'min_area_px' in node.set(min_area_px=0)
