# SPDX-License-Identifier: Apache-2.0
"""A simulated inspection on disk: a bag that others can read, and the truth beside it."""

import csv
import json
import math

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores
import yaml

from tunnel_crack_ros.simulation import (
    is_complete,
    render_frames,
    simulate,
    SimulationSettings,
    spread_cameras,
)

SETTINGS = SimulationSettings(
    seed=2, frames=3, width=160, height=120, crack_density=6.0, unusable_rate=0.0,
    cameras=spread_cameras(['left', 'right']))


@pytest.fixture(scope='module')
def inspection(tmp_path_factory):
    steps = []
    made = simulate(
        SETTINGS, tmp_path_factory.mktemp('inspection'), lambda *step: steps.append(step))
    assert steps == [(done, 6) for done in range(1, 7)]
    return made


def messages(bag):
    store = get_typestore(Stores.ROS2_JAZZY)
    with Reader(bag) as reader:
        return [(connection.topic, stamp, store.deserialize_cdr(data, connection.msgtype))
                for connection, stamp, data in reader.messages()]


def test_the_bag_holds_every_topic_of_every_camera(inspection):
    with Reader(inspection.bag) as reader:
        found = {c.topic: (c.msgtype, c.msgcount) for c in reader.connections}
        assert all(c.ext.offered_qos_profiles for c in reader.connections)
    expected = {'/odom': ('nav_msgs/msg/Odometry', 6)}      # 0.25 s at 20 Hz
    for camera in ('left', 'right'):
        expected |= {
            f'/{camera}/image_raw/compressed': ('sensor_msgs/msg/CompressedImage', 3),
            f'/{camera}/camera_info': ('sensor_msgs/msg/CameraInfo', 3),
            f'/{camera}/range': ('sensor_msgs/msg/Range', 3)}
    assert found == expected


def test_messages_are_in_order_and_stamped_alike(inspection):
    found = messages(inspection.bag)
    stamps = [stamp for _, stamp, _ in found]
    assert stamps == sorted(stamps)
    for _, stamp, message in found:
        assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == stamp


def test_calibration_and_distance_give_the_scale(inspection):
    scales = {}
    with (inspection.truth / 'frames.csv').open() as file:
        for row in csv.DictReader(file):
            scales[row['camera'], int(row['stamp_ns'])] = float(row['mm_per_px'])
    found = messages(inspection.bag)
    info = next(message for topic, _, message in found if topic == '/left/camera_info')
    assert (info.width, info.height, info.header.frame_id) == (160, 120, 'left_optical_frame')
    for topic, stamp, message in found:
        if topic == '/left/range':
            # The distance sensor has a noise of 2 mm in 1.2 m: five sigmas.
            assert message.range * 1000 / info.k[0] == pytest.approx(
                scales['left', stamp], abs=5 * 2.0 / info.k[0])


def test_odometry_follows_rep_105(inspection):
    found = [(stamp, m) for topic, stamp, m in messages(inspection.bag) if topic == '/odom']
    for stamp, message in found:
        assert (message.header.frame_id, message.child_frame_id) == ('odom', 'base_link')
        seconds = (stamp - found[0][0]) / 1e9
        assert message.pose.pose.position.x == pytest.approx(20.0 + 0.4 * seconds)


def test_the_truth_belongs_to_the_frames(inspection):
    with (inspection.truth / 'frames.csv').open() as file:
        rows = list(csv.DictReader(file))
    truth = json.loads((inspection.truth / 'cracks.json').read_text())
    whole = {crack['id'] for crack in truth['cracks']}
    assert len(rows) == len(truth['frames']) == inspection.frames == 6
    for row, noted, frame in zip(rows, truth['frames'], render_frames(SETTINGS)):
        mask = cv2.imread(str(inspection.truth / row['mask']), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(mask, frame.mask)
        assert row['mask'] == f'masks/{frame.camera}_{frame.stamp_ns}.png'
        assert (row['camera'], int(row['stamp_ns'])) == (noted['camera'], noted['stamp_ns'])
        assert [crack['id'] for crack in noted['cracks']] == [c.id for c in frame.cracks]
        assert {crack['id'] for crack in noted['cracks']} <= whole
    assert inspection.cracks == len(whole)
    assert inspection.cracked_frames == sum(bool(noted['cracks']) for noted in truth['frames'])


def test_the_settings_lie_beside_it(inspection):
    written = yaml.safe_load((inspection.bag.parent / 'settings.yaml').read_text())
    assert SimulationSettings.from_dict(written) == SETTINGS


def test_compressed_frames_are_the_rendered_ones(inspection):
    images = [m for topic, _, m in messages(inspection.bag) if topic.endswith('compressed')]
    for message, frame in zip(images, render_frames(SETTINGS)):
        assert message.format == 'rgb8; jpeg compressed bgr8'
        seen = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        # JPEG at quality 92 changes a pixel by a few grey levels.
        assert np.abs(seen.astype(int) - frame.rgb).mean() < 4


def test_raw_frames_are_written_whole(tmp_path):
    settings = SimulationSettings(
        frames=1, width=64, height=64, transport='raw', unusable_rate=0.0)
    found = messages(simulate(settings, tmp_path).bag)
    image = next(m for topic, _, m in found if topic == '/camera/image_raw')
    frame, = render_frames(settings)
    assert (image.encoding, image.step, image.is_bigendian) == ('rgb8', 192, 0)
    assert np.array_equal(image.data.reshape(64, 64, 3), frame.rgb)


def test_an_inspection_is_never_overwritten(inspection):
    with pytest.raises(FileExistsError, match='bag exists already'):
        simulate(SETTINGS, inspection.bag.parent)


def test_an_inspection_cut_short_is_not_complete(inspection, tmp_path):
    def stop(done, of):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        simulate(SETTINGS, tmp_path / 'cut', stop)
    assert is_complete(inspection.bag.parent) and not is_complete(tmp_path / 'cut')


def test_rclpy_reads_what_was_written(inspection):
    serialization = pytest.importorskip('rclpy.serialization', reason='no ROS 2 here')
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import CameraInfo, CompressedImage, Range
    classes = {kind.__name__: kind for kind in (CameraInfo, CompressedImage, Odometry, Range)}
    with Reader(inspection.bag) as reader:
        for connection, stamp, data in reader.messages():
            kind = classes[connection.msgtype.split('/')[-1]]
            message = serialization.deserialize_message(bytes(data), kind)
            assert message.header.stamp.sec == stamp // 10**9
            if kind is CameraInfo:
                assert math.isclose(message.k[0], SETTINGS.focal_px)


def test_type_hashes_are_those_of_ros(inspection):
    rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import CameraInfo, CompressedImage, Range
    classes = {kind.__name__: kind for kind in (CameraInfo, CompressedImage, Odometry, Range)}
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = rclpy.create_node('hashes', context=context)
        with Reader(inspection.bag) as reader:
            written = {c.msgtype.split('/')[-1]: c.digest for c in reader.connections}
        for name, digest in written.items():
            publisher = node.create_publisher(classes[name], f'hash_of_{name}', 1)
            info, = node.get_publishers_info_by_topic(publisher.topic_name)
            if not hasattr(info, 'topic_type_hash'):
                pytest.skip('this ROS 2 has no type hashes')
            assert digest == f'RIHS01_{bytes(info.topic_type_hash.value).hex()}'
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
