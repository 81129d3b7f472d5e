# SPDX-License-Identifier: Apache-2.0
"""Transitions in any order: the model comes and goes, the process stays until it is told to go."""

from pathlib import Path
import signal

from diagnostic_msgs.msg import DiagnosticStatus
import pytest
from sensor_msgs.msg import Image
from tunnel_crack_msgs.msg import FrameVerdict

from tunnel_crack_ros.vision.model_folder import CLASSIFIER, find_card, SEGMENTER


def test_a_node_starts_itself(start, toy):
    node = start('classifier', model=toy['classifier'])
    status = node.diagnosed(lambda s: s.message == 'running', 'running')
    assert status.level == DiagnosticStatus.OK
    told = {pair.key: pair.value for pair in status.values}
    assert told['model'].startswith(CLASSIFIER)
    assert told['provider'] == 'cpu'
    assert told['precision'] == 'fp32'


def test_a_node_with_autostart_off_waits_for_a_manager(bench, start, toy, stamped, cracked):
    node = start('classifier', wait='unconfigured', autostart=False, model=toy['classifier'])
    verdicts = bench.collect(FrameVerdict, node.topic('camera/verdict'))
    frames = bench.publisher(Image, node.topic('camera/image_raw'))
    status = node.diagnosed(lambda s: s.message == 'not configured', 'not configured')
    assert status.level == DiagnosticStatus.WARN
    assert node.change('configure')
    assert node.state() == 'inactive'
    node.diagnosed(lambda s: s.message == 'configured, not active', 'not active')
    assert frames.get_subscription_count() == 0
    for _ in range(2):      # round trips
        assert node.change('activate')
        bench.wait_matched(frames)
        message = stamped.raw(cracked)
        frames.publish(message)
        verdicts.find(lambda v, m=message: v.header == m.header, 'verdict')
        assert node.change('deactivate')
        bench.wait_for(lambda: frames.get_subscription_count() == 0, 'still subscribed')
    assert node.change('cleanup')
    assert node.state() == 'unconfigured'
    bench.wait_for(lambda: bench.node.count_publishers(node.topic('camera/verdict')) == 0,
                   'still publishing')
    assert node.change('configure') and node.change('activate')
    bench.wait_matched(frames)
    seen = len(verdicts)
    frames.publish(stamped.raw(cracked))
    verdicts.wait(seen + 1)


@pytest.fixture(scope='module')
def living(start, toy):
    return start('segmenter', model=toy['segmenter'])


@pytest.mark.parametrize(('state', 'wrong'), [
    ('active', ['configure', 'activate', 'cleanup']),
    ('inactive', ['configure', 'deactivate']),
    ('unconfigured', ['activate', 'deactivate', 'cleanup'])])
def test_a_transition_that_the_state_does_not_allow_is_refused_and_nothing_else(
        living, state, wrong):
    steps = {'active': [], 'inactive': ['deactivate'], 'unconfigured': ['deactivate', 'cleanup']}
    for step in steps[state]:
        assert living.change(step)
    for transition in wrong:
        assert not living.change(transition)
        assert living.state() == state
    living.wait_log('No transition matching')
    back = {'active': [], 'inactive': ['activate'], 'unconfigured': ['configure', 'activate']}
    for step in back[state]:
        assert living.change(step)


def resident_mb(pid: int) -> float:
    """Return the memory that a process holds, MB."""
    line = next(line for line in Path(f'/proc/{pid}/status').read_text().splitlines()
                if line.startswith('VmRSS'))
    return int(line.split()[1]) / 1000


def test_the_model_and_its_memory_go_with_cleanup(bench, start, stamped, cracked):
    node = start('segmenter', wait='unconfigured', autostart=False)
    masks = bench.collect(Image, node.topic('camera/mask'))
    frames = bench.publisher(Image, node.topic('camera/flagged'))
    before = resident_mb(node.process.pid)
    held, left = [], []
    for count in range(1, 7):
        assert node.change('configure') and node.change('activate')
        bench.wait_matched(frames)
        frames.publish(stamped.raw(cracked))
        masks.wait(count)
        held.append(resident_mb(node.process.pid))
        assert node.change('deactivate') and node.change('cleanup')
        left.append(resident_mb(node.process.pid))
    model_mb = find_card(SEGMENTER).with_suffix('.onnx').stat().st_size / 1e6
    # ONNX Runtime's code and first-time tables stay; the weights, held once at least, go
    assert held[0] - left[0] > model_mb
    # and nothing piles up from life to life: in four of them less than one model, since a heap's
    # odd pages come and go by half of that
    assert left[5] - left[1] < model_mb
    assert before < left[0] < held[0]
    status = node.diagnosed(lambda s: s.message == 'not configured', 'not configured')
    assert not status.values or 'model' not in {pair.key for pair in status.values}


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('executable', ['classifier', 'segmenter'])
def test_a_signal_ends_a_node_well(start, toy, executable, number):
    node = start(executable, model=toy[executable])
    assert node.stop(number) < 5.0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_node_is_starting_ends_it_well(bench, start, number):
    """As soon as the node is there, which is while it loads its model or just before or after."""
    node = start('segmenter', wait='')
    bench.wait_for(lambda: node.name in {
        f'{space}/{name}' for name, space in bench.node.get_node_names_and_namespaces()},
        'no node')
    assert node.stop(number) < 5.0
