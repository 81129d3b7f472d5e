# SPDX-License-Identifier: Apache-2.0
"""The explainer as a process, with the shipped segmenter: goals, cancellation, every n-th frame.

What it publishes is held against the method run directly on the same bytes.
"""

from __future__ import annotations

from contextlib import contextmanager
import os
from pathlib import Path
import subprocess
import sys
import threading
from types import SimpleNamespace

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
import numpy as np
import pytest
import rclpy
from rclpy.action import ActionClient
from rclpy.executors import MultiThreadedExecutor
from sensor_msgs.msg import Image
from tunnel_crack_msgs.action import Explain

from tunnel_crack_ros.nodes import explainer_node
from tunnel_crack_ros.vision import Model
from tunnel_crack_ros.vision.explain.heat_map import draw_heat_map
from tunnel_crack_ros.vision.model_folder import SEGMENTER
from tunnel_crack_ros.vision.score_cam import ScoreCam


class Asker:
    """A client of one explainer's action."""

    def __init__(self, bench, node) -> None:
        self._bench = bench
        self._client = ActionClient(bench.node, Explain, f'{node.name}/explain')
        self.feedback: list[Explain.Feedback] = []
        bench.wait_for(self._client.server_is_ready, 'no action server')

    def offer(self, **fields):
        """Send a goal and return its handle, accepted or not."""
        future = self._client.send_goal_async(
            Explain.Goal(**fields), feedback_callback=lambda m: self.feedback.append(m.feedback))
        self._bench.wait_for(future.done, 'no answer to the goal')
        return future.result()

    def send(self, **fields):
        """Send a goal and wait until it is accepted."""
        handle = self.offer(**fields)
        assert handle.accepted
        return handle

    def cancel(self, handle):
        cancelled = handle.cancel_goal_async()
        self._bench.wait_for(cancelled.done, 'cancel not answered')

    def finish(self, handle):
        """Wait for a goal's end; return status and result."""
        future = handle.get_result_async()
        self._bench.wait_for(future.done, 'no result')
        return future.result().status, future.result().result

    def ask(self, **fields):
        return self.finish(self.send(**fields))


@pytest.fixture(scope='module')
def cam() -> ScoreCam:
    return ScoreCam(Model.load(SEGMENTER, with_taps=True))


@pytest.fixture(scope='module')
def node(start):
    return start('explainer')


@pytest.fixture(scope='module')
def asker(bench, node) -> Asker:
    return Asker(bench, node)


def values(message: Image) -> np.ndarray:
    assert message.encoding == '32FC1'
    return np.frombuffer(bytes(message.data), np.float32).reshape(message.height, message.width)


def test_a_goal_gets_the_maps_of_the_method(bench, node, asker, cam, stamped, cracked):
    pictures = bench.collect(Image, node.topic('camera/heatmap'))
    raw = bench.collect(Image, node.topic('camera/heatmap/raw'))
    bench.wait_for(lambda: bench.node.count_publishers(node.topic('camera/heatmap/raw')),
                   'no publisher')
    layers = [cam.layers[0], cam.layers[-1]]
    asker.feedback.clear()
    message = stamped.raw(cracked)
    status, result = asker.ask(image=message, layers=layers)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.success and result.message == ''
    expected = cam.explain(cracked, layers).heat_maps
    assert list(result.layers) == layers
    assert list(result.forward_passes) == [heat.passes for heat in expected]
    np.testing.assert_allclose(result.fidelity, [heat.fidelity for heat in expected], atol=1e-3)
    for found, heat in zip(result.heat_maps, expected):
        assert found.header == message.header
        np.testing.assert_allclose(values(found), heat.values, atol=1e-3)
    assert result.elapsed.sec + result.elapsed.nanosec * 1e-9 > 0.0
    assert asker.feedback[-1].forward_passes == asker.feedback[-1].forward_passes_expected
    assert asker.feedback[-1].progress == 1.0
    assert {told.layer for told in asker.feedback} == set(layers)
    for collected in (pictures, raw):
        assert all(m.header == message.header for m in collected.wait(2))
    np.testing.assert_allclose(values(raw.messages[-1]), expected[-1].values, atol=1e-3)
    picture = pictures.messages[-1]
    assert picture.encoding == 'bgr8'
    drawn = np.frombuffer(bytes(picture.data), np.uint8).reshape(cracked.shape)[:, :, ::-1]
    difference = np.abs(drawn.astype(int) - draw_heat_map(cracked, expected[-1].values))
    assert np.median(difference) == 0.0     # a level of colour apart where rounding differs
    assert difference.mean() < 1.0


