# SPDX-License-Identifier: Apache-2.0
"""Which processes make up the system: executables, parameters, remappings per camera.

Plain data without `launch`, so that it can be tested and started without it. The launch file only
turns the table into actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import os
from pathlib import Path

import yaml

from tunnel_crack_ros.frame_topic import TRANSPORTS
from tunnel_crack_ros.nodes.cameras_in_file import cameras_in_file
from tunnel_crack_ros.nodes.ros_names import EXPECTED, is_ros_name
from tunnel_crack_ros.sensor_topics import sensor_topics
from tunnel_crack_ros.vision.model_folder import (
    ENVIRONMENT,
    find_card,
    model_set,
    ModelNotFound,
    SETS,
)

PACKAGE = 'tunnel_crack_ros'
PARAMS_FILE = 'tunnel_crack.yaml'
RVIZ_FILE = 'tunnel_crack.rviz'
RVIZ_CAMERA = 'camera'      # the camera that the RViz file shows
FASTDDS_PROFILE = 'fastdds_large_frames.xml'
FASTDDS_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE',   # read up to Jazzy
                     'FASTDDS_DEFAULT_PROFILES_FILE')    # read from Kilted on
_READ_THE_OLD = ('humble', 'iron', 'jazzy')
LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')

_FROM_CAMERA = ('image_raw', 'image_raw/compressed', 'camera_info')
_SENSORS = ('range', 'depth')
_FROM_NODES = ('overlay', 'mask', 'heatmap', 'markers')     # that RViz shows


class SettingsError(ValueError):
    """A launch argument that does not fit: what was found and what was expected."""


@dataclass(frozen=True)
class Camera:
    """One camera: its name, and where its driver publishes."""

    name: str
    driver: str = ''    # name in front of the driver's topics; '' when it is the camera's own

    @classmethod
    def parse(cls, text: str) -> Camera:
        """Read `name` or `name=driver`, e.g. `left=/drivers/cam0`.

        :raises SettingsError: name or driver cannot be part of a topic.
        """
        name, equals, driver = (part.strip() for part in text.partition('='))
        driver = driver.rstrip('/')
        if name.startswith(('/', '_')) or not is_ros_name(name) \
                or (equals and not is_ros_name(driver)):
            raise SettingsError(
                f"camera '{text}': {EXPECTED} 'left' or 'left=/drivers/cam0'")
        return cls(name, driver)

    def remappings(self) -> list[tuple[str, str]]:
        """Return the topics that come from the driver under another name."""
        if not self.driver:
            return []
        return [(f'{self.name}/{topic}', f'{self.driver}/{topic}') for topic in _FROM_CAMERA]


@dataclass(frozen=True)
class Settings:
    """The launch file's arguments. What is empty is left to the parameter file."""

    cameras: tuple[Camera, ...] = ()
    transport: str = ''             # raw | compressed
    models: str = ''                # edge | paper: both models
    models_folder: str = ''         # searched for models first
    classifier_model: str = ''      # name, or path of an .onnx file; wins over `models`
    segmenter_model: str = ''
    odometry: str = ''              # topic of the vehicle's odometry; '': `odometry`
    range: tuple[tuple[str, str], ...] = ()     # camera, topic of its distance sensor
    depth: tuple[tuple[str, str], ...] = ()     # camera, topic of its depth image
    params_file: str = ''           # '': the package's config/tunnel_crack.yaml
    namespace: str = ''
    use_sim_time: bool = False
    explainer: bool = False
    rviz: bool = False
    log_level: str = 'info'

    @classmethod
    def from_texts(cls, texts: Mapping[str, str], share: Path | None = None) -> Settings:
        """Read the settings from the texts of launch arguments.

        :param texts: argument name to text; a missing one keeps its default.
        :param share: the package's share folder, whose parameter file names the cameras where
            the texts do not; None: it is not known.
        :raises SettingsError: an argument is unknown or does not fit.
        """
        unknown = sorted(set(texts) - set(cls.__dataclass_fields__))
        if unknown:
            raise SettingsError(f"unknown argument {', '.join(unknown)}; expected some of "
                                f"{', '.join(cls.__dataclass_fields__)}")
        plain = {name: text.strip() for name, text in texts.items()}
        cameras = tuple(Camera.parse(part) for part in plain.pop('cameras', '').split(',')
                        if part.strip())
        names = [camera.name for camera in cameras]
        if len(set(names)) < len(names):
            raise SettingsError(f"cameras {', '.join(names)}: expected no name twice")
        for name in ('models_folder', 'params_file'):
            if plain.get(name):
                plain[name] = _existing(name, plain[name])
        if 'namespace' in plain:
            plain['namespace'] = plain['namespace'].rstrip('/')
        _ros_name('namespace', plain.get('namespace', ''), '/robot/tunnel')
        _ros_name('odometry', plain.get('odometry', ''), '/odom', private=True)
        known = names or _cameras_in_file(
            plain.get('params_file', ''), plain.get('namespace', ''), share)
        sensors = {name: _topics(name, plain.pop(name), known)
                   for name in _SENSORS if plain.get(name)}
        for name in _SENSORS:
            plain.pop(name, None)
        switches = {name: _switch(name, plain.pop(name))
                    for name in ('use_sim_time', 'explainer', 'rviz') if name in plain}
        _one_of('transport', plain.get('transport', ''), ('', *TRANSPORTS))
        _one_of('log_level', plain.get('log_level', 'info'), LOG_LEVELS)
        _one_of('models', plain.get('models', ''), ('', *SETS))
        settings = cls(cameras=cameras, **switches, **sensors, **plain)  # type: ignore[arg-type]
        settings.check_set()
        return settings

    def check_set(self) -> None:
        """Make sure that the models of the set asked for are there.

        :raises SettingsError: a file is missing: says which, where it was looked for, how to get
            it.
        """
        first = Path(self.models_folder) if self.models_folder else None
        for given, name in ((self.classifier_model, model_set(self.models).classifier),
                            (self.segmenter_model, model_set(self.models).segmenter)):
            if self.models and not given:
                try:
                    find_card(name, first)
                except ModelNotFound as error:
                    raise SettingsError(f'models: {error}') from None

    def model_of(self, task: str) -> str:
        """Return the name of the model of a task; '' leaves it to the parameter file."""
        given = self.classifier_model if task == 'classifier' else self.segmenter_model
        if given or not self.models:
            return given
        chosen = model_set(self.models)
        return chosen.classifier if task == 'classifier' else chosen.segmenter


