# SPDX-License-Identifier: Apache-2.0
"""The node table: what it says, and real processes started from it."""

from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import signal
import subprocess

import numpy as np
import pytest

from tunnel_crack_ros.nodes.cameras_in_file import cameras_in_file
from tunnel_crack_ros.nodes.node_table import (
    Camera,
    fastdds_environment,
    FASTDDS_VARIABLES,
    missing_executables,
    node_table,
    Process,
    Settings,
    SettingsError,
)
from tunnel_crack_ros.nodes.ros_names import is_ros_name
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, ModelSet, SEGMENTER, SETS

SHARE = Path('/share')
REPOSITORY = Path(__file__).resolve().parents[2]


def table(**texts: str) -> dict[str, Process]:
    return {process.name: process for process in node_table(Settings.from_texts(texts), SHARE)}


def test_without_arguments_everything_is_left_to_the_parameter_file():
    processes = table()
    assert list(processes) == ['classifier', 'segmenter']
    for process in processes.values():
        assert process.params_file == '/share/config/tunnel_crack.yaml'
        assert not process.parameters
        assert not process.remappings
        assert not process.environment
        assert process.namespace == ''


def test_arguments_reach_both_nodes():
    for process in table(cameras='left, right', transport='compressed', namespace='tunnel',
                         use_sim_time='true', log_level='debug').values():
        assert process.parameters == {
            'cameras': ['left', 'right'], 'transport': 'compressed', 'use_sim_time': True}
        assert process.namespace == 'tunnel'
        assert process.log_level == 'debug'


def test_odometry_is_taken_from_where_it_is_published():
    for process in table(odometry='/odom', cameras='left').values():
        assert process.remappings == (('odometry', '/odom'),)


@pytest.mark.parametrize(('text', 'remapped'), [
    ('/laser', (('left/depth', '/laser'), ('right/depth', '/laser'))),
    ('right=/r, left=l/d', (('right/depth', '/r'), ('left/depth', 'l/d')))])
def test_a_depth_image_is_taken_from_where_it_is_published(text, remapped):
    for process in table(depth=text, cameras='left,right').values():
        assert process.remappings == remapped


def test_a_camera_of_the_parameter_file_may_have_its_range_elsewhere():
    for process in table(range='front=/laser').values():
        assert process.remappings == (('front/range', '/laser'),)
        assert not process.parameters


@pytest.mark.parametrize('text', ['back=/laser', 'left=', '=/laser', 'left=/a,left=/b', '/a,/b'])
def test_a_sensor_of_no_camera_is_refused(text):
    with pytest.raises(SettingsError, match=f"range: '.*{text[:5]}"):
        Settings.from_texts({'cameras': 'left,right', 'range': text})


@pytest.fixture
def of_left(tmp_path) -> str:
    """Return a parameter file whose cameras are `left` and `front/top`."""
    file = tmp_path / 'of_left.yaml'
    file.write_text('/**:\n  ros__parameters:\n    cameras: [left, front/top]\n')
    return str(file)


def test_the_cameras_of_the_parameter_file_are_known(of_left):
    for process in table(depth='/d', range='front/top=/r', params_file=of_left).values():
        assert process.remappings == (
            ('front/top/range', '/r'), ('left/depth', '/d'), ('front/top/depth', '/d'))
        assert not process.parameters
    with pytest.raises(SettingsError, match="depth: 'lefft=/d', expected camera=topic, the "
                                            'camera one of left, front/top'):
        table(depth='lefft=/d', params_file=of_left)
    assert table(depth='lefft=/d', cameras='lefft', params_file=of_left)


def test_rviz_shows_the_first_camera_of_the_parameter_file(of_left):
    rviz = table(rviz='true', namespace='tunnel', params_file=of_left)['rviz']
    assert dict(rviz.remappings)['/camera/image_raw'] == '/tunnel/left/image_raw'
    assert dict(rviz.remappings)['/camera/overlay'] == '/tunnel/left/overlay'


