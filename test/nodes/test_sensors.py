# SPDX-License-Identifier: Apache-2.0
"""The segmenter with calibration, depth and odometry: millimetres and place in its messages."""

import math

from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, Range
from tunnel_crack_msgs.msg import CrackArray
from visualization_msgs.msg import Marker, MarkerArray

from tunnel_crack_ros.nodes.image_bridge import cv2_to_imgmsg

FOCAL = 160.0
WIDTH, HEIGHT = 128, 96     # of the toy frame; its bar is 80 x 6 px, from column 20 and row 40 on
TILT = 0.4


class Rig:
    """A segmenter and all that its sensors publish."""

    def __init__(self, bench, start, stamped, toy, cracked, **parameters) -> None:
        self.node = start('segmenter', model=toy['segmenter'], resolvable_px=3.0, **parameters)
        self._bench, self._stamped, self._cracked = bench, stamped, cracked
        topic = self.node.topic
        self.cracks = bench.collect(CrackArray, topic('camera/cracks'))
        self.markers = bench.collect(MarkerArray, topic('camera/markers'))
        self.frames = bench.publisher(Image, topic('camera/flagged'))
        self.info = bench.publisher(CameraInfo, topic('camera/camera_info'))
        self.depth = bench.publisher(Image, topic('camera/depth'))
        self.range = bench.publisher(Range, topic('camera/range'))
        self.odometry = bench.publisher(Odometry, topic('odometry'))
        bench.wait_matched(self.frames, self.info, self.depth, self.range, self.odometry)

    def until(self, wanted, what, *, info=None, depth=None, distance=None, odometry=None):
        """Publish a frame with its sensors' messages until its cracks are as wanted.

        Topics overtake one another: what is published before a frame may come after it.
        """
        def fed():
            frame = self._stamped.raw(self._cracked)
            for message, publisher in ((info, self.info), (depth, self.depth),
                                       (distance, self.range), (odometry, self.odometry)):
                if message is not None:
                    message.header.stamp = frame.header.stamp
                    message.header.frame_id = message.header.frame_id or frame.header.frame_id
                    publisher.publish(message)
            if depth is not None:
                frame.header.frame_id = depth.header.frame_id
            self.frames.publish(frame)
            found = self.cracks.find(lambda m: m.header.stamp == frame.header.stamp, 'cracks')
            return found if wanted(found) else None
        return self._bench.wait_for(fed, f'no cracks with {what}')


@pytest.fixture(scope='module')
def depth_rig(bench, start, stamped, toy, cracked) -> Rig:
    """Return one whose every later frame is told that it has no depth image of its time."""
    return Rig(bench, start, stamped, toy, cracked)


@pytest.fixture(scope='module')
def rig(bench, start, stamped, toy, cracked) -> Rig:
    return Rig(bench, start, stamped, toy, cracked)


def info(width=WIDTH, height=HEIGHT, **more) -> CameraInfo:
    return CameraInfo(width=width, height=height, k=[
        FOCAL, 0.0, (WIDTH - 1) / 2, 0.0, FOCAL, (HEIGHT - 1) / 2, 0.0, 0.0, 1.0], **more)


def tilted_depth(size=(WIDTH, HEIGHT)) -> np.ndarray:
    """Return the depth of a wall that is further away on the right, 2 m in the middle, m."""
    columns = (np.arange(size[0]) + 0.5) * WIDTH / size[0] - 0.5
    x = (columns - (WIDTH - 1) / 2) / FOCAL
    return np.tile(2.0 / (1.0 - x * math.tan(TILT)), (size[1], 1)).astype(np.float32)


def true_length(first: float, last: float) -> float:
    """Return the distance on that wall between two columns, mm."""
    x = (np.array([first, last]) - (WIDTH - 1) / 2) / FOCAL
    z = 2.0 / (1.0 - x * math.tan(TILT))
    return 1e3 * float(np.hypot(*np.diff(np.stack([x * z, z]))[:, 0]))


def of_source(source):
    return lambda found: found.scale_source == source


@pytest.mark.parametrize(('encoding', 'size'), [
    ('32FC1', (WIDTH, HEIGHT)), ('16UC1', (WIDTH, HEIGHT)), ('32FC1', (64, 48)),
    ('16UC1', (256, 192))])