def test_exact_goals_take_a_pass_for_every_channel(asker, cam, stamped, cracked):
    layer = cam.layers[0]
    status, result = asker.ask(image=stamped.raw(cracked), layers=[layer],
                               method=Explain.Goal.METHOD_EXACT)
    assert status == GoalStatus.STATUS_SUCCEEDED
    heat, = cam.explain(cracked, [layer], method='exact').heat_maps
    assert list(result.forward_passes) == [heat.channels]
    assert list(result.fidelity) == [1.0]


def test_a_deadline_brings_the_best_maps_so_far(asker, cam, stamped, cracked):
    status, result = asker.ask(image=stamped.raw(cracked), layers=list(cam.layers),
                               method=Explain.Goal.METHOD_EXACT,
                               deadline=Duration(nanosec=300_000_000))
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert len(result.heat_maps) == len(cam.layers)
    assert min(result.fidelity) < 1.0 or any(np.isnan(result.fidelity))


def test_a_goal_can_be_cancelled(bench, asker, cam, stamped, cracked):
    asker.feedback.clear()
    large = cracked.repeat(4, axis=0).repeat(4, axis=1)
    handle = asker.send(image=stamped.raw(large), layers=list(cam.layers),
                        method=Explain.Goal.METHOD_EXACT)
    bench.wait_for(lambda: asker.feedback, 'no feedback')
    asker.cancel(handle)
    status, result = asker.finish(handle)
    assert status == GoalStatus.STATUS_CANCELED
    assert not result.success and result.message == 'cancelled'
    assert asker.feedback[-1].forward_passes < asker.feedback[-1].forward_passes_expected


def test_one_goal_works_and_one_waits_and_the_node_still_answers(
        bench, node, asker, cam, stamped, cracked):
    long = {'image': stamped.raw(cracked.repeat(8, axis=0).repeat(8, axis=1)),
            'layers': list(cam.layers), 'method': Explain.Goal.METHOD_EXACT}
    asker.feedback.clear()
    busy = 'one goal is worked on and another one waits already'
    working = asker.send(**long)
    bench.wait_for(lambda: asker.feedback, 'no feedback')
    waiting = asker.send(**long)
    try:
        for _ in range(3):
            offered = asker.offer(**long)
            if offered.accepted:    # it was heard before the one that waits was counted
                status, result = asker.finish(offered)
                assert (status, result.message) == (GoalStatus.STATUS_ABORTED, busy)
        node.wait_log(busy)
        assert node.state() == 'active'
        seen = len(bench.reports(node.name))
        bench.wait_for(lambda: len(bench.reports(node.name)) >= seen + 2, 'no diagnostics')
    finally:        # else the tests to come would find the node at work
        for handle in (waiting, working):
            asker.cancel(handle)
            assert asker.finish(handle)[0] == GoalStatus.STATUS_CANCELED
    assert asker.ask(image=stamped.raw(cracked))[0] == GoalStatus.STATUS_SUCCEEDED


def test_a_deadline_runs_while_a_goal_waits_for_its_turn(bench, asker, cam, stamped, cracked):
    large = stamped.raw(cracked.repeat(8, axis=0).repeat(8, axis=1))
    asker.feedback.clear()
    working = asker.send(image=large, layers=list(cam.layers), method=Explain.Goal.METHOD_EXACT)
    bench.wait_for(lambda: asker.feedback, 'no feedback')
    status, result = asker.ask(image=stamped.raw(cracked), deadline=Duration(nanosec=500_000_000))
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message == 'the deadline passed while another frame was explained'
    assert 0.5 <= result.elapsed.sec + result.elapsed.nanosec * 1e-9 < 5.0
    assert working.status == GoalStatus.STATUS_EXECUTING
    asker.cancel(working)
    assert asker.finish(working)[0] == GoalStatus.STATUS_CANCELED