def test_without_a_parameter_file_the_packages_own_names_the_cameras():
    own = Settings.from_texts({'depth': '/d'}, REPOSITORY)
    assert own.depth == (('camera', '/d'),)
    assert not node_table(Settings.from_texts({'rviz': 'true'}), REPOSITORY)[-1].remappings
    with pytest.raises(SettingsError, match='the camera one of camera'):
        Settings.from_texts({'range': 'left=/r'}, REPOSITORY)


@pytest.mark.parametrize(('text', 'cameras'), [
    ('', ()), ('[1, 2]', ()), ('/**:', ()), ('/**: {ros__parameters: {cameras: left}}', ()),
    ('/**: {ros__parameters: {threads: 1}}', ()),
    ('/**/segmenter: {ros__parameters: {cameras: [own]}}\n'
     '/**: {ros__parameters: {cameras: [all]}}', ('own',)),
    ('/**/classifier: {ros__parameters: {cameras: [other]}}\n'
     '/**: {ros__parameters: {cameras: [all]}}', ('all',)),
    ('/tunnel/segmenter: {ros__parameters: {cameras: [own]}}', ('own',)),
    ('/*/segmenter: {ros__parameters: {cameras: [own]}}', ('own',)),
    ('/segmenter: {ros__parameters: {cameras: [elsewhere]}}', ()),
    ('tunnel: {segmenter: {ros__parameters: {cameras: [own]}}}', ('own',)),
])
def test_a_node_has_the_cameras_of_the_sections_that_are_meant_for_it(tmp_path, text, cameras):
    file = tmp_path / 'own.yaml'
    file.write_text(text)
    assert cameras_in_file(file, '/tunnel/segmenter') == cameras


@pytest.mark.parametrize('data', [b'/**: [', b'\xff\xfe'])
def test_a_parameter_file_that_cannot_be_read_is_told(tmp_path, data):
    (tmp_path / 'own.yaml').write_bytes(data)
    with pytest.raises(SettingsError, match=r'params_file: .*own\.yaml cannot be read: '):
        table(params_file=str(tmp_path / 'own.yaml'))


@pytest.mark.parametrize('name', [
    '/odom', 'odom', 'a/b_1/_c', '~/odom', '_', 'x9', '/a__b', '~', '~odom', '/', '/x/', 'x y',
    '/cam-0/x', '3x', '/a/3x', '/x//y', '', '//x', '/tunnel/straße', 'a:=b'])
def test_a_name_is_taken_that_ros_takes(name):
    rclpy = pytest.importorskip('rclpy')
    context, taken = rclpy.Context(), True
    try:
        rclpy.init(args=['--ros-args', '-r', f'odometry:={name}'], context=context)
    except Exception:   # of a type that each version of rclpy names anew
        taken = False
    else:
        context.shutdown()
    assert is_ros_name(name, private=True) == taken


def test_each_node_gets_its_own_model():
    processes = table(classifier_model='a', segmenter_model='/b.onnx', explainer='true')
    assert {name: process.parameters['model'] for name, process in processes.items()} == {
        'classifier': 'a', 'segmenter': '/b.onnx', 'explainer': '/b.onnx'}


def test_a_set_names_both_models(monkeypatch, toy_models):
    monkeypatch.setenv('TUNNEL_CRACK_MODELS', str(toy_models))
    edge = table(models='edge', explainer='true')
    assert {name: process.parameters['model'] for name, process in edge.items()} == {
        'classifier': CLASSIFIER, 'segmenter': SEGMENTER, 'explainer': SEGMENTER}
    # a model named by itself wins
    assert table(models='edge', segmenter_model='/b.onnx')['segmenter'].parameters['model'] == \
        '/b.onnx'