def test_a_depth_image_gives_true_millimetres_on_a_tilted_wall(depth_rig, encoding, size):
    metres = tilted_depth(size)
    metres[: size[1] // 8] = 0.0        # a hole
    picture = metres if encoding == '32FC1' else np.round(metres * 1000).astype(np.uint16)
    depth_rig.until(of_source(CrackArray.SCALE_NONE), 'no scale')
    found = depth_rig.until(of_source(CrackArray.SCALE_CAMERA_INFO_DEPTH), 'depth', info=info(),
                            depth=cv2_to_imgmsg(picture, encoding))
    crack, = found.cracks
    assert crack.scale_source == CrackArray.SCALE_CAMERA_INFO_DEPTH
    ends = [crack.centre_line[0], crack.centre_line[-1]]
    assert crack.length_px == pytest.approx(80.0, abs=1.0)
    # 19.5 to 99.5 are the edges of the bar's pixels
    assert crack.length_mm == pytest.approx(true_length(19.5, 99.5), rel=0.015)
    assert crack.length_mm > 1.07 * crack.length_px * 2000.0 / FOCAL    # head on it would be less
    assert crack.mm_per_px == pytest.approx(crack.length_mm / crack.length_px, rel=1e-5)
    for end in ends:
        x = (end.x_px - (WIDTH - 1) / 2) / FOCAL
        assert end.z_m == pytest.approx(2.0 / (1.0 - x * math.tan(TILT)), abs=0.01)
        assert end.x_m == pytest.approx(x * end.z_m, abs=0.01)
        # across the tilt, only the distance counts
        assert end.width_mm == pytest.approx(end.width_px * end.z_m * 1000.0 / FOCAL, rel=0.02)
    assert found.mm_per_px_sigma > 0.0 and crack.length_sigma_mm > 0.0
    # and in the markers: along the wall, not on a plane before the camera
    lines = depth_rig.markers.find(lambda m: m.markers[0].header.stamp == found.header.stamp,
                                   'markers').markers
    line, = [m for m in lines if m.type == Marker.LINE_STRIP and m.action == Marker.ADD]
    assert np.allclose([(p.x, p.y, p.z) for p in line.points],
                       [(p.x_m, p.y_m, p.z_m) for p in crack.centre_line], rtol=1e-5)
    assert line.points[0].z - line.points[-1].z == pytest.approx(ends[0].z_m - ends[1].z_m)


def test_depth_that_does_not_fit_is_told_and_the_range_counts(depth_rig):
    distance = Range(min_range=0.2, max_range=20.0, range=2.0)
    for depth, note in (
            (cv2_to_imgmsg(np.ones((50, 50), np.float32), '32FC1'), 'depth image has 50 x 50 px'),
            (cv2_to_imgmsg(np.ones((HEIGHT, WIDTH), np.uint8), 'mono8'),
             "encoding 'mono8', expected 16UC1 (mm) or 32FC1 (m)")):
        found = depth_rig.until(lambda m, note=note: note in m.scale_note and m.scale_source
                                == CrackArray.SCALE_CAMERA_INFO_RANGE, note, info=info(),
                                depth=depth, distance=distance)
        assert found.mm_per_px == pytest.approx(12.5, rel=1e-4)
        assert note in depth_rig.node.wait_log(note)


def test_a_frame_without_depth_of_its_time_says_so_and_the_range_counts(depth_rig):
    distance = Range(min_range=0.2, max_range=20.0, range=2.0)
    flat = cv2_to_imgmsg(np.full((HEIGHT, WIDTH), 2.0, np.float32), '32FC1')
    depth_rig.until(of_source(CrackArray.SCALE_CAMERA_INFO_DEPTH), 'depth', info=info(),
                    depth=flat)
    note = "no depth image within 0.1 s of the frame's stamp: the nearest is older"
    depth_rig.until(lambda m: m.scale_note == note and m.scale_source
                    == CrackArray.SCALE_CAMERA_INFO_RANGE, note, info=info(), distance=distance)
    assert note in depth_rig.node.wait_log(note)
    # and not with every frame where depth images are too rare to be there for each
    for _ in range(5):
        depth_rig.until(of_source(CrackArray.SCALE_CAMERA_INFO_DEPTH), 'depth', info=info(),
                        depth=flat)
        depth_rig.until(lambda m: m.scale_note == note, note, info=info(), distance=distance)
    assert depth_rig.node.log().count(note) <= 2


def test_a_calibration_of_another_size_is_scaled_or_refused_and_told(rig):
    distance = Range(min_range=0.2, max_range=20.0, range=2.0)
    # twice the frame's size: the focal length counts half
    double = CameraInfo(width=2 * WIDTH, height=2 * HEIGHT, k=[
        2 * FOCAL, 0.0, WIDTH - 0.5, 0.0, 2 * FOCAL, HEIGHT - 0.5, 0.0, 0.0, 1.0])
    found = rig.until(lambda m: 'scaled to' in m.scale_note and not math.isnan(m.mm_per_px),
                      'a scaled calibration', info=double, distance=distance)
    assert found.mm_per_px == pytest.approx(12.5, rel=1e-4)
    found = rig.until(lambda m: 'no scale' in m.scale_note, 'a refused calibration',
                      info=info(width=WIDTH, height=WIDTH), distance=distance)
    assert found.scale_source == CrackArray.SCALE_NONE and math.isnan(found.mm_per_px)
    assert all(math.isnan(crack.length_mm) for crack in found.cracks)
    assert 'camera_info is for 128 x 128 px, but the frame has 128 x 96' in rig.node.log()
    rig.until(lambda m: not m.scale_note, 'no note', info=info(), distance=distance)


def test_lens_distortion_is_undone_unless_frames_come_rectified(rig):
    distance = Range(min_range=0.2, max_range=20.0, range=2.0)
    bent = info(distortion_model='plumb_bob', d=[-0.3, 0.0, 0.0, 0.0, 0.0], p=[
        FOCAL, 0.0, 63.5, 0.0, 0.0, FOCAL, 47.5, 0.0, 0.0, 0.0, 1.0, 0.0])

    def length(found):
        return found.cracks[0].length_mm / found.cracks[0].length_px
    plain = rig.until(lambda m: not m.scale_note and math.isfinite(m.mm_per_px), 'a scale',
                      info=info(), distance=distance)
    assert length(plain) == pytest.approx(12.5, rel=1e-4)
    # a barrel lens draws the edges together: undone, the bar is longer by about 1 %
    undone = rig.until(lambda m: length(m) > 12.55, 'undone distortion', info=bent,
                       distance=distance)
    assert length(undone) == pytest.approx(12.5 * 1.011, rel=0.01)
    assert rig.node.set(rectified=True) == ''
    again = rig.until(lambda m: length(m) < 12.55, 'no distortion', info=bent, distance=distance)
    assert length(again) == pytest.approx(12.5, rel=1e-4)
    assert rig.node.set(rectified=False) == ''
    rig.until(lambda m: length(m) < 12.55, 'plain', info=info(), distance=distance)


def pose(x: float, speed: float = 0.0) -> Odometry:
    message = Odometry()
    message.header.frame_id, message.child_frame_id = 'odom', 'base_link'
    message.pose.pose.position.x = x
    message.pose.pose.orientation.w = 1.0
    message.pose.covariance = np.diag([4e-4, 1.0, 1.0, 1.0, 1.0, 1.0]).ravel()
    message.twist.twist.linear.x = speed
    return message


def test_odometry_gives_the_chainage_and_the_ring_the_clock_position(rig):
    distance = Range(min_range=0.2, max_range=20.0, range=2.0)
    assert rig.node.set(tunnel_radius_m=4.0, camera_roll=[-math.pi / 2], chainage_start_m=500.0,
                        camera_ahead_m=[0.25]) == ''
    found = rig.until(lambda m: math.isfinite(m.chainage_m) and math.isfinite(m.clock_h)
                      and math.isfinite(m.mm_per_px), 'a place',
                      info=info(), distance=distance, odometry=pose(30.0))
    assert found.chainage_m == pytest.approx(530.25)
    assert found.chainage_sigma_m == pytest.approx(0.02, rel=0.01)
    assert found.clock_h == pytest.approx(9.0)
    crack, = found.cracks
    # the bar's middle is at column 59.5 and row 42.5: 4 px back and 5 px up, 12.5 mm each
    assert crack.chainage_m == pytest.approx(530.25 - 0.05, abs=0.005)
    assert crack.chainage_to_m - crack.chainage_from_m == pytest.approx(1.0, abs=0.02)
    assert 0.02 < crack.chainage_sigma_m < 0.06     # tilts of 0.02 rad in 2 m: 0.04 m
    # up on the left wall is towards the crown: clockwise, 62.5 mm of 4 m
    assert crack.clock_h == pytest.approx(9.0 + 0.0625 / 4 * 6 / math.pi, abs=0.003)
    assert 0.03 < crack.clock_sigma_h < 0.1
    texts = rig.markers.find(lambda m: m.markers[0].header.stamp == found.header.stamp,
                             'markers').markers
    assert [m.text.split('\n')[1] for m in texts if m.text] == ["530.20 m, 9:00 o'clock"]
    # seen the other way up: what is up in the picture is down in the tunnel
    assert rig.node.set(axis_angle=[math.pi]) == ''
    turned = rig.until(lambda m: math.isfinite(m.chainage_m) and m.cracks[0].clock_h < 9.0,
                       'the other way', info=info(), distance=distance, odometry=pose(30.0))
    assert turned.cracks[0].chainage_m == pytest.approx(530.25 + 0.05, abs=0.005)


def test_stale_odometry_gives_no_chainage(rig):
    found = rig.until(lambda m: math.isnan(m.chainage_m), 'no chainage', info=info())
    assert math.isnan(found.chainage_sigma_m)
    assert all(math.isnan(crack.chainage_m) for crack in found.cracks)


def test_range_and_odometry_that_stop_are_told(rig):
    distance = Range(min_range=0.2, max_range=20.0, range=2.0)
    rig.until(lambda m: not m.scale_note and math.isfinite(m.chainage_m), 'a place', info=info(),
              distance=distance, odometry=pose(30.0))
    rig.node.diagnosed(lambda s: s.message == 'ok', 'ok', 'camera')
    told = ("no valid range within 1 s before the frame's stamp: no scale; "
            "no odometry within 0.5 s of the frame's stamp: no chainage")
    found = rig.until(lambda m: m.scale_note == told, told, info=info())
    assert found.scale_source == CrackArray.SCALE_NONE and math.isnan(found.chainage_m)
    rig.node.wait_log(f'camera: {told}')
    status = rig.node.diagnosed(lambda s: s.message == told, told, 'camera')
    assert status.level == DiagnosticStatus.WARN
    rig.until(lambda m: not m.scale_note, 'a place again', info=info(), distance=distance,
              odometry=pose(30.0))
    rig.node.diagnosed(lambda s: s.message == 'ok', 'ok again', 'camera')


def test_below_the_floor_no_width_is_published(rig):
    distance = Range(min_range=0.2, max_range=20.0, range=2.0)
    assert rig.node.set(resolvable_px=15.0, tunnel_radius_m=0.0) == ''
    found = rig.until(lambda m: math.isfinite(m.mm_per_px)
                      and m.cracks[0].width_floor_px == 15.0, 'a floor',
                      info=info(), distance=distance)
    crack, = found.cracks
    assert crack.width_floor_mm == pytest.approx(15 * 12.5, rel=1e-3)
    assert all(map(math.isnan, (crack.width_mean_mm, crack.width_p95_mm, crack.width_max_mm)))
    assert all(math.isnan(point.width_mm) for point in crack.centre_line)
    texts = rig.markers.find(lambda m: m.markers[0].header.stamp == found.header.stamp,
                             'markers').markers
    text, = [m.text for m in texts if m.text]
    assert text.endswith('w below 187.5 mm')


@pytest.mark.parametrize(('given', 'reason'), [
    ({'camera_roll': [0.1, 0.2]}, "'camera_roll' has 2 values, expected 1 or one for each of "
                                  'the 1 cameras'),
    ({'tilt_ahead': [2.0]}, "'tilt_ahead' is array('d', [2.0]), expected only -1.2..1.2"),
    ({'chainage_from': 'gps'}, "'gps', expected one of axis, distance")])
def test_what_does_not_fit_is_refused(rig, given, reason):
    assert reason in rig.node.set(**given)


def test_lists_that_do_not_fit_the_cameras_leave_the_node_unconfigured(start, toy):
    node = start('segmenter', wait='', model=toy['segmenter'], cameras=['a', 'b'],
                 camera_roll=[0.1, 0.2, 0.3])
    assert "'camera_roll' has 3 values, expected 1 or one for each of the 2 cameras" in \
        node.wait_log('cannot configure')
    assert node.state() == 'unconfigured'
    assert node.set(camera_roll=[0.1, 0.2]) == ''
    assert node.change('configure') and node.change('activate')
