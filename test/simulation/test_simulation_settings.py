# SPDX-License-Identifier: Apache-2.0
"""Settings of a simulated inspection refuse what cannot be rendered, by name."""

import pytest

from tunnel_crack_ros.simulation import (
    CameraMount,
    SettingsError,
    SimulationSettings,
    spread_cameras,
)


@pytest.mark.parametrize('name, value', [
    ('seed', -1), ('frames', 0), ('frames', 1.5), ('width', 16), ('height', 10_000),
    ('mm_per_px', 0.0), ('mm_per_px', float('nan')), ('fps', 0.0), ('speed', -1.0),
    ('start_chainage', -1.0), ('standoff', 0.0), ('crack_density', 11.0),
    ('max_crack_width', 0.1), ('unusable_rate', 1.1), ('transport', 'h264'),
    ('jpeg_quality', 0), ('start_time', -1), ('start_time', 2**31),
    ('cameras', ()), ('speed', 'fast'),
])
def test_a_bad_value_is_refused_with_its_name_and_what_was_expected(name, value):
    with pytest.raises(SettingsError, match=f'^{name}: .*expected'):
        SimulationSettings(**{name: value})


def test_the_last_stamp_fits_into_32_bits_too():
    with pytest.raises(SettingsError, match='^start_time: .*expected .* 0..2147483636'):
        SimulationSettings(start_time=2**31 - 2, frames=11, fps=1.0)
    SimulationSettings(start_time=2**31 - 12, frames=11, fps=1.0)


def test_camera_names_must_be_topic_names_and_differ():
    with pytest.raises(SettingsError, match="'left wall' is no ROS name"):
        CameraMount('left wall')
    with pytest.raises(SettingsError, match='cameras: a given twice'):
        SimulationSettings(cameras=(CameraMount('a'), CameraMount('a', 10.0)))


def test_settings_survive_their_file():
    settings = SimulationSettings(seed=3, cameras=spread_cameras(['left', 'crown', 'right']))
    assert SimulationSettings.from_dict(settings.as_dict()) == settings


def test_an_unknown_setting_is_named():
    with pytest.raises(SettingsError, match='^colour: unknown setting'):
        SimulationSettings.from_dict({'colour': 'red'})


def test_cameras_are_spread_from_wall_to_wall():
    angles = [camera.angle_deg for camera in spread_cameras(['left', 'crown', 'right'])]
    assert angles == [75.0, 0.0, -75.0]
