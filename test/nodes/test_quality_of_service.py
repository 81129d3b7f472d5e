# SPDX-License-Identifier: Apache-2.0
"""Frames come in from publishers of any quality of service; what cannot come in is told."""

from pathlib import Path
import re
import time

from diagnostic_msgs.msg import DiagnosticStatus
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from tunnel_crack_msgs.msg import CrackArray, FrameVerdict

NODES = Path(__file__).resolve().parents[2] / 'tunnel_crack_ros' / 'nodes'


def profile(reliable: bool, local: bool = False) -> QoSProfile:
    return QoSProfile(
        depth=10,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if local else DurabilityPolicy.VOLATILE)


@pytest.fixture(scope='module')
def node(start, toy):
    """Return a classifier of several cameras, each with a publisher of another kind."""
    return start('classifier', model=toy['classifier'],
                 cameras=['best_effort', 'reliable', 'latched', 'mixed', 'early', 'nobody'])


@pytest.fixture(scope='module')
def verdicts_of(bench, node):
    return lambda camera: bench.collect(FrameVerdict, node.topic(f'{camera}/verdict'))


@pytest.mark.parametrize(('camera', 'reliable', 'local'), [
    ('best_effort', False, False), ('reliable', True, False), ('latched', True, True)])
def test_the_node_listens_as_the_publisher_publishes(
        bench, node, stamped, cracked, verdicts_of, camera, reliable, local):
    """All these publishers come later than the node."""
    verdicts = verdicts_of(camera)
    frames = bench.publisher(Image, node.topic(f'{camera}/image_raw'), profile(reliable, local))
    bench.wait_matched(frames)
    message = stamped.raw(cracked)
    frames.publish(message)
    assert verdicts.wait()[0].header == message.header


def test_a_latched_frame_from_before_the_node_is_not_missed(bench, start, toy, stamped, cracked):
    verdicts = bench.collect(FrameVerdict, '/latched/camera/verdict')
    frames = bench.publisher(Image, '/latched/camera/image_raw', profile(True, True))
    message = stamped.raw(cracked)
    frames.publish(message)
    late = start('classifier', namespace='/latched', wait='unconfigured', autostart=False,
                 model=toy['classifier'])
    assert late.change('configure')
    # whoever looks at the verdicts must be known when the frame, which waits, is answered
    bench.wait_for(lambda: bench.node.count_publishers('/latched/camera/verdict'), 'verdicts')
    time.sleep(0.5)
    assert late.change('activate')
    assert verdicts.wait()[0].header == message.header


def test_a_reliable_and_a_best_effort_publisher_are_both_heard(
        bench, node, stamped, cracked, verdicts_of):
    verdicts, topic = verdicts_of('mixed'), node.topic('mixed/image_raw')
    first = bench.publisher(Image, topic, profile(True))
    bench.wait_matched(first)
    second = bench.publisher(Image, topic, profile(False))
    bench.wait_matched(second)
    for frames in (first, second):
        message = stamped.raw(cracked)
        frames.publish(message)
        verdicts.find(lambda v, m=message: v.header == m.header, 'verdict')


def test_what_cannot_come_in_is_warned_of_by_name(bench, node, start, stamped):
    """A best-effort publisher joins while the node asks for reliable: told until it gives way."""
    topic = node.topic('early/image_raw')
    first = bench.publisher(Image, topic, profile(True))
    bench.wait_matched(first)
    second = bench.publisher(Image, topic, profile(False))
    log = node.wait_log(f"{topic}: a publisher's RELIABILITY does not fit")
    assert '(RELIABLE, VOLATILE)' in log
    bench.wait_matched(second)      # and half a second later it fits


def test_a_camera_without_publisher_and_one_without_frames_are_told_apart(bench, node):
    topic = node.topic('nobody/image_raw')
    node.diagnosed(lambda s: s.message == f'nobody publishes {topic}', 'no publisher', 'nobody')
    bench.publisher(Image, topic)
    node.diagnosed(lambda s: s.message == f'no frame on {topic} yet', 'no frame', 'nobody')


def test_a_camera_that_stalls_is_warned_of_until_it_goes_on(bench, start, toy, stamped, clean):
    node = start('classifier', model=toy['classifier'])
    frames, topic = bench.publisher(Image, node.topic('camera/image_raw')), 'camera/image_raw'
    bench.wait_matched(frames)
    frames.publish(stamped.raw(clean))
    node.diagnosed(lambda s: s.message == 'ok', 'ok', 'camera')
    # the publisher stays, as that of a driver that hangs
    status = node.diagnosed(lambda s: s.message.startswith('no frame on'), 'a stall', 'camera')
    assert status.level == DiagnosticStatus.WARN
    assert re.fullmatch(f'no frame on {node.topic(topic)} for [5-7] s', status.message)
    frames.publish(stamped.raw(clean))
    node.diagnosed(lambda s: s.message == 'ok', 'ok again', 'camera')