def test_a_set_is_complete_once_its_files_lie_in_the_folder(toy_models, tmp_path):
    names = SETS['paper']
    wanted = {'models': 'paper', 'models_folder': str(tmp_path)}
    # as smaller builds of the networks that the set names
    for toy, name in ((SEGMENTER, f'{names.segmenter}_int8'),
                      (CLASSIFIER, f'{names.classifier}_fp16')):
        for suffix in ('.onnx', '.yaml'):
            shutil.copyfile(toy_models / f'{toy}{suffix}', tmp_path / f'{name}{suffix}')
    processes = table(**wanted)
    assert processes['classifier'].parameters['model'] == names.classifier
    assert processes['segmenter'].parameters['model'] == names.segmenter


def test_a_set_that_is_not_complete_says_which_file_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(SETS, 'paper', ModelSet('absent_classifier', 'absent_segmenter'))
    with pytest.raises(SettingsError, match="models: no model 'absent_classifier' in .*"
                       r'absent_classifier\.onnx and .*tunnel_crack train absent_classifier'):
        table(models='paper', models_folder=str(tmp_path))
    with pytest.raises(SettingsError, match="no model 'absent_segmenter'"):
        table(models='paper', classifier_model='/mine.onnx')


def test_a_folder_of_models_is_searched_first(tmp_path):
    for process in table(models_folder=str(tmp_path)).values():
        assert process.environment == {'TUNNEL_CRACK_MODELS': str(tmp_path)}


def test_a_path_below_the_home_folder_is_passed_on_in_full(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'own.yaml').touch()
    (tmp_path / 'models').mkdir()
    for process in table(params_file='~/own.yaml', models_folder='~/models').values():
        assert process.params_file == str(tmp_path / 'own.yaml')
        assert process.environment == {'TUNNEL_CRACK_MODELS': str(tmp_path / 'models')}


def test_a_folder_is_no_parameter_file_and_a_file_no_folder_of_models(tmp_path):
    (tmp_path / 'own.yaml').touch()
    with pytest.raises(SettingsError, match='params_file: .* is a folder, expected a file'):
        table(params_file=str(tmp_path))
    with pytest.raises(SettingsError, match='models_folder: .* is a file, expected a folder'):
        table(models_folder=str(tmp_path / 'own.yaml'))


def test_a_camera_may_have_a_driver_elsewhere():
    for process in table(cameras='left=/drivers/cam0/,right').values():
        assert process.parameters['cameras'] == ['left', 'right']
        assert process.remappings == (
            ('left/image_raw', '/drivers/cam0/image_raw'),
            ('left/image_raw/compressed', '/drivers/cam0/image_raw/compressed'),
            ('left/camera_info', '/drivers/cam0/camera_info'))


@pytest.mark.parametrize(('texts', 'shown'), [
    ({}, {}),
    ({'cameras': 'left,right'}, {'image_raw': '/left/image_raw', 'overlay': '/left/overlay'}),
    ({'cameras': 'left=/cam0', 'namespace': 'tunnel'},
     {'image_raw': '/cam0/image_raw', 'overlay': '/tunnel/left/overlay'}),
    ({'cameras': 'left=cam0', 'namespace': 'tunnel'},
     {'image_raw': '/tunnel/cam0/image_raw', 'markers': '/tunnel/left/markers'}),
])
def test_rviz_shows_the_first_camera(texts, shown):
    rviz = table(rviz='true', **texts)['rviz']
    assert rviz.package == 'rviz2'
    assert rviz.arguments == ('-d', '/share/config/tunnel_crack.rviz')
    remapped = dict(rviz.remappings)
    assert {topic: remapped[f'/camera/{topic}'] for topic in shown} == shown
    assert bool(remapped) == bool(shown)


