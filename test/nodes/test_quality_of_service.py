# SPDX-License-Identifier: Apache-2.0
"""Frames come in from publishers of any quality of service; what cannot come in is told."""

from pathlib import Path
import re
import time
from types import SimpleNamespace

from diagnostic_msgs.msg import DiagnosticStatus
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image, Range
from tunnel_crack_msgs.msg import CrackArray, FrameVerdict

from tunnel_crack_ros.nodes.counters import CameraCounters
from tunnel_crack_ros.nodes.diagnostics import _judge, news
from tunnel_crack_ros.nodes.lost_messages import LostMessages
from tunnel_crack_ros.nodes.matched_subscription import MatchedSubscription

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
                 cameras=['best_effort', 'reliable', 'latched', 'mixed', 'early', 'nobody',
                          'wrong'])


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


def test_a_topic_of_another_type_is_told_and_counts_as_nobody(bench, node):
    topic = node.topic('wrong/image_raw')
    wrong = bench.publisher(CompressedImage, topic)
    told = (f'{topic} is published as sensor_msgs/msg/CompressedImage, expected '
            'sensor_msgs/msg/Image: see the parameter transport')
    status = node.diagnosed(lambda s: s.message == told, 'another type', 'wrong')
    assert status.level == DiagnosticStatus.WARN
    assert {p.key: p.value for p in status.values}['publishers'] == '0'
    bench.node.destroy_publisher(wrong)
    node.diagnosed(lambda s: s.message == f'nobody publishes {topic}', 'nobody', 'wrong')
    assert node.log().count(told) == 1


def test_a_subscription_that_fails_is_told_and_tried_again(
        bench, other_bench, start, toy, stamped, cracked):
    """Two sensors of different types on one topic, by a slip in the remappings."""
    node = start('segmenter', model=toy['segmenter'], remappings={'camera/range': 'camera/depth'})
    cracks = bench.collect(CrackArray, node.topic('camera/cracks'))
    bench.publisher(Image, node.topic('camera/depth'))
    other_bench.publisher(Range, node.topic('camera/depth'))
    told = f"cannot subscribe to {node.topic('camera/depth')} as sensor_msgs/"
    node.wait_log(told)
    bench.wait_for(lambda: node.log().count(told) > 1, 'not tried again')
    frames = bench.publisher(Image, node.topic('camera/flagged'))
    bench.wait_matched(frames)
    frames.publish(stamped.raw(cracked))
    assert cracks.wait()


def test_as_many_frames_as_may_wait_may_come_at_once(bench, start, toy, stamped, clean):
    node = start('classifier', model=toy['classifier'], queue_depth=100)
    frames = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(frames)
    burst(frames, stamped.raw(clean), 100)
    node.counted(frames_in=100, done=100, dropped=0, lost_on_the_way=0)


def test_what_comes_in_larger_bursts_is_lost_and_counted_and_told(
        bench, start, toy, stamped, clean):
    node = start('classifier', model=toy['classifier'])
    frames = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(frames)
    frames.publish(stamped.raw(clean))
    node.counted(frames_in=1, done=1)
    burst(frames, stamped.raw(clean), 100)
    status = node.diagnosed(lambda s: 'lost on the way' in s.message, 'lost frames', 'camera')
    assert status.level == DiagnosticStatus.WARN
    status = node.diagnosed(lambda s: s.message == 'ok', 'ok again', 'camera')
    counts = {pair.key: pair.value for pair in status.values}
    assert int(counts['frames in']) + int(counts['lost on the way']) == 101
    assert int(counts['lost on the way']) > 50      # of 100, the 10 latest may wait


def burst(publisher, message, count):
    """Publish faster than a node takes it."""
    data = serialize_message(message)
    for _ in range(count):
        publisher.publish(data)


def test_publishers_that_take_turns_or_begin_anew_lose_nothing(
        bench, start, toy, stamped, clean):
    """Each numbers its own frames from 1 on."""
    node = start('classifier', model=toy['classifier'], queue_depth=10)
    first = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(first)
    burst(first, stamped.raw(clean), 5)
    node.counted(frames_in=5, done=5)
    second = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(second)
    for publisher in (second, first, second, first):
        publisher.publish(stamped.raw(clean))
    node.counted(frames_in=9, done=9, lost_on_the_way=0)
    for publisher in (first, second):
        bench.node.destroy_publisher(publisher)
    third = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(third)
    for _ in range(3):
        third.publish(stamped.raw(clean))
    node.counted(frames_in=12, done=12, lost_on_the_way=0)


def test_a_lost_frame_counts_once_whoever_tells_of_it():
    lost = LostMessages()
    assert [lost.came(number) for number in (4, 5, 9)] == [0, 0, 3]
    assert lost.reported(2) == 0        # of the same three
    assert lost.reported(2) == 1
    assert [lost.came(number) for number in (11, 2, 3, 5)] == [0, 0, 0, 1]  # begun anew at 2
    lost.begin_anew()
    assert [lost.came(10), lost.reported(1), lost.came(11)] == [0, 1, 0]


def test_where_frames_have_no_numbers_only_the_middleware_tells():
    lost = LostMessages()
    assert [lost.came(number) for number in (None, 0, 0, None)] == [0, 0, 0, 0]
    assert lost.reported(2) == 2


def test_frames_that_the_middleware_loses_are_counted_and_told():
    """Told by the middleware's own event, which a test cannot make it send: the rest is held."""
    class Node:
        """What a subscription asks of its node."""

        def resolve_topic_name(self, topic):
            return f'/{topic}'

        def count_publishers(self, topic):
            return 1

        def get_publishers_info_by_topic(self, topic):
            return [SimpleNamespace(topic_type='sensor_msgs/msg/Image', qos_profile=profile(False),
                                    endpoint_gid=[1, 2])]

        def create_subscription(self, kind, topic, callback, qos, *, event_callbacks):
            self.callback, self.events = callback, event_callbacks
            return object()

    counters, node = CameraCounters(), Node()
    MatchedSubscription(node, Image, 'image_raw', lambda _: counters.receive(), counters.lose)
    node.callback(Image(), {'source_timestamp': 1})     # as on Humble, without a number
    before = counters.counts()
    node.events.message_lost(SimpleNamespace(total_count=3, total_count_change=2))
    node.callback(Image(), {'publication_sequence_number': 5})
    node.callback(Image(), {'publication_sequence_number': 8})      # of the same two
    counts = counters.counts()
    assert (counts.received, counts.lost_on_the_way) == (3, 2)
    listening = SimpleNamespace(publishers=1, topic='/image_raw')
    level, message = _judge(counts, news(counts, before), listening, 0.0, '', 10.0)
    assert level == b'\x01' and message.startswith('2 frames lost on the way')
    assert _judge(counts, news(counts, counts), listening, 0.0, '', 10.0) == (b'\x00', 'ok')


def test_profiles_stand_in_one_file():
    for file in NODES.glob('*.py'):
        if file.name not in ('qos.py', 'bag_player.py'):
            assert not re.search(r'QoSProfile\(|ReliabilityPolicy\.', file.read_text()), file.name