def test_of_many_goals_at_once_some_are_answered_and_the_others_told(
        bench, asker, stamped, cracked):
    goal = Explain.Goal(image=stamped.raw(cracked), layers=['layer3'],
                        method=Explain.Goal.METHOD_EXACT)
    offers = [asker._client.send_goal_async(goal) for _ in range(6)]
    bench.wait_for(lambda: all(offer.done() for offer in offers), 'no answers')
    handles = [offer.result() for offer in offers if offer.result().accepted]
    found = [asker.finish(handle) for handle in handles]
    # more, if the node is so slow to hear of the last that the first are done
    assert 2 <= [status for status, _ in found].count(GoalStatus.STATUS_SUCCEEDED) < 6
    assert {result.message for status, result in found
            if status != GoalStatus.STATUS_SUCCEEDED} <= {
                'one goal is worked on and another one waits already'}


def test_the_latest_flagged_frame_is_explained_when_none_is_sent(
        bench, start, cam, stamped, cracked):
    node = start('explainer')
    asker = Asker(bench, node)
    status, result = asker.ask()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message == 'no frame of camera was flagged yet'
    frames = bench.publisher(Image, node.topic('camera/flagged'))
    bench.wait_matched(frames)
    for _ in range(2):
        message = stamped.raw(cracked)
        frames.publish(message)
    node.counted(frames_in=2, waiting=0)
    status, result = asker.ask()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert list(result.layers) == [cam.layers[-1]]
    assert result.heat_maps[0].header == message.header


@pytest.mark.parametrize('fields, reason', [
    ({'camera': 'nobody'}, "no camera 'nobody'; expected one of camera"),
    ({'layers': ['nowhere']}, 'no layer nowhere'),
    ({'image': Image(height=4, width=4, encoding='rgb8', step=12)}, '0 bytes of data')])
def test_a_goal_that_does_not_fit_is_answered_with_the_reason(
        asker, stamped, cracked, fields, reason):
    status, result = asker.ask(**({'image': stamped.raw(cracked)} | fields))
    assert status == GoalStatus.STATUS_ABORTED
    assert not result.success and reason in result.message


def explain_of(count, bench, node, stamped, cracked):
    """Send so many frames at once; return them, and the maps that come of them."""
    raw = bench.collect(Image, node.topic('camera/heatmap/raw'))
    frames = bench.publisher(Image, node.topic('camera/flagged'))
    bench.wait_matched(frames)
    bench.wait_for(lambda: bench.node.count_publishers(node.topic('camera/heatmap/raw')),
                   'no publisher')
    sent = [stamped.raw(cracked) for _ in range(count)]
    for message in sent:
        frames.publish(message)
    return sent, raw


def test_every_nth_flagged_frame_is_explained(bench, start, stamped, cracked):
    node = start('explainer', every_nth=2, deadline_s=0.0, queue_depth=10)
    sent, raw = explain_of(4, bench, node, stamped, cracked)
    node.counted(done=4)
    assert [m.header for m in raw.wait(2)] == [sent[1].header, sent[3].header]


def test_frames_that_come_while_one_is_explained_count_for_whose_turn_it_is(
        bench, start, stamped, cracked):
    node = start('explainer', every_nth=3, deadline_s=0.0, queue_depth=2)
    sent, raw = explain_of(8, bench, node, stamped, cracked)
    node.counted(frames_in=8, waiting=0)
    node.counted(done=8, dropped=0)
    assert [m.header for m in raw.wait(2)] == [sent[2].header, sent[5].header]


def test_an_inactive_explainer_says_so_and_works_again(bench, start, stamped, cracked):
    node = start('explainer')
    asker = Asker(bench, node)
    assert node.change('deactivate')
    status, result = asker.ask(image=stamped.raw(cracked))
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message == 'the explainer is not active'
    assert node.change('cleanup')
    assert asker.ask(image=stamped.raw(cracked))[0] == GoalStatus.STATUS_ABORTED
    assert node.change('configure') and node.change('activate')
    assert asker.ask(image=stamped.raw(cracked))[0] == GoalStatus.STATUS_SUCCEEDED