@pytest.mark.parametrize(('name', 'text', 'complaint'), [
    ('cameras', '1st', "camera '1st': expected names of letters"),
    ('cameras', 'left,left', 'expected no name twice'),
    ('cameras', '/left', "camera '/left': expected names of letters"),
    ('cameras', 'left=/drivers/cam-0', "camera 'left=/drivers/cam-0': expected names of letters, "
     "digits and single underscores with '/' between, as in 'left' or 'left=/drivers/cam0'"),
    ('cameras', 'left=', "camera 'left=': expected names"),
    ('cameras', 'left=/', "camera 'left=/': expected names"),
    ('cameras', 'left=~/cam0', "camera 'left=~/cam0': expected names"),
    ('namespace', 'tunnel-3', "namespace: 'tunnel-3', expected names of letters, digits and "
     "single underscores with '/' between, as in '/robot/tunnel'"),
    ('odometry', '/veh/odom-1', "odometry: '/veh/odom-1', expected names"),
    ('range', 'left=/x y', "range: '/x y', expected names of letters, digits and single "
     "underscores with '/' between, as in '/drivers/range'"),
    ('transport', 'h264', "transport: 'h264', expected raw or compressed"),
    ('rviz', 'maybe', "rviz: 'maybe', expected true or false"),
    ('log_level', 'loud', "log_level: 'loud', expected debug or info or warn"),
    ('models', 'big', "models: 'big', expected edge or paper"),
    ('models_folder', '/no/such/folder', 'models_folder: /no/such/folder does not exist'),
    ('params_file', '/no/such.yaml', 'params_file: /no/such.yaml does not exist'),
    ('depth', '/d', "depth: '/d', expected camera=topic, the camera one of those in"),
    ('camera', 'left', 'unknown argument camera; expected some of cameras, transport'),
])
def test_a_wrong_argument_is_refused_with_what_was_found_and_expected(name, text, complaint):
    with pytest.raises(SettingsError) as caught:
        Settings.from_texts({name: text})
    assert complaint in str(caught.value)


def test_a_command_line_names_file_namespace_and_remappings(tmp_path):
    process = Process('classifier', 'classifier', namespace='tunnel', params_file='/p.yaml',
                      parameters={'cameras': ['on']}, remappings=[('on/image_raw', '/cam0')])
    own = tmp_path / 'tunnel.classifier.yaml'
    assert process.command(Path('/lib'), tmp_path) == [
        '/lib/classifier', '--ros-args', '-r', '__node:=classifier', '--log-level', 'info',
        '-r', '__ns:=/tunnel', '--params-file', '/p.yaml', '--params-file', str(own),
        '-r', 'on/image_raw:=/cam0']
    # quoted, or YAML would take the camera's name for true
    assert "'on'" in own.read_text()


def test_a_missing_executable_of_this_package_is_named(tmp_path):
    (tmp_path / 'classifier').touch()
    (tmp_path / 'segmenter').touch()
    wanted = list(table(explainer='true', rviz='true').values())
    assert missing_executables(wanted, tmp_path) == ['explainer']


def test_fast_dds_gets_room_for_large_frames_unless_the_user_chose_a_profile():
    profile = '/share/config/fastdds_large_frames.xml'
    old, new = FASTDDS_VARIABLES
    assert fastdds_environment(SHARE, {}) == {old: profile, new: profile}
    assert fastdds_environment(SHARE, {'ROS_DISTRO': 'humble'}) == {old: profile}
    assert fastdds_environment(SHARE, {'ROS_DISTRO': 'jazzy'}) == {old: profile}
    assert fastdds_environment(SHARE, {'ROS_DISTRO': 'kilted'}) == {new: profile}
    for name in FASTDDS_VARIABLES:
        assert fastdds_environment(SHARE, {name: '/mine.xml'}) == {}


@pytest.mark.parametrize('name', ['fastdds_large_frames.xml', 'tunnel_crack.rviz',
                                  'tunnel_crack.yaml'])
def test_files_that_the_table_names_exist(name):
    assert (REPOSITORY / 'config' / name).is_file()


def test_camera_names_may_have_a_namespace():
    assert Camera.parse(' front/left ') == Camera('front/left')
    assert Camera.parse('front/left = drivers/cam0/') == Camera('front/left', 'drivers/cam0')


