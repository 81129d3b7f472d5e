# SPDX-License-Identifier: Apache-2.0
"""Replay publishes a bag's messages as they were recorded, when they were recorded."""

from pathlib import Path
import signal
import subprocess
import sys
import threading
import time

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg, get_typestore, Stores
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Range

from tunnel_crack_ros.nodes.bag_player import BagError, offered_profile, play
from tunnel_crack_ros.simulation import simulate, SimulationSettings

REPOSITORY = Path(__file__).resolve().parents[2]
FOREVER = QosTime(2147483647, 4294967295)
STEP_S = 0.05
START_NS = 1_700_000_000 * 10**9
PLAY = (
    'import sys; from pathlib import Path; '
    'from tunnel_crack_ros.nodes.bag_player import play; '
    'print(play(Path(sys.argv[1]), **eval(sys.argv[2])))')


def qos(reliability=QosReliability.RELIABLE, durability=QosDurability.VOLATILE, depth=10) -> Qos:
    return Qos(QosHistory.KEEP_LAST, depth, reliability, durability, FOREVER, FOREVER,
               QosLiveliness.AUTOMATIC, FOREVER, False)


def write_bag(path: Path, count: int = 10, plugin: StoragePlugin = StoragePlugin.MCAP,
              profiles: tuple[Qos, ...] = (qos(),), mode: CompressionMode | None = None) -> Path:
    """Write ``count`` distances, 0.0, 1.0, ... m, one each ``STEP_S``."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    bag = Writer(path, version=8, storage_plugin=plugin)
    if mode:
        bag.set_compression(mode, CompressionFormat.ZSTD)
    with bag as writer:
        topic = writer.add_connection('/distance', 'sensor_msgs/msg/Range', typestore=store,
                                      offered_qos_profiles=list(profiles))
        for index in range(count):
            stamp = START_NS + round(index * STEP_S * 1e9)
            header = types['std_msgs/msg/Header'](
                types['builtin_interfaces/msg/Time'](stamp // 10**9, stamp % 10**9), 'laser')
            message = types['sensor_msgs/msg/Range'](header, 1, 0.1, 0.0, 99.0, float(index), 0.0)
            writer.write(topic, stamp, store.serialize_cdr(message, message.__msgtype__))
    return path


class Listener:
    """A participant of its own that notes what arrives, and when."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('listener', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard: dict[str, list[tuple[float, object]]] = {}
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def to(self, kind: type, topic: str, profile: QoSProfile | int = 100) -> None:
        """Listen to a topic."""
        notes = self.heard[topic] = []
        self.node.create_subscription(
            kind, topic, lambda message: notes.append((time.monotonic(), message)), profile)

    def wait_for(self, topic: str, count: int, seconds: float = 15.0) -> list:
        """Return the messages of a topic once there are so many."""
        end = time.monotonic() + seconds
        while len(self.heard[topic]) < count and time.monotonic() < end:
            time.sleep(0.01)
        return [message for _, message in self.heard[topic]]

    def close(self) -> None:
        """Leave."""
        self.executor.shutdown()
        self.thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def listener():
    made = Listener()
    yield made
    made.close()


