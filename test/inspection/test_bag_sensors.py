# SPDX-License-Identifier: Apache-2.0
"""What a bag's sensors say of its frames: depth, odometry, what was recorded a little later."""

import math

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

from tunnel_crack_ros.inspection.sources import open_source, SourceError
from tunnel_crack_ros.vision.depth import DepthError
from tunnel_crack_ros.vision.odometry_history import ChainageRules

STORE = get_typestore(Stores.ROS2_JAZZY)
MS = 1_000_000


class Recorder:
    """Writes messages to a bag."""

    def __init__(self, writer) -> None:
        self._writer, self._topics = writer, {}

    def advertise(self, topic: str, kind: str) -> None:
        self._topics[topic] = self._writer.add_connection(topic, kind, typestore=STORE)

    def write(self, topic: str, recorded_ms: int, message) -> None:
        if topic not in self._topics:
            self.advertise(topic, message.__msgtype__)
        self._writer.write(self._topics[topic], recorded_ms * MS,
                           STORE.serialize_cdr(message, message.__msgtype__))


def made(kind: str, **values):
    return STORE.types[kind](**values)


def header(ms: int, frame_id: str):
    return made('std_msgs/msg/Header', frame_id=frame_id, stamp=made(
        'builtin_interfaces/msg/Time', sec=ms // 1000, nanosec=ms % 1000 * MS))


def image(ms: int, picture: np.ndarray, encoding: str, frame_id: str = 'eye'):
    return made('sensor_msgs/msg/Image', header=header(ms, frame_id), height=picture.shape[0],
                width=picture.shape[1], encoding=encoding, is_bigendian=0,
                step=picture.strides[0], data=picture.reshape(-1).view(np.uint8))


def pose(ms: int, x: float):
    vector = made('geometry_msgs/msg/Vector3', x=0.0, y=0.0, z=0.0)
    covariance = np.diag([0.01, 1, 1, 1, 1, 1]).astype(float).ravel()
    return made(
        'nav_msgs/msg/Odometry', header=header(ms, 'odom'), child_frame_id='base_link',
        pose=made('geometry_msgs/msg/PoseWithCovariance', covariance=covariance, pose=made(
            'geometry_msgs/msg/Pose', position=made('geometry_msgs/msg/Point', x=x, y=0.0, z=0.0),
            orientation=made('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0))),
        twist=made('geometry_msgs/msg/TwistWithCovariance', covariance=covariance, twist=made(
            'geometry_msgs/msg/Twist', linear=vector, angular=vector)))


GREY = np.full((24, 32, 3), 128, np.uint8)
DEPTH = np.full((12, 16), 1500, np.uint16)


@pytest.fixture
def record(tmp_path):
    def bag(*messages, advertised=()):
        with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            recorder = Recorder(writer)
            for topic, kind in advertised:
                recorder.advertise(topic, kind)
            for topic, recorded_ms, message in messages:
                recorder.write(topic, recorded_ms, message)
        return tmp_path / 'bag'
    return bag


def test_depth_and_odometry_recorded_a_little_after_the_frame_count(record):
    bag = record(
        ('/odom', 9_950, pose(9_950, 5.0)),
        ('/eye/image_raw', 10_000, image(10_000, GREY, 'rgb8')),
        ('/odom', 10_060, pose(10_050, 6.0)),
        ('/eye/depth', 10_120, image(10_010, DEPTH, '16UC1')))
    frame, = open_source(bag)      # the depth image is no camera frame
    assert frame.camera == 'eye'
    assert frame.sensed.depth.metres.dtype == np.float32
    assert frame.sensed.depth.metres == pytest.approx(np.full((12, 16), 1.5))
    chainage = frame.sensed.odometry.at(frame.sensed.stamp_ns, ChainageRules())
    assert (chainage.metres, chainage.sigma_m) == pytest.approx((5.5, 0.1))


def test_depth_of_another_moment_or_frame_does_not_count(record):
    bag = record(
        ('/eye/image_raw', 10_000, image(10_000, GREY, 'rgb8')),
        ('/eye/depth', 10_210, image(10_200, DEPTH, '16UC1')),
        ('/eye/image_raw', 11_000, image(11_000, GREY, 'rgb8')),
        ('/eye/depth', 11_010, image(11_010, DEPTH, '16UC1', 'other')))
    early, foreign = open_source(bag)
    assert early.sensed.depth is None
    assert early.sensed.note == ("no depth image within 0.1 s of the frame's stamp: the nearest "
                                 'is newer')
    assert foreign.sensed.depth is None
    assert "the depth image is of 'other', the frame of 'eye'" in foreign.sensed.note


def test_a_depth_image_that_cannot_be_read_is_noted(record):
    bag = record(('/eye/depth', 9_990, image(9_990, GREY, 'rgb8')),
                 ('/eye/image_raw', 10_000, image(10_000, GREY, 'rgb8')))
    frame, = open_source(bag)
    assert "encoding 'rgb8', expected 16UC1 (mm) or 32FC1 (m)" in frame.sensed.note


def packed(ms: int, picture: np.ndarray, ending: str, kind: str):
    return made('sensor_msgs/msg/CompressedImage', header=header(ms, 'eye'), format=kind,
                data=cv2.imencode(ending, picture)[1].reshape(-1))


def jpeg(ms: int, picture: np.ndarray):
    return packed(ms, picture, '.jpg', 'jpeg')


def calibration(ms: int):
    return made('sensor_msgs/msg/CameraInfo', header=header(ms, 'eye'), height=24, width=32,
                distortion_model='plumb_bob', d=np.zeros(5),
                k=np.array([40, 0, 15.5, 0, 40, 11.5, 0, 0, 1.0]), r=np.eye(3).ravel(),
                p=np.array([40, 0, 15.5, 0, 0, 40, 11.5, 0, 0, 0, 1.0, 0]), binning_x=0,
                binning_y=0, roi=made('sensor_msgs/msg/RegionOfInterest', x_offset=0, y_offset=0,
                                      height=0, width=0, do_rectify=False))


def test_a_camera_at_the_root_has_its_sensors_too(record):
    bag = record(('/camera_info', 9_990, calibration(9_990)),
                 ('/range', 9_995, distance(9_995, 1.5)),
                 ('/depth', 9_996, image(10_000, DEPTH, '16UC1')),
                 ('/image_raw', 10_000, image(10_000, GREY, 'rgb8')))
    frame, = open_source(bag)
    assert frame.camera == 'image_raw'
    assert frame.sensed.calibration.k[0] == 40 and frame.sensed.depth is not None
    assert frame.sensed.range_m == pytest.approx(1.5)


def test_the_same_pictures_recorded_twice_count_once(record):
    bag = record(('/eye/image_raw', 10_000, image(10_000, GREY, 'rgb8')),
                 ('/eye/image_raw/compressed', 10_000, jpeg(10_000, GREY)),
                 ('/nose/image_raw/compressed', 10_000, jpeg(10_000, GREY)))
    source = open_source(bag)
    assert len(source) == 2
    assert sorted(frame.camera for frame in source) == ['eye', 'nose']
    only, = open_source(bag, ['/eye/image_raw/compressed'])
    assert only.camera == 'eye'


def test_a_bayer_mosaic_that_image_transport_packed_has_its_colours(record):
    mosaic = np.full((24, 32), 90, np.uint8)
    mosaic[::2, ::2], mosaic[1::2, 1::2] = 180, 40
    frame, = open_source(record(('/eye/image_raw/compressed', 10_000, packed(
        10_000, mosaic, '.png', 'bayer_rggb8; png compressed '))))
    assert frame.rgb[10, 10].tolist() == [180, 90, 40]


RAW = ('/eye/image_raw', 'sensor_msgs/msg/Image')
COMPRESSED = ('/eye/image_raw/compressed', 'sensor_msgs/msg/CompressedImage')


@pytest.mark.parametrize('raw, compressed, read', [
    (0, 3, COMPRESSED), (1, 3, COMPRESSED), (2, 2, RAW), (3, 1, RAW), (3, 0, RAW)])
def test_of_the_same_pictures_the_transport_that_lost_fewest_is_read(
        record, raw, compressed, read):
    bag = record(*((RAW[0], 10_000 + n, image(10_000 + n, GREY, 'rgb8')) for n in range(raw)),
                 *((COMPRESSED[0], 10_000 + n, jpeg(10_000 + n, GREY // 2))
                   for n in range(compressed)),
                 ('/nose/image_raw', 10_000, image(10_000, GREY, 'rgb8')),
                 advertised=[RAW, COMPRESSED])
    source = open_source(bag)
    frames = [frame for frame in source if frame.camera == 'eye']
    assert len(frames) == max(raw, compressed) == len(source) - 1
    assert {int(frame.rgb[0, 0, 0]) for frame in frames} == {64 if read == COMPRESSED else 128}


def told(caplog):
    return [record.getMessage().split(': ', 1)[1] for record in caplog.records]


def test_bytes_of_another_transport_are_no_second_camera(record, caplog):
    zstd = made('sensor_msgs/msg/CompressedImage', header=header(10_000, 'eye'), format='zstd',
                data=np.arange(9, dtype=np.uint8))
    bag = record(('/eye/camera_info', 9_990, calibration(9_990)),
                 ('/eye/image_raw', 10_000, image(10_000, GREY, 'rgb8')),
                 ('/eye/image_raw/zstd', 10_000, zstd),
                 ('/nose/image_raw/compressed', 10_000, jpeg(10_000, GREY)),
                 ('/nose/image_raw/zstd', 10_000, zstd),
                 ('/chin/jpeg', 10_000, jpeg(10_000, GREY)))
    frames = list(open_source(bag))
    assert sorted(frame.camera for frame in frames) == ['chin', 'eye', 'nose']
    assert all(frame.rgb is not None for frame in frames)
    assert told(caplog) == [
        f'/{camera}/image_raw/zstd is left out: other bytes of the pictures on /{camera}/image_raw'
        for camera in ('eye', 'nose')]


def test_of_one_cameras_pictures_at_several_stages_the_unrectified_are_read(record, caplog):
    names = ['image_rect', 'image_color', 'image_raw', 'image_mono']
    bag = record(('/eye/camera_info', 9_990, calibration(9_990)),
                 *((f'/eye/{name}', 10_000 + n, image(10_000 + n, GREY // (n + 1), 'rgb8'))
                   for n, name in enumerate(names)),
                 ('/eye/image_raw/compressed', 10_000, jpeg(10_000, GREY)))
    frame, = open_source(bag)
    assert (frame.camera, int(frame.rgb[0, 0, 0])) == ('eye', 128 // 3)
    assert frame.sensed.calibration is not None
    assert told(caplog) == [
        f'/eye/{name} is left out: the pictures on /eye/image_raw again; --topic names another'
        for name in ('image_color', 'image_mono', 'image_rect')]
    caplog.clear()
    wanted = ['/eye/image_rect', '/eye/image_color']
    assert sorted(frame.camera for frame in open_source(bag, wanted)) == [
        'eye/image_color', 'eye/image_rect']
    assert not caplog.records


def test_a_stage_that_lost_many_frames_gives_way_to_a_fuller_one(record, caplog):
    counts = {'/image_raw': 8, '/image_color': 9, '/image_rect': 10}
    bag = record(*((topic, 10_000 + n, image(10_000 + n, GREY, 'rgb8'))
                   for topic, count in counts.items() for n in range(count)),
                 advertised=[('/image', 'sensor_msgs/msg/Image')])
    assert len(open_source(bag)) == 9
    assert [sentence.split(' ')[0] for sentence in told(caplog)] == [
        '/image', '/image_raw', '/image_rect']


def test_a_camera_whose_encoding_is_that_of_depth_is_told(record, caplog):
    bag = record(('/left/image_raw', 10_000, image(10_000, GREY, 'rgb8')),
                 ('/right/image_raw', 10_000, image(10_000, DEPTH * 20, '16UC1')),
                 ('/left/depth', 10_000, image(10_000, DEPTH, '16UC1')))
    note = ('/right/image_raw is left out as depth, by its encoding; name it with --topic if it '
            'shows the lining, with --depth if it is that of a camera')
    assert list(open_source(bag).cameras) == ['left']
    assert told(caplog) == [note]
    caplog.clear()
    frame, = open_source(bag, ['/right/image_raw'])
    assert frame.rgb[0, 0].tolist() == [30_000 >> 8] * 3
    open_source(bag, depth='/right/image_raw')
    assert not caplog.records


def test_a_bag_of_nothing_but_depth_is_refused_with_the_reason(record):
    bag = record(('/right/image_raw', 10_000, image(10_000, DEPTH, '16UC1')))
    with pytest.raises(SourceError, match='with camera frames; /right/image_raw is left out as '
                                          'depth, by its encoding; name it with --topic'):
        open_source(bag)


def test_a_bag_without_any_frame_is_refused(record):
    bag = record(('/odom', 9_950, pose(9_950, 5.0)), advertised=[RAW])
    for topics in ([], [RAW[0]]):
        with pytest.raises(SourceError, match=f'{bag}: no message on {RAW[0]}; expected camera'):
            open_source(bag, topics)


def test_two_cameras_of_one_namespace_keep_apart(record):
    bag = record(('/rig/camera_info', 9_990, calibration(9_990)),
                 ('/rig/left', 10_000, image(10_000, GREY, 'rgb8')),
                 ('/rig/right', 10_000, image(10_000, GREY // 2, 'rgb8')))
    frames = list(open_source(bag))
    assert sorted((frame.camera, frame.name) for frame in frames) == [
        ('rig/left', 'rig_left_10_000000000'), ('rig/right', 'rig_right_10_000000000')]
    assert all(frame.sensed.calibration is not None for frame in frames)


def test_frames_without_a_stamp_have_names_of_their_own(record):
    bag = record(*[('/eye/image_raw', 10_000 + n, image(0, GREY, 'rgb8')) for n in range(3)])
    assert [frame.name for frame in open_source(bag)] == [
        'eye_0_000000000', 'eye_0_000000000_2', 'eye_0_000000000_3']


def distance(ms: int, metres: float):
    return made('sensor_msgs/msg/Range', header=header(ms, 'laser'), radiation_type=1,
                field_of_view=0.1, min_range=0.1, max_range=30.0, range=metres, variance=0.0)


def test_depth_of_a_realsense_is_known_by_its_name(record):
    bag = record(('/cam/color/image_raw', 10_000, image(10_000, GREY, 'rgb8')),
                 ('/cam/aligned_depth_to_color/image_raw', 10_005, image(10_005, DEPTH, '16UC1')),
                 ('/cam/depth/image_rect_raw', 10_005, image(10_005, DEPTH * 2, '16UC1')))
    frame, = open_source(bag)
    assert frame.camera == 'cam/color'
    assert frame.sensed.depth.metres == pytest.approx(np.full((12, 16), 1.5))


def test_depth_of_any_name_is_no_camera_and_counts_once_it_is_named(record):
    bag = record(('/left/image_raw', 10_000, image(10_000, GREY, 'rgb8')),
                 ('/right/image_raw', 10_000, image(10_000, GREY, 'rgb8')),
                 ('/left/depth', 10_001, image(10_001, DEPTH * 2, '16UC1')),
                 ('/tof/image', 10_002, image(10_002, DEPTH, '16UC1')))

    def metres(depth=''):
        found = {frame.camera: frame.sensed.depth for frame in open_source(bag, depth=depth)}
        assert set(found) == {'left', 'right'}
        return {name: depth and float(depth.metres[0, 0]) for name, depth in found.items()}
    assert metres() == {'left': 3.0, 'right': None}
    assert metres('/tof/image') == {'left': 1.5, 'right': 1.5}
    assert metres('right=/tof/image') == {'left': 3.0, 'right': 1.5}
    with pytest.raises(SourceError, match='no depth topic /lidar; it has /left/depth, /tof/image'):
        open_source(bag, depth='/lidar')
    with pytest.raises(SourceError, match="depth: 'back=/tof/image', expected camera=topic, the "
                                          'camera one of left, right'):
        open_source(bag, depth='back=/tof/image')


def test_a_distance_sensor_elsewhere_counts_once_it_is_named(record):
    bag = record(('/laser/range', 9_990, distance(9_990, 2.5)),
                 ('/eye/image_raw', 10_000, image(10_000, GREY, 'rgb8')))

    def metres(topic=''):
        frame, = open_source(bag, distance=topic)
        return frame.sensed.range_m
    assert math.isnan(metres())
    assert metres('/laser/range') == pytest.approx(2.5)
    with pytest.raises(SourceError, match='no range topic /eye/image_raw; it has /laser/range'):
        open_source(bag, distance='/eye/image_raw')


def test_of_two_distance_sensors_the_one_counts_that_a_node_listens_to(record):
    bag = record(('/eye/range', 9_990, distance(9_990, 2.5)),
                 ('/eye/sonar', 9_995, distance(9_995, 4.0)),
                 ('/eye/image_raw', 10_000, image(10_000, GREY, 'rgb8')))
    frame, = open_source(bag)
    assert frame.sensed.range_m == pytest.approx(2.5)


def test_metres_keep_their_holes_and_byte_order():
    from tunnel_crack_ros.vision.depth import depth_from_raw
    metres = np.array([[1.5, np.nan], [np.inf, 0.0]], '>f4')
    found = depth_from_raw(metres.tobytes(), width=2, height=2, step=8, encoding='32FC1',
                           big_endian=True)
    assert np.array_equal(found, metres.astype(np.float32), equal_nan=True)
    with pytest.raises(DepthError, match='16 bytes of data, expected 24'):
        depth_from_raw(metres.tobytes(), width=2, height=3, step=8, encoding='32FC1')


def test_the_odometry_is_the_only_one_or_named(record):
    bag = record(('/wheel/odom', 9_900, pose(9_900, 1.0)), ('/slam/pose', 9_900, pose(9_900, 2.0)),
                 ('/eye/image_raw', 10_000, image(10_000, GREY, 'rgb8')))

    def metres(topic=''):
        frame, = open_source(bag, odometry=topic)
        return frame.sensed.odometry.at(frame.sensed.stamp_ns, ChainageRules()).metres
    assert (metres(), metres('/slam/pose')) == (1.0, 2.0)
    with pytest.raises(SourceError, match=r'no odometry topic /gps; it has /slam/pose, /wheel'):
        open_source(bag, odometry='/gps')


def test_two_that_may_be_meant_are_not_guessed_between(record):
    bag = record(('/a/odom', 9_900, pose(9_900, 1.0)), ('/b/odom', 9_900, pose(9_900, 2.0)),
                 ('/eye/image_raw', 10_000, image(10_000, GREY, 'rgb8')))
    frame, = open_source(bag)
    assert math.isnan(frame.sensed.odometry.at(frame.sensed.stamp_ns, ChainageRules()).metres)
