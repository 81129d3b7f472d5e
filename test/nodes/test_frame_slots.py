# SPDX-License-Identifier: Apache-2.0
"""Slots and counts: the newest frame stays, cameras take turns, every frame is accounted for."""

import sys
import threading

from hypothesis import given
from hypothesis import strategies as st

from tunnel_crack_ros.nodes.counters import CameraCounters, Counts, StageTimes
from tunnel_crack_ros.nodes.diagnostics import news
from tunnel_crack_ros.nodes.frame_slots import FrameSlots


def test_the_newest_frame_stays_and_the_overtaken_are_counted():
    slots = FrameSlots(['a'])
    assert [slots.put('a', number) for number in range(4)] == [0, 1, 1, 1]
    assert slots.take() == ('a', 3)


def test_a_deeper_queue_keeps_the_latest_in_order():
    slots = FrameSlots(['a'], depth=3)
    assert sum(slots.put('a', number) for number in range(5)) == 2
    assert [slots.take() for _ in range(3)] == [('a', 2), ('a', 3), ('a', 4)]


def test_cameras_take_turns_however_many_frames_one_has():
    slots = FrameSlots(['a', 'b', 'c'], depth=10)
    for number in range(4):
        slots.put('a', number)
    slots.put('c', 7)
    assert [slots.take()[0] for _ in range(5)] == ['a', 'c', 'a', 'a', 'a']


def test_closing_sends_a_waiting_worker_home_and_counts_what_is_left():
    slots = FrameSlots(['a', 'b'])
    taken = []
    worker = threading.Thread(target=lambda: taken.append(slots.take()))
    worker.start()
    assert slots.close() == {'a': 0, 'b': 0}
    worker.join(10)
    assert taken == [None]
    slots = FrameSlots(['a', 'b'], depth=5)
    slots.put('b', 1)
    slots.put('b', 2)
    assert slots.close() == {'a': 0, 'b': 2}
    assert slots.take() is None


@given(st.lists(st.sampled_from(['put a', 'put b', 'take']), max_size=60), st.integers(1, 4))
def test_received_is_done_plus_dropped_plus_waiting(steps, depth):
    slots, counters = FrameSlots(['a', 'b'], depth), {c: CameraCounters() for c in 'ab'}
    for step in steps:
        if step == 'take':
            if any(counters[c].counts().waiting for c in 'ab'):
                counters[slots.take()[0]].finish()
        else:
            camera = step[-1]
            counters[camera].receive()
            counters[camera].drop('overtaken', slots.put(camera, object()))
        for camera in 'ab':
            assert 0 <= counters[camera].counts().waiting <= depth
    for camera, left in slots.close().items():
        assert left == counters[camera].counts().waiting


def test_counts_can_be_read_while_reasons_are_added():
    counters, times = CameraCounters(), StageTimes()

    def work() -> None:
        for number in range(2000):
            counters.receive()
            counters.drop(f'reason {number}')
            times.add(f'stage {number % 100}', 0.1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)     # looks for a dictionary that changes while it is read
    worker = threading.Thread(target=work)
    worker.start()
    try:
        while worker.is_alive():
            assert counters.counts().waiting in (0, 1)
            times.summary()
    finally:
        sys.setswitchinterval(interval)
        worker.join()


def counts(received: int, lost: int = 0, **dropped: int) -> Counts:
    return Counts(received, 0, 0, dropped, lost)


def test_a_report_tells_what_is_new():
    assert news(counts(9, overtaken=4, lost=1), None) == {'overtaken': 4, 'lost': 1}
    assert news(counts(9, overtaken=4, lost=3), counts(5, overtaken=3, lost=1)) == {
        'overtaken': 1, 'lost': 2}
    # configured anew: counts start again
    assert news(counts(2, bad=1), counts(50, bad=9)) == {'bad': 1, 'lost': 0}


def test_stage_times_are_medians_in_milliseconds():
    times = StageTimes()
    for seconds in (0.001, 0.002, 0.9):
        times.add('a', seconds)
    assert times.summary()['a'][0] == 2.0
    with times.measure('b'):
        pass
    assert set(times.summary()) == {'a', 'b'}