def test_a_lining_without_cracks_is_no_fault(bench, start, toy, stamped, cracked):
    node = start('segmenter', model=toy['segmenter'])
    frames = bench.publisher(Image, node.topic('camera/flagged'))
    yet = f"no frame on {node.topic('camera/flagged')} yet"
    status = node.diagnosed(lambda s: s.message == yet, 'no frame', 'camera')
    assert status.level == DiagnosticStatus.OK
    bench.wait_matched(frames)
    frames.publish(stamped.raw(cracked))
    node.counted(frames_in=1, done=1)
    seen = len(bench.reports(f'{node.name}: camera'))
    # two more than make a stall of a camera
    bench.wait_for(lambda: len(bench.reports(f'{node.name}: camera')) >= seen + 7, 'no reports')
    assert {s.message for s in bench.reports(f'{node.name}: camera')[seen:]} == {'ok'}


def test_remapped_topics_are_matched_under_their_new_name(bench, start, toy, stamped, cracked):
    """The second rule must not catch what the first one has renamed."""
    node = start('classifier', model=toy['classifier'], remappings={
        'camera/image_raw': '/drivers/cam0/image', '/drivers/cam0/image': '/elsewhere'})
    verdicts = bench.collect(FrameVerdict, node.topic('camera/verdict'))
    frames = bench.publisher(Image, '/drivers/cam0/image', profile(True))
    bench.wait_matched(frames)
    message = stamped.raw(cracked)

    def judged():
        # a node that has not found its new listener yet answers into the void: ask again
        frames.publish(message)
        time.sleep(0.2)
        return verdicts.messages

    assert bench.wait_for(judged, 'no verdict')[0].header == message.header
    status = node.diagnosed(lambda s: s.message == 'ok', 'ok', 'camera')
    assert {p.key: p.value for p in status.values}['topic'] == '/drivers/cam0/image'


def test_a_subscription_that_fails_is_told_and_tried_again(bench, start, toy, stamped, cracked):
    """Two sensors of different types on one topic, by a slip in the remappings."""
    node = start('segmenter', model=toy['segmenter'], remappings={'camera/range': 'camera/depth'})
    cracks = bench.collect(CrackArray, node.topic('camera/cracks'))
    bench.publisher(Image, node.topic('camera/depth'))
    told = f"cannot subscribe to {node.topic('camera/depth')} as sensor_msgs/"
    node.wait_log(told)
    bench.wait_for(lambda: node.log().count(told) > 1, 'not tried again')
    frames = bench.publisher(Image, node.topic('camera/flagged'))
    bench.wait_matched(frames)
    frames.publish(stamped.raw(cracked))
    assert cracks.wait()


def test_frames_that_the_middleware_loses_are_counted_and_told():
    """Told by the middleware's own event, which a test cannot make it send: the rest is held."""
    from types import SimpleNamespace

    from tunnel_crack_ros.nodes.counters import CameraCounters
    from tunnel_crack_ros.nodes.diagnostics import _judge, news
    from tunnel_crack_ros.nodes.matched_subscription import MatchedSubscription

    class Node:
        """What a subscription asks of its node."""

        made: list = []

        def resolve_topic_name(self, topic):
            return f'/{topic}'

        def count_publishers(self, topic):
            return 1

        def get_publishers_info_by_topic(self, topic):
            return []

        def create_subscription(self, *_, event_callbacks):
            self.made.append(event_callbacks)
            return object()

    counters = CameraCounters()
    MatchedSubscription(Node(), Image, 'image_raw', print, counters.lose)
    counters.receive()
    before = counters.counts()
    Node.made[0].message_lost(SimpleNamespace(total_count=3, total_count_change=2))
    counts = counters.counts()
    assert counts.lost_on_the_way == 2
    listening = SimpleNamespace(publishers=1, topic='/image_raw')
    level, message = _judge(counts, news(counts, before), listening, 0.0, '', 10.0)
    assert level == b'\x01' and message.startswith('2 frames lost on the way')
    assert _judge(counts, news(counts, counts), listening, 0.0, '', 10.0) == (b'\x00', 'ok')


def test_profiles_stand_in_one_file():
    for file in NODES.glob('*.py'):
        if file.name not in ('qos.py', 'bag_player.py'):
            assert not re.search(r'QoSProfile\(|ReliabilityPolicy\.', file.read_text()), file.name
