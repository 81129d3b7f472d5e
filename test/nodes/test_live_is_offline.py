# SPDX-License-Identifier: Apache-2.0
"""The same bag through the live segmenter and through `tunnel_crack process` gives the same."""

import csv
import json
import math

from nav_msgs.msg import Odometry
import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CameraInfo, CompressedImage, Range
from tunnel_crack_msgs.msg import CrackArray
from typer.testing import CliRunner
import yaml

from tunnel_crack_ros.cli import app
from tunnel_crack_ros.simulation import simulate, SimulationSettings, spread_cameras
from tunnel_crack_ros.vision import CrackKind, ScaleSource

TYPES = {kind.__name__: kind for kind in (CameraInfo, CompressedImage, Odometry, Range)}
CAMERAS = ['left', 'right']
FLOOR_PX = 4.0
PARAMETERS = {
    'cameras': CAMERAS, 'queue_depth': 100, 'transport': 'compressed', 'tunnel_radius_m': 3.2,
    'camera_roll': [-1.2, 1.1], 'axis_angle': [0.0, math.pi], 'tilt_ahead': [0.2, -0.1],
    'tilt_around': [0.1, 0.15], 'camera_ahead_m': [0.4, -0.3], 'chainage_start_m': 1000.0,
    'chainage_from': 'distance', 'resolvable_px': FLOOR_PX, 'bridge_gap_px': 25.0,
    'min_area_px': 20}


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    settings = SimulationSettings(seed=36, frames=6, cameras=spread_cameras(CAMERAS), width=320,
                                  height=240, crack_density=6.0, unusable_rate=0.0)
    return simulate(settings, tmp_path_factory.mktemp('drive')).bag


@pytest.fixture(scope='module')
def params(tmp_path_factory):
    file = tmp_path_factory.mktemp('params') / 'own.yaml'
    file.write_text(yaml.safe_dump({'/**/segmenter': {'ros__parameters': PARAMETERS}}))
    return file


@pytest.fixture(scope='module')
def live(bench, start, bag, params) -> dict[tuple[str, int, int], CrackArray]:
    """Return the cracks of every frame, by camera and stamp."""
    node = start('segmenter', params_file=params,
                 remappings={'odometry': '/drive/odom'})
    messages: dict[str, list] = {}
    with Reader(bag) as reader:
        for connection, _, data in reader.messages():
            messages.setdefault(connection.topic, []).append(
                deserialize_message(bytes(data), TYPES[connection.msgtype.split('/')[-1]]))
    cracks = {camera: bench.collect(CrackArray, node.topic(f'{camera}/cracks'))
              for camera in CAMERAS}
    topics = {topic: '/drive/odom' if topic == '/odom'
              else node.topic(topic.strip('/').replace('image_raw', 'flagged'))
              for topic in messages}
    publishers = {topic: bench.publisher(type(found[0]), topics[topic])
                  for topic, found in messages.items()}
    bench.wait_matched(*publishers.values())
    for topic, found in messages.items():
        if 'image_raw' not in topic:
            for message in found:
                publishers[topic].publish(message)
    for camera in CAMERAS:
        frames = messages[f'/{camera}/image_raw/compressed']

        def fed(message, camera=camera):
            before = len(cracks[camera])
            publishers[f'/{camera}/image_raw/compressed'].publish(message)
            return cracks[camera].wait(before + 1)[-1]
        # topics overtake one another: until the sensors' last messages are there
        bench.wait_for(lambda frames=frames, fed=fed: math.isfinite(
            (last := fed(frames[-1])).chainage_m) and last.scale_source
            == CrackArray.SCALE_CAMERA_INFO_RANGE, 'no scale and chainage')
        cracks[camera].messages.clear()
        for message in frames:
            fed(message)
    return {(array.camera, array.header.stamp.sec, array.header.stamp.nanosec): array
            for camera in CAMERAS for array in cracks[camera].messages}


@pytest.fixture(scope='module')
def offline(bag, params, tmp_path_factory):
    """Return cracks.json of the same bag."""
    out = tmp_path_factory.mktemp('results')
    result = CliRunner().invoke(app, ['process', str(bag), '--out', str(out), '--params',
                                      str(params), '--segment-all', '--no-gate'])
    assert result.exit_code == 0, result.output
    return json.loads((out / 'cracks.json').read_text()), out


