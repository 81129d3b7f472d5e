# SPDX-License-Identifier: Apache-2.0
"""Nodes as real processes, and the participant that talks to them.

Nothing here sleeps for a fixed time: `Bench.wait_for` looks until what is waited for is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import importlib.util
import itertools
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
import pytest
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
import yaml

from tunnel_crack_ros.nodes.image_bridge import cv2_to_imgmsg

PATIENCE_S = 30.0   # far above what anything here takes on a loaded machine
REPOSITORY = Path(__file__).resolve().parents[2]
TRANSITIONS = {'configure': 1, 'cleanup': 2, 'activate': 3, 'deactivate': 4}
_numbers = itertools.count()


class Collected:
    """Messages of one topic, in the order they came."""

    def __init__(self, bench: Bench, topic: str) -> None:
        self._bench, self._topic = bench, topic
        self.messages: list[Any] = []

    def wait(self, count: int = 1) -> list[Any]:
        """Wait until `count` messages are there and return all."""
        self._bench.wait_for(lambda: len(self.messages) >= count,
                             lambda: f'{len(self.messages)} of {count} on {self._topic}')
        return list(self.messages)

    def find(self, wanted: Callable[[Any], bool], what: str) -> Any:
        """Wait for a message that is wanted and return it."""
        self._bench.wait_for(lambda: any(map(wanted, self.messages)),
                             lambda: f'no {what} on {self._topic}')
        return next(message for message in self.messages if wanted(message))

    def __len__(self) -> int:
        return len(self.messages)


class Bench:
    """The tests' own participant: publishes, collects, calls services."""

    def __init__(self) -> None:
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node('bench', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()
        self._diagnostics: dict[str, list[DiagnosticStatus]] = {}
        self._clients: dict[str, Any] = {}
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnosed, 50)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def _diagnosed(self, array: DiagnosticArray) -> None:
        for status in array.status:
            self._diagnostics.setdefault(status.name, []).append(status)

    def close(self) -> None:
        rclpy.shutdown(context=self._context)
        self._thread.join()
        self.node.destroy_node()

    def wait_for(self, condition: Callable[[], Any], what: str | Callable[[], str],
                 seconds: float = PATIENCE_S) -> Any:
        """Look until a condition holds and return its value."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                pytest.fail(f'waited {seconds:.0f} s: {what if isinstance(what, str) else what()}')
            time.sleep(0.01)
        return value

    def collect(self, kind: type, topic: str, qos: QoSProfile | int = 100) -> Collected:
        """Collect a topic's messages. Do it before the publisher starts."""
        collected = Collected(self, topic)
        self.node.create_subscription(kind, topic, collected.messages.append, qos)
        return collected

    def publisher(self, kind: type, topic: str, qos: QoSProfile | int = 100) -> Any:
        return self.node.create_publisher(kind, topic, qos)

    def wait_matched(self, *publishers: Any) -> None:
        """Wait until one node listens to each publisher the way it publishes.

        It subscribes when it finds the publisher, and anew when another one joins.
        """
        def matched(publisher: Any) -> bool:
            found = self.node.get_subscriptions_info_by_topic(publisher.topic_name)
            offered = publisher.qos_profile
            return len(found) == publisher.get_subscription_count() == 1 and (
                found[0].qos_profile.reliability, found[0].qos_profile.durability) == (
                offered.reliability, offered.durability)

        for publisher in publishers:
            self.wait_for(lambda p=publisher: matched(p), f'nobody matches {publisher.topic_name}')

    def call(self, kind: type, service: str, request: Any) -> Any:
        """Call a service and return its answer.

        A server that has not found its new client yet answers into the void: what may be asked
        twice is asked again.
        """
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, service)
        client = self._clients[service]
        assert client.wait_for_service(PATIENCE_S), f'no service {service}'
        tries = 1 if kind is ChangeState else 10
        for _ in range(tries):
            answered = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _, answered=answered: answered.set())
            if answered.wait(PATIENCE_S / tries):
                return future.result()
        pytest.fail(f'no answer from {service}')

    def diagnosed(self, name: str, wanted: Callable[[DiagnosticStatus], bool],
                  what: str) -> DiagnosticStatus:
        """Wait for a report of a status of this name that is wanted, and return it."""
        reports = self._diagnostics.setdefault(name.lstrip('/'), [])
        seen = len(reports)
        self.wait_for(lambda: any(map(wanted, reports[max(0, seen - 1):])), lambda: (
            f'{name} never reported {what}: last '
            + (f'{reports[-1].message} {values(reports[-1])}' if reports else 'nothing')))
        return next(report for report in reports[max(0, seen - 1):] if wanted(report))

    def reports(self, name: str) -> list[DiagnosticStatus]:
        """Return all reports of a status so far."""
        return list(self._diagnostics.get(name.lstrip('/'), []))