@dataclass(frozen=True)
class Process:
    """One process to start."""

    executable: str
    name: str
    package: str = PACKAGE
    namespace: str = ''
    params_file: str = ''
    parameters: Mapping[str, object] = field(default_factory=dict)  # win over the file
    remappings: Sequence[tuple[str, str]] = ()
    arguments: Sequence[str] = ()           # in front of --ros-args
    environment: Mapping[str, str] = field(default_factory=dict)    # added to the inherited one
    log_level: str = 'info'

    @property
    def full_name(self) -> str:
        """Return the node's name with its namespace, e.g. `/tunnel/classifier`."""
        return '/' + '/'.join(filter(None, [self.namespace.strip('/'), self.name]))

    def command(self, executables: Path, scratch: Path) -> list[str]:
        """Return the command line that starts it without `launch`.

        :param executables: where they are, e.g. lib/tunnel_crack_ros of a prefix.
        :param scratch: an existing folder that takes a file with the parameters. A file with the
            full name, as `launch` writes it, because `-p` loses to the sections `/**/<node>` of
            the parameter file.
        """
        ros = ['-r', f'__node:={self.name}', '--log-level', self.log_level]
        if self.namespace:
            ros += ['-r', f'__ns:=/{self.namespace.strip("/")}']
        if self.params_file:
            ros += ['--params-file', self.params_file]
        if self.parameters:
            own = scratch / f"{self.full_name.strip('/').replace('/', '.')}.yaml"
            own.write_text(yaml.safe_dump(
                {self.full_name: {'ros__parameters': dict(self.parameters)}}), encoding='utf-8')
            ros += ['--params-file', str(own)]
        for old, new in self.remappings:
            ros += ['-r', f'{old}:={new}']
        return [str(executables / self.executable), *self.arguments, '--ros-args', *ros]


def node_table(settings: Settings, share: Path) -> list[Process]:
    """Return the processes that the settings ask for, in the order of the data's way.

    :param settings: the launch arguments.
    :param share: the package's share folder, which holds config/.
    """
    parameters: dict[str, object] = {}
    if settings.cameras:
        parameters['cameras'] = [camera.name for camera in settings.cameras]
    if settings.transport:
        parameters['transport'] = settings.transport
    if settings.use_sim_time:
        parameters['use_sim_time'] = True
    remappings = [pair for camera in settings.cameras for pair in camera.remappings()]
    for sensor, topics in (('range', settings.range), ('depth', settings.depth)):
        remappings += [(f'{camera}/{sensor}', topic) for camera, topic in topics]
    if settings.odometry:
        remappings.append(('odometry', settings.odometry))
    environment = {ENVIRONMENT: settings.models_folder} if settings.models_folder else {}

    def node(name: str, model: str = '') -> Process:
        return Process(
            executable=name, name=name, namespace=settings.namespace,
            params_file=settings.params_file or str(share / 'config' / PARAMS_FILE),
            parameters={**parameters, 'model': model} if model else dict(parameters),
            remappings=tuple(remappings), environment=environment,
            log_level=settings.log_level)

    table = [node('classifier', settings.model_of('classifier')),
             node('segmenter', settings.model_of('segmenter'))]
    if settings.explainer:
        table.append(node('explainer', settings.model_of('segmenter')))
    if settings.rviz:
        table.append(_rviz(settings, share))
    return table


