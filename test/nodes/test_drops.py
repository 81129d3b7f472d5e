# SPDX-License-Identifier: Apache-2.0
"""A node that is slower than its cameras: newest frames, fair turns, every drop published."""

import re
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
from tunnel_crack_msgs.msg import FrameVerdict

from tunnel_crack_ros.nodes.classifier_node import ClassifierNode


@pytest.fixture(scope='module')
def two_cameras(bench, start, toy):
    """Return a slow classifier of two cameras, publishers and verdicts."""
    node = start('classifier', model=toy['slow'], cameras=['left', 'right'], threads=1)
    verdicts = {c: bench.collect(FrameVerdict, node.topic(f'{c}/verdict'))
                for c in ('left', 'right')}
    frames = {c: bench.publisher(Image, node.topic(f'{c}/image_raw')) for c in verdicts}
    bench.wait_matched(*frames.values())
    return node, frames, verdicts


def test_only_the_newest_of_a_burst_waits_and_the_others_are_counted(
        bench, two_cameras, stamped, clean):
    node, frames, verdicts = two_cameras
    sent = [stamped.raw(clean) for _ in range(9)]
    for message in sent:
        frames['left'].publish(message)
    # the first is taken at once, the last waits until it is done
    verdicts['left'].find(lambda v: v.header == sent[-1].header, 'verdict on the newest frame')
    order = [sent.index(next(m for m in sent if m.header == v.header))
             for v in verdicts['left'].messages]
    assert order == sorted(order)
    done = len(order)
    assert done < 9
    node.counted('left', frames_in=9, done=done, dropped_overtaken=9 - done, waiting=0,
                 lost_on_the_way=0)
    said = [s for s in bench.reports(f'{node.name}: left') if 'overtaken' in s.message]
    assert said and all(s.level == DiagnosticStatus.WARN for s in said)
    node.diagnosed(lambda s: s.level == DiagnosticStatus.OK, 'all well after the burst', 'left')


def test_a_camera_that_floods_the_node_does_not_starve_the_other(
        bench, two_cameras, stamped, clean):
    node, frames, verdicts = two_cameras
    while_waiting = []
    for _ in range(4):
        before = len(verdicts['right']), len(verdicts['left'])
        frames['right'].publish(stamped.raw(clean))
        while len(verdicts['right']) == before[0]:
            frames['left'].publish(stamped.raw(clean))
            time.sleep(0.005)
        while_waiting.append(len(verdicts['left']) - before[1])
    # one that was in work, one whose turn it was; the messages of a third may be under way
    assert max(while_waiting) <= 3
    node.counted('right', frames_in=4, done=4, dropped=0)


def test_deactivation_waits_for_the_frame_in_work_and_counts_those_that_wait(
        bench, start, toy, stamped, clean):
    node = start('classifier', model=toy['slow'], threads=1, queue_depth=5)
    verdicts = bench.collect(FrameVerdict, node.topic('camera/verdict'))
    frames = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(frames)
    for _ in range(5):
        frames.publish(stamped.raw(clean))
    verdicts.wait(1)
    assert node.change('deactivate')
    at_once = len(verdicts)
    counts = node.counted(frames_in=5, waiting=0)
    assert counts['done'] + counts['dropped: deactivated'] == 5
    assert counts['dropped: deactivated'] > 0
    frames.publish(stamped.raw(clean))
    assert node.change('activate')
    bench.wait_matched(frames)
    last = stamped.raw(clean)
    frames.publish(last)
    verdicts.find(lambda v: v.header == last.header, 'verdict after activation')
    assert len(verdicts) - at_once <= 2     # what was published in between is not made up for
    node.stop()


def test_a_frame_that_hangs_the_worker_is_an_error_for_as_long_as_it_does(
        bench, toy, stamped, clean):
    assert ClassifierNode.longest_frame_s == 10.0
    rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    node = ClassifierNode('hanging', model=toy['classifier'])
    goes_on = threading.Event()
    node.longest_frame_s, node.process = 1.0, lambda camera, message: goes_on.wait()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    try:
        frames = bench.publisher(Image, '/camera/image_raw')
        bench.wait_matched(frames)
        frames.publish(stamped.raw(clean))
        status = bench.diagnosed('/hanging: camera', lambda s: s.level == DiagnosticStatus.ERROR,
                                 'a frame that hangs')
        assert re.fullmatch('one frame has been worked on for [1-9] s', status.message)
        goes_on.set()
        bench.diagnosed('/hanging: camera', lambda s: s.message == 'ok', 'ok again')
    finally:
        goes_on.set()
        executor.shutdown()
        spinning.join()
        node.destroy_node()
        rclpy.shutdown()


@pytest.mark.parametrize('number', ['SIGINT', 'SIGTERM'])
def test_a_node_ends_in_the_middle_of_its_work(bench, start, toy, stamped, clean, number):
    import signal
    node = start('classifier', model=toy['slow'], threads=1)
    verdicts = bench.collect(FrameVerdict, node.topic('camera/verdict'))
    frames = bench.publisher(Image, node.topic('camera/image_raw'))
    bench.wait_matched(frames)
    while not verdicts.messages:
        frames.publish(stamped.raw(clean))
        time.sleep(0.01)
    for _ in range(3):
        frames.publish(stamped.raw(clean))
    assert node.stop(getattr(signal, number)) < 5.0