@pytest.mark.parametrize('name', ['tunnel', '/robot/tunnel', '/robot/tunnel/', '/', ''])
def test_nodes_may_be_in_any_namespace(name):
    for process in table(namespace=name).values():
        assert process.namespace == name.rstrip('/')


# ---- real processes ----------------------------------------------------------------------------

@contextmanager
def running(processes: list[Process], scratch: Path):
    """Start the processes of a table and stop them as `launch` does."""
    ament_index = pytest.importorskip('ament_index_python.packages')
    try:
        prefix = Path(ament_index.get_package_prefix('tunnel_crack_ros'))
    except ament_index.PackageNotFoundError:
        pytest.skip('tunnel_crack_ros is not installed')
    folder = prefix / 'lib' / 'tunnel_crack_ros'
    started = [subprocess.Popen(process.command(folder, scratch),
                                env={**os.environ, **process.environment})
               for process in processes]
    try:
        yield started
        assert [process.poll() for process in started] == [None] * len(started)
    finally:
        for process in started:
            process.send_signal(signal.SIGINT)
        codes = [process.wait(timeout=20) for process in started]
    assert codes == [0] * len(started)


def image_message(frame: np.ndarray, frame_id: str):
    from sensor_msgs.msg import Image
    height, width, _ = frame.shape
    message = Image(height=height, width=width, step=3 * width, encoding='rgb8')
    message.header.frame_id = frame_id
    message.data.frombytes(frame.data.cast('B'))
    return message


def test_processes_of_the_table_serve_two_cameras_in_a_namespace(
        observer, toy_models, toy_frames, tmp_path):
    from sensor_msgs.msg import Image, Range
    from tunnel_crack_msgs.msg import CrackArray, FrameVerdict
    params_file = tmp_path / 'params.yaml'
    params_file.write_text('/**/classifier:\n  ros__parameters:\n    cameras: [not_this]\n'
                           '/**/segmenter:\n  ros__parameters:\n    threads: 1\n')
    settings = Settings.from_texts({
        'cameras': 'left=/drivers/cam0,right', 'namespace': 'tunnel',
        'range': 'left=/drivers/laser0',
        'models_folder': str(toy_models), 'params_file': str(params_file)})
    topics = {'left': '/drivers/cam0/image_raw', 'right': '/tunnel/right/image_raw'}
    inputs = {camera: observer.node.create_publisher(Image, topic, 5)
              for camera, topic in topics.items()}
    observer.node.create_publisher(Range, '/drivers/laser0', 5)
    verdicts = {camera: observer.receive(FrameVerdict, f'/tunnel/{camera}/verdict')
                for camera in topics}
    cracks = {camera: observer.receive(CrackArray, f'/tunnel/{camera}/cracks')
              for camera in topics}

    with running(node_table(settings, REPOSITORY), tmp_path):
        observer.wait_for_listener('/drivers/laser0')
        for camera, topic in topics.items():
            observer.wait_for_listener(topic)
            observer.wait_for_listener(f'/tunnel/{camera}/flagged')
            frame = image_message(toy_frames['cracked'], f'{camera}_optical')
            observer.send_until(
                f'{camera}: cracks', lambda c=camera, f=frame: inputs[c].publish(f),
                lambda c=camera: verdicts[c] and cracks[c])
        observer.drain(*verdicts.values(), *cracks.values())
        inputs['left'].publish(image_message(toy_frames['cracked'], 'left_optical'))
        inputs['right'].publish(image_message(toy_frames['clean'], 'right_optical'))
        observer.wait_for('verdicts', lambda: verdicts['left'] and verdicts['right'])
        observer.wait_for('cracks', lambda: cracks['left'])
    left, = verdicts['left']
    right, = verdicts['right']
    found, = cracks['left']
    assert (left.verdict, left.header.frame_id) == (FrameVerdict.CRACK, 'left_optical')
    assert (right.verdict, right.header.frame_id) == (FrameVerdict.NO_CRACK, 'right_optical')
    assert len(found.cracks) == 1
    assert not cracks['right']