@contextmanager
def asker_of_node_here(bench, name):
    """Run an explainer in a thread of the test's own process."""
    rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    node = explainer_node.ExplainerNode(name)
    executor = MultiThreadedExecutor(explainer_node._THREADS)
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    try:
        asker = Asker(bench, SimpleNamespace(name=f'/{name}'))
        bench.wait_for(lambda: node.active, 'not active')
        yield asker
    finally:
        executor.shutdown()
        spinning.join()
        node.destroy_node()
        rclpy.shutdown()


def test_results_are_forgotten_soon_after_the_goal(bench, monkeypatch, stamped, cracked):
    assert explainer_node._RESULT_KEPT_S == 30 or os.environ['ROS_DISTRO'] in ('humble', 'iron')
    monkeypatch.setattr(explainer_node, '_RESULT_KEPT_S', 1)
    with asker_of_node_here(bench, 'forgetful') as asker:
        handle = asker.send(image=stamped.raw(cracked))
        status, result = asker.finish(handle)
        assert status == GoalStatus.STATUS_SUCCEEDED and result.heat_maps
        bench.wait_for(lambda: asker.finish(handle)[0] == GoalStatus.STATUS_UNKNOWN,
                       'the result is still there')


def test_a_goal_whose_first_passes_get_no_processor_is_told(bench, monkeypatch, stamped, cracked):
    monkeypatch.setattr(explainer_node, '_FIRST_PASSES_S', -60.0)   # they are late at once
    with asker_of_node_here(bench, 'hindered') as asker:
        large = stamped.raw(cracked.repeat(8, axis=0).repeat(8, axis=1))
        status, result = asker.ask(image=large, deadline=Duration(sec=60))
    assert status == GoalStatus.STATUS_ABORTED and not result.success
    assert 'the cores are busy, or too slow' in result.message


def test_it_ends_well_while_it_explains(bench, start, cam, stamped, cracked):
    node = start('explainer')
    asker = Asker(bench, node)
    large = cracked.repeat(4, axis=0).repeat(4, axis=1)
    asker.send(image=stamped.raw(large), layers=list(cam.layers),
               method=Explain.Goal.METHOD_EXACT)
    bench.wait_for(lambda: asker.feedback, 'no feedback')
    assert node.stop() < 10.0


def priorities(process):
    """Return (policy, nice value) of each thread of a process."""
    threads = [int(task.name) for task in Path(f'/proc/{process.pid}/task').iterdir()]
    return [(os.sched_getscheduler(thread), os.getpriority(os.PRIO_PROCESS, thread))
            for thread in threads]


@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='threads have one priority here')
def test_its_threads_that_compute_give_way_to_all_others(bench, start, cam, stamped, cracked):
    node = start('explainer', threads=3)
    asker = Asker(bench, node)
    assert asker.ask(image=stamped.raw(cracked))[0] == GoalStatus.STATUS_SUCCEEDED
    found = priorities(node.process)
    assert found.count((os.SCHED_IDLE, 19)) == 2        # beside the one that calls the network
    assert found.count((os.SCHED_OTHER, 19)) == 1       # which calls it
    assert set(found) == {(os.SCHED_IDLE, 19), (os.SCHED_OTHER, 19), (os.SCHED_OTHER, 5)}


@pytest.fixture
def all_cores_busy():
    """Keep each core busy with a process of the usual priority."""
    loads = [subprocess.Popen([sys.executable, '-c', 'while True: pass'])
             for _ in os.sched_getaffinity(0)]
    yield
    for load in loads:
        load.kill()
        load.wait()


def test_beside_a_load_on_all_cores_it_starts_and_answers_and_ends(
        bench, start, all_cores_busy, cam, stamped, cracked):
    node = start('explainer')
    asker = Asker(bench, node)
    large = cracked.repeat(4, axis=0).repeat(4, axis=1)
    handle = asker.send(image=stamped.raw(large), layers=list(cam.layers),
                        method=Explain.Goal.METHOD_EXACT)
    assert node.state() == 'active'
    asker.cancel(handle)
    assert asker.finish(handle)[0] == GoalStatus.STATUS_CANCELED
    asker.send(image=stamped.raw(large), layers=list(cam.layers))
    node.stop()


def test_layers_that_the_model_has_not_are_refused_at_start(start):
    node = start('explainer', wait='unconfigured', layers='decoder,nowhere')
    log = node.wait_log('cannot configure')
    assert "parameter 'layers'" in log and 'nowhere' in log