def values(status: DiagnosticStatus) -> dict[str, str]:
    """Return the key-value pairs of a diagnostic status."""
    return {pair.key: pair.value for pair in status.values}


class NodeProcess:
    """One node in a process of its own."""

    def __init__(self, bench: Bench, executable: str, folder: Path, parameters: dict[str, Any],
                 remappings: dict[str, str], environment: dict[str, str], namespace: str,
                 params_file: Path | None) -> None:
        self._bench = bench
        self.namespace = namespace or f'/test{next(_numbers)}'
        self.name = f'{self.namespace}/{executable}'
        self._log = folder / f'{executable}.log'
        arguments = ['-r', f'__ns:={self.namespace}']
        if parameters:
            file = folder / f'{executable}.yaml'
            file.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}))
            arguments += ['--params-file', str(file)]
        if params_file:
            arguments += ['--params-file', str(params_file)]
        for old, new in remappings.items():
            arguments += ['-r', f'{old}:={new}']
        installed = Path(sys.prefix, 'lib', 'tunnel_crack_ros', executable)
        command = [str(installed)] if installed.is_file() else [
            sys.executable, '-m', f'tunnel_crack_ros.nodes.{executable}_node']
        with self._log.open('w') as log:
            self.process = subprocess.Popen(
                [*command, '--ros-args', *arguments], cwd=REPOSITORY, stdout=log,
                stderr=subprocess.STDOUT, env=os.environ | environment)

    def topic(self, name: str) -> str:
        return f'{self.namespace}/{name}'

    def log(self) -> str:
        return self._log.read_text()

    def wait_log(self, text: str) -> str:
        """Wait until the log holds a text and return the log."""
        self._bench.wait_for(lambda: text in self.log(), lambda: f"no '{text}' in:\n{self.log()}")
        return self.log()

    def state(self) -> str:
        return self._bench.call(GetState, f'{self.name}/get_state',
                                GetState.Request()).current_state.label

    def wait_state(self, label: str) -> None:
        self._bench.wait_for(lambda: self.state() == label,
                             lambda: f'{self.name} is {self.state()}, not {label}\n{self.log()}')

    def change(self, transition: str) -> bool:
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[transition]
        return self._bench.call(ChangeState, f'{self.name}/change_state', request).success

    def set(self, **parameters: Any) -> str:
        """Set parameters together.

        :return: '' when they were taken, else the reason.
        """
        request = SetParametersAtomically.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg()
            for name, value in parameters.items()])
        result = self._bench.call(SetParametersAtomically,
                                  f'{self.name}/set_parameters_atomically', request).result
        assert bool(result.reason) != result.successful
        return result.reason

    def get(self, name: str) -> Any:
        answer = self._bench.call(GetParameters, f'{self.name}/get_parameters',
                                  GetParameters.Request(names=[name]))
        return Parameter.from_parameter_msg(
            ParameterMsg(name=name, value=answer.values[0])).value

    def diagnosed(self, wanted: Callable[[DiagnosticStatus], bool], what: str,
                  camera: str = '') -> DiagnosticStatus:
        """Wait for a report of the node, or of one of its cameras, that is wanted."""
        return self._bench.diagnosed(f'{self.name}: {camera}' if camera else self.name, wanted,
                                     what)

    def counted(self, camera: str = 'camera', **counts: int) -> dict[str, int]:
        """Wait until a camera's counts are these; `bad_input=2` means `dropped: bad input`.

        :return: all its counts.
        """
        def plain(status: DiagnosticStatus) -> dict[str, int]:
            return {key: int(value) for key, value in values(status).items() if value.isdigit()}

        wanted = {{'frames_in': 'frames in'}.get(key, key).replace('dropped_', 'dropped: ')
                  .replace('_', ' '): count for key, count in counts.items()}
        return plain(self.diagnosed(
            lambda status: all(plain(status).get(key, 0) == count
                               for key, count in wanted.items()), str(wanted), camera))

    def stop(self, number: int = signal.SIGINT) -> float:
        """End the process as a user or launch would, and look at how it ended.

        :return: how long it took, s.
        """
        start = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f'{self.name} does not end:\n{self.log()}')
        assert code == 0, f'{self.name} ended with {code}:\n{self.log()}'
        assert 'Traceback' not in self.log(), self.log()
        return time.monotonic() - start


