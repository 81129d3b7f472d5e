# SPDX-License-Identifier: Apache-2.0
"""The launch file on a full ROS 2: nodes started from it, fed with a bag."""

from pathlib import Path
import runpy

import pytest

ament_index = pytest.importorskip('ament_index_python.packages')
launch_pytest = pytest.importorskip('launch_pytest', reason='launch_pytest is not installed')
pytest.importorskip('launch_ros', reason='launch_ros is not installed')
rosbags_writer = pytest.importorskip('rosbags.rosbag2', reason='rosbags is not installed')

import cv2  # noqa: E402, I100
from launch import LaunchContext, LaunchDescription  # noqa: E402
from launch.actions import IncludeLaunchDescription, RegisterEventHandler  # noqa: E402
from launch.event_handlers import OnProcessExit  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from rosbags.typesys import get_typestore, Stores  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from tunnel_crack_msgs.msg import CrackArray, FrameVerdict  # noqa: E402

LAUNCH_FILE = Path(__file__).resolve().parents[2] / 'launch' / 'tunnel_crack.launch.py'
KINDS = ['cracked', 'clean', 'cracked']
TOPIC = '/drivers/cam0/image_raw/compressed'


def launch_file(**arguments: str) -> IncludeLaunchDescription:
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LAUNCH_FILE)), launch_arguments=arguments.items())


@pytest.fixture
def bag(toy_frames, tmp_path) -> Path:
    """Write an inspection of three frames as rosbag2 (MCAP)."""
    path = tmp_path / 'inspection'
    types = get_typestore(Stores.ROS2_HUMBLE)
    kind = 'sensor_msgs/msg/CompressedImage'
    with rosbags_writer.Writer(
            path, version=9, storage_plugin=rosbags_writer.StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, kind, typestore=types)
        for index, name in enumerate(KINDS):
            _, data = cv2.imencode('.png', toy_frames[name][..., ::-1])
            header = types.types['std_msgs/msg/Header'](
                types.types['builtin_interfaces/msg/Time'](100 + index, 5), 'cam0_optical')
            message = types.types[kind](header, 'png', data.ravel())
            writer.write(connection, (100 + index) * 10**9, types.serialize_cdr(message, kind))
    return path


def messages_of(path: Path) -> list[bytes]:
    with rosbags_writer.Reader(path) as reader:
        return [bytes(data) for _, _, data in reader.messages()]


exits: list[tuple[str, int]] = []


@launch_pytest.fixture
def system(toy_models, tmp_path):
    """Start both nodes from the launch file."""
    exits.clear()
    params_file = tmp_path / 'params.yaml'
    params_file.write_text('/**:\n  ros__parameters:\n    transport: compressed\n    threads: 1\n')
    return LaunchDescription([
        RegisterEventHandler(OnProcessExit(
            on_exit=lambda event, _: exits.append((event.process_name, event.returncode)))),
        launch_file(cameras='left=/drivers/cam0', namespace='tunnel',
                    models_folder=str(toy_models), params_file=str(params_file)),
        launch_pytest.actions.ReadyToTest(),
    ])


@pytest.mark.launch(fixture=system)
def test_a_bag_comes_back_as_verdicts_masks_and_cracks(observer, bag):
    camera = observer.node.create_publisher(CompressedImage, TOPIC, 5)
    verdicts = observer.receive(FrameVerdict, '/tunnel/left/verdict')
    masks = observer.receive(Image, '/tunnel/left/mask')
    cracks = observer.receive(CrackArray, '/tunnel/left/cracks')
    messages = messages_of(bag)
    observer.wait_for_listener(TOPIC)
    observer.wait_for_listener('/tunnel/left/flagged/compressed')
    observer.send_until('the first mask', lambda: camera.publish(messages[0]),
                        lambda: verdicts and masks and cracks)
    observer.drain(verdicts, masks, cracks)
    for count, message in enumerate(messages, start=1):
        camera.publish(message)
        observer.wait_for(f'verdict {count}', lambda count=count: len(verdicts) == count)
    observer.wait_for('masks and cracks', lambda: len(masks) >= 2 and len(cracks) >= 2)
    assert [verdict.verdict for verdict in verdicts] == [
        FrameVerdict.CRACK, FrameVerdict.NO_CRACK, FrameVerdict.CRACK]
    assert [verdict.header.stamp.sec for verdict in verdicts] == [100, 101, 102]
    assert [mask.header for mask in masks] == [verdicts[0].header, verdicts[2].header]
    assert [len(found.cracks) for found in cracks] == [1, 1]
    yield
    assert sorted((name.split('-')[0], code) for name, code in exits) == [
        ('classifier', 0), ('segmenter', 0)]


def start(**arguments: str) -> list:
    """Call what the launch file's one action calls, and return the actions it comes to."""
    launch_file = runpy.run_path(str(LAUNCH_FILE))
    context = LaunchContext()
    context.launch_configurations.update(
        {name: default for name, (default, _) in launch_file['ARGUMENTS'].items()})
    context.launch_configurations.update(arguments)
    return launch_file['start'](context)


def test_an_explainer_that_is_not_installed_is_said_so():
    prefix = Path(ament_index.get_package_prefix('tunnel_crack_ros'))
    if (prefix / 'lib' / 'tunnel_crack_ros' / 'explainer').exists():
        pytest.skip('the explainer is installed')
    with pytest.raises(FileNotFoundError, match='has no executable explainer in .*explainer:=fal'):
        start(explainer='true')


def test_a_wrong_argument_stops_the_launch():
    with pytest.raises(ValueError, match="transport: 'h264', expected raw or compressed"):
        start(transport='h264')


def test_a_set_of_models_reaches_both_nodes(toy_models, monkeypatch):
    monkeypatch.setenv('TUNNEL_CRACK_MODELS', str(toy_models))
    assert len([action for action in start(models='edge') if hasattr(action, 'cmd')]) == 2
    with pytest.raises(ValueError, match="models: 'big', expected edge or paper"):
        start(models='big')


def test_large_frames_get_room_unless_the_user_chose_a_profile(monkeypatch):
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE', raising=False)
    monkeypatch.delenv('FASTDDS_DEFAULT_PROFILES_FILE', raising=False)
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    kinds = [type(action).__name__ for action in start()]
    assert kinds == ['SetEnvironmentVariable', 'Node', 'Node']
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/mine.xml')
    assert [type(action).__name__ for action in start()] == ['Node', 'Node']


def test_an_rviz_that_is_not_installed_is_said_so():
    if 'rviz2' in ament_index.get_packages_with_prefixes():
        assert len([action for action in start(rviz='true') if hasattr(action, 'cmd')]) == 3
        return
    with pytest.raises(FileNotFoundError, match='rviz2 is not installed: .*rviz:=false'):
        start(rviz='true')