def missing_executables(table: Sequence[Process], folder: Path) -> list[str]:
    """Return the names of this package's executables that the table needs and that do not exist.

    :param folder: lib/tunnel_crack_ros of the prefix that the package is installed to.
    """
    return [process.executable for process in table
            if process.package == PACKAGE and not (folder / process.executable).exists()]


def fastdds_environment(share: Path, environment: Mapping[str, str] | None = None
                        ) -> dict[str, str]:
    """Return the variables that give Fast DDS room for large frames.

    :param share: the package's share folder.
    :param environment: what is set already; the process's own when not given.
    :return: the variable under the name that this ROS 2 reads (under both where ROS_DISTRO does
        not say which it is; newer ones warn of the old name); empty when the user has set it.
    """
    found = os.environ if environment is None else environment
    if any(found.get(name) for name in FASTDDS_VARIABLES):
        return {}
    old, new = FASTDDS_VARIABLES
    distro = found.get('ROS_DISTRO')
    names = FASTDDS_VARIABLES if not distro else (old,) if distro in _READ_THE_OLD else (new,)
    return dict.fromkeys(names, str(share / 'config' / FASTDDS_PROFILE))


def _rviz(settings: Settings, share: Path) -> Process:
    of_file = _cameras_in_file(settings.params_file, settings.namespace, share)
    camera = settings.cameras[0] if settings.cameras else Camera((*of_file, RVIZ_CAMERA)[0])
    namespace = f'/{settings.namespace.strip("/")}'.rstrip('/')
    # as the nodes see it: camera names are relative, a driver's may be absolute
    driver = camera.driver or camera.name
    if not driver.startswith('/'):
        driver = f'{namespace}/{driver}'
    shown = [(f'/{RVIZ_CAMERA}/{topic}', f'{namespace}/{camera.name}/{topic}')
             for topic in _FROM_NODES] + [(f'/{RVIZ_CAMERA}/image_raw', f'{driver}/image_raw')]
    return Process(
        executable='rviz2', name='rviz', package='rviz2',
        parameters={'use_sim_time': True} if settings.use_sim_time else {},
        remappings=tuple(pair for pair in shown if pair[0] != pair[1]),
        arguments=('-d', str(share / 'config' / RVIZ_FILE)), log_level=settings.log_level)


def _cameras_in_file(params_file: str, namespace: str, share: Path | None) -> tuple[str, ...]:
    """Return the cameras that the nodes will take from their parameter file.

    :param share: the package's share folder, for where no file is given.
    :return: empty: not known.
    """
    if params_file:
        path = Path(params_file)
    elif share is not None and (share / 'config' / PARAMS_FILE).is_file():
        path = share / 'config' / PARAMS_FILE
    else:
        return ()
    try:    # the segmenter: what comes in from sensors and what is shown are its topics
        return cameras_in_file(path, Process('segmenter', 'segmenter',
                                             namespace=namespace).full_name)
    except ValueError as error:
        raise SettingsError(f'params_file: {error}') from None


def _topics(name: str, text: str, cameras: Sequence[str]) -> tuple[tuple[str, str], ...]:
    try:
        topics = sensor_topics(name, text, cameras)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    for _, topic in topics:
        _ros_name(name, topic, f'/drivers/{name}', private=True)
    return topics


def _ros_name(name: str, text: str, example: str, private: bool = False) -> None:
    if text and not is_ros_name(text, private):
        raise SettingsError(f"{name}: '{text}', {EXPECTED} '{example}'")


def _existing(name: str, text: str) -> str:
    """Return the path with the home folder written out: launch and the nodes take it as it is."""
    path = Path(os.path.expanduser(text))   # Path's own raises where there is no such user
    if not path.exists():
        raise SettingsError(f'{name}: {text} does not exist')
    if name == 'params_file' and not path.is_file():
        raise SettingsError(f'{name}: {text} is a folder, expected a file')
    if name == 'models_folder' and not path.is_dir():
        raise SettingsError(f'{name}: {text} is a file, expected a folder')
    return str(path)


def _switch(name: str, text: str) -> bool:
    if text.lower() in ('true', '1', 'on', 'yes'):
        return True
    if text.lower() in ('false', '0', 'off', 'no', ''):
        return False
    raise SettingsError(f"{name}: '{text}', expected true or false")


def _one_of(name: str, text: str, choices: Sequence[str]) -> None:
    if text not in choices:
        raise SettingsError(
            f"{name}: '{text}', expected {' or '.join(choice for choice in choices if choice)}")