@pytest.fixture(scope='module')
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def other_bench() -> Iterator[Bench]:
    """Return a second participant: one cannot have two types on one topic."""
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture(scope='module')
def start(bench, tmp_path_factory) -> Iterator[Callable[..., NodeProcess]]:
    """Start nodes; all that still run end with the module and must end well."""
    started: list[NodeProcess] = []

    def start_one(executable: str, remappings: dict[str, str] | None = None,
                  environment: dict[str, str] | None = None, namespace: str = '',
                  params_file: Path | None = None, wait: str = 'active',
                  **parameters: Any) -> NodeProcess:
        """Start a node, in a namespace of its own unless one is given.

        :param params_file: given to the node besides `parameters`.
        :param wait: lifecycle state to wait for; '': none.
        """
        node = NodeProcess(bench, executable, tmp_path_factory.mktemp(executable), parameters,
                           remappings or {}, environment or {}, namespace, params_file)
        started.append(node)
        if wait:
            node.wait_state(wait)
        return node

    yield start_one
    running = [node for node in started if node.process.poll() is None]
    for node in running:
        node.process.send_signal(signal.SIGINT)     # all at once: they end in parallel
    for node in running:
        node.stop()     # a second SIGINT, as it comes under ros2 launch


@pytest.fixture(scope='session')
def toy_models():
    path = REPOSITORY / 'test' / 'vision' / 'toy_models.py'
    spec = importlib.util.spec_from_file_location('toy_models', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def toy(toy_models, tmp_path_factory) -> dict[str, str]:
    """Return paths of toy models: classifier, segmenter, and a classifier that takes 0.2 s."""
    folder = tmp_path_factory.mktemp('toy_models')
    return {'classifier': str(toy_models.write_model(folder, 'classifier')),
            'segmenter': str(toy_models.write_model(folder, 'segmenter')),
            'slow': str(toy_models.write_model(folder, 'classifier', slow=20, name='slow'))}


@pytest.fixture(scope='session')
def cracked() -> np.ndarray:
    """Return a frame that the quality gate likes and the toy models find cracked."""
    return toy_frame(cracked=True)


@pytest.fixture(scope='session')
def clean() -> np.ndarray:
    """Return the same frame without its crack."""
    return toy_frame(cracked=False)


def toy_frame(cracked: bool) -> np.ndarray:
    """Return 96 x 128 px of blocks in light greys, with or without a dark bar."""
    blocks = np.random.default_rng(1).integers(140, 220, (12, 16, 1)).repeat(3, axis=2)
    frame = blocks.repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)
    if cracked:
        frame[40:46, 20:100] = 5
    return frame


class Stamped:
    """Makes messages whose header is told from every other."""

    def __init__(self, frame_id: str = 'optical_frame') -> None:
        self._frame_id, self._count = frame_id, itertools.count(1)

    def stamp(self, message: Any) -> Any:
        number = next(self._count)
        message.header.stamp.sec = 1_000 + number
        message.header.stamp.nanosec = 123_456_789
        message.header.frame_id = f'{self._frame_id}_{number}'
        return message

    def raw(self, frame: np.ndarray, encoding: str = 'rgb8') -> Image:
        return self.stamp(cv2_to_imgmsg(frame, encoding))

    def compressed(self, data: bytes, file_format: str = 'jpeg') -> CompressedImage:
        message = self.stamp(CompressedImage(format=file_format))
        message.data.frombytes(data)
        return message


@pytest.fixture(scope='session')
def stamped() -> Stamped:
    return Stamped()