def lines_of(feature):
    """Return all lines of a feature of the GeoJSON, the centre line first."""
    geometry = feature['geometry']
    return {'Point': lambda place: [[place]], 'LineString': lambda line: [line],
            'MultiLineString': list}[geometry['type']](geometry['coordinates'])


def test_frames_and_cracks_are_the_same_with_millimetres_and_place(live, offline):
    said, out = offline
    features = {(feature['properties']['frame'], feature['properties']['id']): feature
                for feature in json.loads((out / 'cracks.geojson').read_text())['features']}
    assert len(said['frames']) == len(live) == 12
    compared = set()
    for frame in said['frames']:
        seconds, nanoseconds = map(int, frame['stamp'].split('.'))
        array = live[frame['camera'], seconds, nanoseconds]
        assert ScaleSource(array.scale_source).name == frame['scale_source']
        same(array, frame, ('mm_per_px', 'mm_per_px_sigma', 'chainage_m', 'chainage_sigma_m',
                            'clock_h'))
        assert [crack.id for crack in array.cracks] == [crack['id'] for crack in frame['cracks']]
        for crack, own in zip(array.cracks, frame['cracks']):
            assert CrackKind(crack.kind).name == own['kind']
            assert ScaleSource(crack.scale_source).name == own['scale_source']
            names = [name for name in own if isinstance(own[name], float) or own[name] is None]
            assert {'length_mm', 'length_sigma_mm', 'width_sigma_mm', 'width_floor_mm',
                    'area_mm2', 'mm_per_px', 'chainage_m', 'chainage_sigma_m', 'chainage_from_m',
                    'clock_h', 'clock_sigma_h'} <= set(names)
            same(crack, own, names)
            lines = [[(p.x_px, p.y_px, p.width_px) for p in line.points]
                     for line in crack.branches]
            assert len(lines) == len(own['branches_x_y_width_px'])
            for line, other in zip(lines, own['branches_x_y_width_px']):
                assert np.allclose(line, other, atol=6e-3)      # rounded to 2 digits
            places = [[(p.chainage_m, p.arc_m) for p in line]
                      for line in (crack.centre_line, *(b.points for b in crack.branches))]
            for line, other in zip(places, lines_of(features[frame['frame'], crack.id]),
                                   strict=True):
                assert np.allclose(line, other, rtol=0.0, atol=6e-4)
            compared.add(frame['camera'])
    assert compared == set(CAMERAS)


def same(message, own, names):
    for name in names:
        live_value = getattr(message, name)
        if own[name] is None:
            assert math.isnan(live_value), name
        else:   # float32, and rounded to 3 digits and more
            assert live_value == pytest.approx(own[name], abs=6e-4, rel=1e-6), name


def test_what_is_below_the_floor_has_no_width_in_any_result(live, offline):
    said, out = offline
    thin = [crack for frame in said['frames'] for crack in frame['cracks']
            if crack['width_mean_px'] < FLOOR_PX * 0.999]
    assert 0 < len(thin) < sum(len(frame['cracks']) for frame in said['frames'])
    for crack in thin:      # the simulator draws about 1 mm to a pixel
        assert crack['width_mean_mm'] is None
        assert crack['width_floor_mm'] > 0.9 * FLOOR_PX
    with (out / 'cracks.csv').open(newline='') as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        assert (line['width_mean_mm'] == '') == (float(line['width_mean_px']) < FLOOR_PX * 0.999)
        assert float(line['width_floor_mm']) > 0.9 * FLOOR_PX
    for feature in json.loads((out / 'cracks.geojson').read_text())['features']:
        properties = feature['properties']
        assert properties['plan'] == 'tunnel' and properties['unit'] == 'm'
        if properties['width_mean_px'] < FLOOR_PX * 0.999:
            assert properties['width_mean_mm'] is None
            assert properties['width_floor_mm'] > 0.9 * FLOOR_PX
    for array in live.values():
        for crack in array.cracks:
            assert math.isnan(crack.width_mean_mm) == (crack.width_mean_px < FLOOR_PX * 0.999)
            for point in crack.centre_line:
                assert math.isnan(point.width_mm) == (point.width_px < FLOOR_PX * 0.999)