@pytest.mark.parametrize('plugin', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_every_message_arrives_in_order_as_recorded(tmp_path, listener, plugin):
    bag = write_bag(tmp_path / 'bag', plugin=plugin)
    listener.to(Range, '/distance')
    result = play(bag, rate=5.0, wait_for_subscribers=True)
    found = listener.wait_for('/distance', 10)
    assert [message.range for message in found] == [float(i) for i in range(10)]
    assert [m.header.stamp.nanosec for m in found] == [
        round(i * STEP_S * 1e9) for i in range(10)]
    assert (result.published, result.interrupted) == (10, False)


@pytest.mark.parametrize('rate', [1.0, 4.0])
def test_messages_keep_their_distances_divided_by_the_rate(tmp_path, listener, rate):
    bag = write_bag(tmp_path / 'bag', count=21)
    listener.to(Range, '/distance')
    play(bag, rate=rate, wait_for_subscribers=True)
    listener.wait_for('/distance', 21)
    times = [at for at, _ in listener.heard['/distance']]
    # 100 ms: a busy machine may hold up the first or the last message; drift would be more.
    assert times[-1] - times[0] == pytest.approx(20 * STEP_S / rate, abs=0.1)


def test_a_simulated_inspection_arrives_whole(tmp_path, listener):
    simulate(SimulationSettings(frames=4, width=128, height=96), tmp_path)
    topic = '/camera/image_raw/compressed'
    listener.to(CompressedImage, topic, qos_profile_sensor_data)
    play(tmp_path, rate=4.0, wait_for_subscribers=True)     # the folder around the bag will do
    images = listener.wait_for(topic, 4)
    assert [bytes(image.data[:2]) for image in images] == [b'\xff\xd8'] * 4    # JPEG
    assert images[0].header.frame_id == 'camera_optical_frame'


def test_who_takes_the_images_gets_the_first_calibration_too(tmp_path, listener):
    made = simulate(SimulationSettings(frames=4, width=128, height=96), tmp_path)
    listener.to(CompressedImage, '/camera/image_raw/compressed', qos_profile_sensor_data)
    late = threading.Timer(2.0, listener.to, (CameraInfo, '/camera/camera_info'))
    late.start()
    play(made.bag, rate=4.0, wait_for_subscribers=True)
    late.join()
    assert len(listener.wait_for('/camera/camera_info', 4)) == 4


def test_the_clock_runs_with_the_bag(tmp_path, listener):
    bag = write_bag(tmp_path / 'bag', count=21)       # one second
    listener.to(Clock, '/clock')
    listener.to(Range, '/distance')
    play(bag, rate=2.0, clock_hz=40.0, wait_for_subscribers=True)
    listener.wait_for('/distance', 21)
    ticks = [m.clock.sec * 10**9 + m.clock.nanosec for _, m in listener.heard['/clock']]
    assert ticks == sorted(ticks)
    # 40 Hz of real time for half a second; the first ones may pass before discovery.
    assert 10 <= len(ticks) <= 22
    assert {b - a for a, b in zip(ticks, ticks[1:])} == {round(1e9 / 40 * 2)}
    assert START_NS <= ticks[0] and ticks[-1] <= START_NS + 10**9


def test_a_topic_may_be_chosen_and_remapped(tmp_path, listener):
    bag = write_bag(tmp_path / 'bag')
    listener.to(Range, '/left/range')
    play(bag, rate=10.0, topics=['/distance'], wait_for_subscribers=True,
         ros_args=['--ros-args', '-r', '/distance:=/left/range'])
    assert len(listener.wait_for('/left/range', 10)) == 10


def test_recorded_qos_is_offered_again(tmp_path, listener):
    bag = write_bag(
        tmp_path / 'bag', profiles=(qos(durability=QosDurability.TRANSIENT_LOCAL),))
    listener.to(Range, '/distance', QoSProfile(
        depth=100, reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL))
    play(bag, rate=10.0, wait_for_subscribers=True)
    assert len(listener.wait_for('/distance', 10)) == 10


def test_offered_profile_serves_all_that_were_recorded():
    best_effort = qos(QosReliability.BEST_EFFORT)
    assert offered_profile([]).reliability == ReliabilityPolicy.RELIABLE
    assert offered_profile([best_effort]).reliability == ReliabilityPolicy.BEST_EFFORT
    assert offered_profile([best_effort, qos()]).reliability == ReliabilityPolicy.RELIABLE
    assert offered_profile([qos(depth=50)]).depth == 50
    assert offered_profile([qos(durability=QosDurability.TRANSIENT_LOCAL)]).durability == (
        DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.mark.parametrize('ending', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_loop_cleanly(tmp_path, listener, ending):
    bag = write_bag(tmp_path / 'bag')
    listener.to(Range, '/distance')
    player = subprocess.Popen(
        [sys.executable, '-c', PLAY, str(bag), '{"loop": True, "rate": 2.0}'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert len(listener.wait_for('/distance', 15)) >= 15      # more than the bag holds
        player.send_signal(ending)
        out, err = player.communicate(timeout=10)
    finally:
        player.kill()
    assert player.returncode == 0, err
    assert 'interrupted=True' in out and 'Traceback' not in err


def test_a_missing_bag_is_named(tmp_path):
    with pytest.raises(BagError, match='nowhere: no such bag'):
        play(tmp_path / 'nowhere')
    with pytest.raises(BagError, match=r'no metadata\.yaml in it'):
        play(tmp_path)


def test_an_empty_bag_is_refused(tmp_path):
    with pytest.raises(BagError, match='empty: expected at least one message'):
        play(write_bag(tmp_path / 'bag', count=0))


@pytest.mark.parametrize(('keep', 'complaint'), [
    (0, 'broken: '), (40, 'broken: '), (300, 'empty: expected at least one message')])
def test_a_broken_bag_is_refused(tmp_path, keep, complaint):
    bag = write_bag(tmp_path / 'bag')
    file = bag / 'bag.mcap'
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(BagError, match=f'bag: {complaint}'):
        play(bag, rate=100.0)


def test_a_bag_cut_off_while_recording_is_played(tmp_path, listener):
    bag = write_bag(tmp_path / 'bag')
    (bag / 'metadata.yaml').unlink()
    file = bag / 'bag.mcap'
    file.write_bytes(file.read_bytes()[:-30])
    listener.to(Range, '/distance')
    play(bag, rate=20.0, wait_for_subscribers=True)
    assert [message.range for message in listener.wait_for('/distance', 10)] == [
        float(number) for number in range(10)]
    file.with_name('bag_1.mcap').write_bytes(file.read_bytes())
    with pytest.raises(BagError, match=r'expected one of its files, bag.mcap, bag_1.mcap'):
        play(bag)


@pytest.mark.parametrize('mode', [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_a_compressed_bag_without_metadata_is_played(tmp_path, listener, mode):
    bag = write_bag(tmp_path / 'bag', mode=mode)
    (bag / 'metadata.yaml').unlink()
    listener.to(Range, '/distance')
    play(bag, rate=20.0, wait_for_subscribers=True)
    assert [message.range for message in listener.wait_for('/distance', 10)] == [
        float(number) for number in range(10)]


def test_broken_metadata_is_refused(tmp_path):
    bag = write_bag(tmp_path / 'bag')
    (bag / 'metadata.yaml').write_text('rosbag2_bagfile_information: {version: 8')
    with pytest.raises(BagError, match='bag: broken: '):
        play(bag)


def test_an_unknown_type_is_named_with_its_topic(tmp_path):
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg('int32 value', 'nobody_msgs/msg/Secret'))
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection('/secret', 'nobody_msgs/msg/Secret', typestore=store)
        message = store.types['nobody_msgs/msg/Secret'](7)
        writer.write(topic, START_NS, store.serialize_cdr(message, 'nobody_msgs/msg/Secret'))
    with pytest.raises(BagError, match='/secret has the type nobody_msgs/msg/Secret, which is no'):
        play(tmp_path / 'bag')


def test_messages_of_this_project_are_played_too(tmp_path, listener):
    messages = pytest.importorskip('tunnel_crack_msgs.msg', reason='interfaces are not built')
    name, fields = 'tunnel_crack_msgs/msg/CentreLinePoint', {'x_px': 3.5, 'y_px': 4.5}
    definition = (REPOSITORY / 'tunnel_crack_msgs' / 'msg' / 'CentreLinePoint.msg').read_text()
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(definition, name))
    others = {field: 0.0 for field, _ in store.fielddefs[name][1] if field not in fields}
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection('/point', name, typestore=store)
        message = store.types[name](**fields, **others)
        writer.write(topic, START_NS, store.serialize_cdr(message, name))
    listener.to(messages.CentreLinePoint, '/point')
    play(tmp_path / 'bag', wait_for_subscribers=True)
    point, = listener.wait_for('/point', 1)
    assert (point.x_px, point.y_px) == (3.5, 4.5)


def test_an_unknown_topic_is_refused_with_those_there(tmp_path):
    with pytest.raises(BagError, match='no topic /image: it has /distance'):
        play(write_bag(tmp_path / 'bag'), topics=['/image'])


@pytest.mark.parametrize('name, value', [('rate', 0.0), ('clock_hz', -1.0), ('start_delay', -0.1)])
def test_numbers_out_of_range_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f'^{name}: .*expected'):
        play(tmp_path, **{name: value})
