# SPDX-License-Identifier: Apache-2.0
"""What can be set about a simulated inspection, in which units and ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
import math
import re
from typing import Any

from tunnel_crack_ros.frame_topic import TRANSPORTS


class SettingsError(ValueError):
    """A setting has a value that cannot be simulated; the message names it and its range."""


@dataclass(frozen=True)
class CameraMount:
    """A camera's name and where on the ring it looks.

    :param name: topic namespace, such as ``left``: letters, digits and underscores.
    :param angle_deg: direction from the crown, degrees, -120..120; positive to the left.
    """

    name: str
    angle_deg: float = 55.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r'[A-Za-z][A-Za-z0-9_]*', self.name):
            raise SettingsError(
                f'cameras: name {self.name!r} is no ROS name: expected a letter, then letters, '
                'digits or underscores')
        _check_range('cameras: angle_deg', self.angle_deg, -120.0, 120.0)


def spread_cameras(names: Sequence[str]) -> tuple[CameraMount, ...]:
    """Place cameras evenly around the ring, from the left wall over the crown to the right.

    :param names: one or more names; one camera looks at the left wall (55 degrees).
    """
    if len(names) == 1:
        return (CameraMount(names[0]),)
    step = 150.0 / max(1, len(names) - 1)
    return tuple(CameraMount(name, 75.0 - i * step) for i, name in enumerate(names))


@dataclass(frozen=True)
class SimulationSettings:
    """A drive along a tunnel; every field has its range beside it.

    :raises SettingsError: a value is out of its range; the message names the field.
    """

    seed: int = 0                   # which tunnel and drive; >= 0
    frames: int = 100               # frames of each camera; 1..100000
    cameras: tuple[CameraMount, ...] = field(default_factory=lambda: (CameraMount('camera'),))
    width: int = 512                # columns, px; 64..8192
    height: int = 375               # rows, px; 64..8192
    mm_per_px: float = 1.0          # size of a pixel on the lining, mm; 0.1..5
    fps: float = 8.0                # frames per second of each camera; 0.5..120
    speed: float = 0.4              # of the vehicle, m/s; 0..5
    start_chainage: float = 20.0    # of the first frame, m; 0..100000
    standoff: float = 1.2           # from camera to lining, m; 0.2..20
    crack_density: float = 0.8      # cracks begun on a square metre of lining; 0..10
    max_crack_width: float = 6.0    # largest crack width, mm; 0.3..20
    unusable_rate: float = 0.04     # share of frames too dark, too bright or too blurred; 0..1
    fittings: bool = True           # cables, brackets, bolt pockets, grout holes
    stains: bool = True             # seepage, lime, rust, chalk, paint
    transport: str = 'compressed'   # images in the bag: compressed (JPEG) or raw
    jpeg_quality: int = 92          # of compressed images; 30..100
    start_time: int = 1_750_000_000  # stamp of the first frame, s since 1970; 0..2**31

    def __post_init__(self) -> None:
        _check_whole('seed', self.seed, 0, 2**63 - 1)
        _check_whole('frames', self.frames, 1, 100_000)
        _check_whole('width', self.width, 64, 8192)
        _check_whole('height', self.height, 64, 8192)
        _check_range('mm_per_px', self.mm_per_px, 0.1, 5.0)
        _check_range('fps', self.fps, 0.5, 120.0)
        _check_range('speed', self.speed, 0.0, 5.0)
        _check_range('start_chainage', self.start_chainage, 0.0, 100_000.0)
        _check_range('standoff', self.standoff, 0.2, 20.0)
        _check_range('crack_density', self.crack_density, 0.0, 10.0)
        _check_range('max_crack_width', self.max_crack_width, 0.3, 20.0)
        _check_range('unusable_rate', self.unusable_rate, 0.0, 1.0)
        _check_whole('jpeg_quality', self.jpeg_quality, 30, 100)
        _check_whole('start_time', self.start_time, 0,
                     2**31 - 2 - int((self.frames - 1) / self.fps))     # of the last frame, too
        if self.transport not in TRANSPORTS:
            raise SettingsError(
                f'transport: {self.transport!r} is unknown: expected {" or ".join(TRANSPORTS)}')
        if not self.cameras:
            raise SettingsError('cameras: none given: expected at least one')
        names = [camera.name for camera in self.cameras]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SettingsError(f'cameras: {", ".join(twice)} given twice: names must differ')

    @property
    def focal_px(self) -> float:
        """Focal length, px: what makes ``standoff`` and ``mm_per_px`` agree."""
        return self.standoff * 1000.0 / self.mm_per_px

    @property
    def length(self) -> float:
        """Distance driven between the first and the last frame, m."""
        return (self.frames - 1) * self.speed / self.fps

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a YAML or JSON file."""
        values = asdict(self)
        values['cameras'] = [asdict(camera) for camera in self.cameras]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SimulationSettings:
        """Make settings from what ``as_dict`` gave.

        :raises SettingsError: an unknown key, or a value out of its range.
        """
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise SettingsError(
                f'{", ".join(unknown)}: unknown setting: expected some of '
                f'{", ".join(sorted(known))}')
        values = dict(values)
        if 'cameras' in values:
            values['cameras'] = tuple(CameraMount(**camera) for camera in values['cameras'])
        return cls(**values)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SettingsError(f'{name}: {value!r} is no number: expected {least:g}..{most:g}')
    if not (math.isfinite(value) and least <= value <= most):
        raise SettingsError(f'{name}: {value:g} is out of range: expected {least:g}..{most:g}')


def _check_whole(name: str, value: int, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(
            f'{name}: {value!r} is out of range: expected a whole number {least}..{most}')
