# SPDX-License-Identifier: Apache-2.0
"""What every test session shares: a ROS 2 domain of its own that stays on this machine."""

import fcntl
import hashlib
from importlib import metadata
import importlib.util
import os
from pathlib import Path
import random
import shutil
import sys
import tempfile
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# Above 101 the ports of a domain overlap those that Linux hands out to anybody.
DOMAINS = range(1, 102)
_held = []


def free_domain() -> int:
    """Return a ROS_DOMAIN_ID that no other test session on this machine uses.

    It is held by a lock on a file, which the system takes back however the session ends.
    """
    folder = Path(tempfile.gettempdir()) / f'tunnel_crack_ros_domains_{os.getuid()}'
    folder.mkdir(exist_ok=True)
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        lock = (folder / str(domain)).open('w')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        return domain
    raise RuntimeError(f'all {len(DOMAINS)} domains are taken by test sessions: see {folder}')


def reads_the_old_name() -> bool:
    """Tell whether this ROS 2 is Jazzy or older, even where ROS_DISTRO is not set."""
    try:
        return int(metadata.version('ros-rclpy').split('.')[0]) < 9
    except metadata.PackageNotFoundError:
        return os.environ.get('ROS_DISTRO') in (None, 'humble', 'iron', 'jazzy')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker (`pytest -n 2`) whole files, and one of them all that start real nodes.

    Files stay whole for what their tests share. Tests of nodes mostly wait, and do so in seconds:
    beside others that compute they lose nothing, beside each other they would.
    """
    from xdist.scheduler import LoadScopeScheduling

    class WholeFiles(LoadScopeScheduling):

        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition('::')[0]
            return 'nodes' if {'nodes', 'launch'} & set(file.split('/')) else file

    return WholeFiles(config, log)


def share_cores() -> None:
    """Give each of several workers (`pytest -n 2`) cores of its own, and what it starts the same.

    Nodes answer in time, then, whatever the other worker computes; the explainer, which takes only
    what all others leave, would not even start beside it. PyTorch reads the number when it is
    imported, and would take all cores in each worker.
    """
    workers = int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', '1'))
    if workers == 1 or not hasattr(os, 'sched_setaffinity'):
        return
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // workers
    os.environ.setdefault('OMP_NUM_THREADS', str(max(1, each)))
    if each:
        number = int(os.environ['PYTEST_XDIST_WORKER'].removeprefix('gw')) % workers
        os.sched_setaffinity(0, cores[number * each:(number + 1) * each])


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment of all nodes and processes that the tests start."""
    share_cores()
    # Plain assignment: nothing set outside may let a test's messages leave this machine.
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    for name in ('ROS_LOCALHOST_ONLY', 'ROS_STATIC_PEERS', 'ROS_DISCOVERY_SERVER'):
        os.environ.pop(name, None)
    if os.environ.get('ROS_DISTRO') == 'humble':    # knows nothing of the range yet
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    os.environ['ROS_DOMAIN_ID'] = str(free_domain())
    os.environ['ROS_LOG_DIR'] = tempfile.mkdtemp(prefix='tunnel_crack_ros_log_')
    profile = str(REPOSITORY / 'config' / 'fastdds_local.xml')
    # Kilted and newer read the new name, and warn of the old one.
    os.environ['FASTDDS_DEFAULT_PROFILES_FILE'] = profile
    os.environ.pop('FASTRTPS_DEFAULT_PROFILES_FILE', None)
    if reads_the_old_name():
        os.environ['FASTRTPS_DEFAULT_PROFILES_FILE'] = profile
    if (Path(sys.prefix) / 'share' / 'ament_index').is_dir():
        prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
        if sys.prefix not in prefixes:
            prefixes.insert(0, sys.prefix)
            os.environ['AMENT_PREFIX_PATH'] = os.pathsep.join(filter(None, prefixes))
    if wants_training(config) and importlib.util.find_spec('torch') is None:
        raise pytest.UsageError(
            'PyTorch is not installed, so no test of training can run: make setup-training')


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the logs of the nodes away: what matters of them is in the test's own output."""
    shutil.rmtree(os.environ['ROS_LOG_DIR'], ignore_errors=True)


def wants_training(config: pytest.Config) -> bool:
    """Tell whether the session was asked for the tests that are marked `training`."""
    return config.getoption('markexpr') != 'not training'


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave test/training alone unless it is asked for: its files import PyTorch."""
    if collection_path.parent.name == 'test' and collection_path.name == 'training':
        return not wants_training(config) or None
    return None


@pytest.fixture(scope='session')
def toy_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a classifier and a segmenter under the names of the real ones.

    Anything darker than 80 is crack to them, so that a test knows what they must answer. They run
    in a millisecond. Give the folder to processes as TUNNEL_CRACK_MODELS.
    """
    onnx = pytest.importorskip('onnx', reason='onnx is not installed')
    from tunnel_crack_ros.vision.model_folder import CLASSIFIER, SEGMENTER
    folder = tmp_path_factory.mktemp('toy_models')
    node, value = onnx.helper.make_node, onnx.numpy_helper.from_array
    darkness = [
        node('Cast', ['image'], ['float'], to=onnx.TensorProto.FLOAT),
        node('ReduceMean', ['float', 'colours'], ['grey'], keepdims=0),
        node('Sub', ['limit', 'grey'], ['below']),
        node('Mul', ['below', 'slope'], ['logit']),
        node('Sigmoid', ['logit'], ['confidence'])]
    darkest = [
        node('ReduceMax', ['confidence', 'pixels'], ['crack'], keepdims=0),
        node('Sub', ['one', 'crack'], ['background']),
        node('Unsqueeze', ['crack', 'last'], ['second']),
        node('Unsqueeze', ['background', 'last'], ['first']),
        node('Concat', ['first', 'second'], ['probabilities'], axis=1)]
    constants = {'colours': np.array([3]), 'pixels': np.array([1, 2]), 'last': np.array([1]),
                 'limit': np.float32(80), 'slope': np.float32(0.1), 'one': np.float32(1)}
    for name, task, nodes, output, shape in (
            (CLASSIFIER, 'classifier', darkness + darkest, 'probabilities', ['n', 2]),
            (SEGMENTER, 'segmenter', darkness, 'confidence', ['n', 'h', 'w'])):
        used = {part for each in nodes for part in each.input}
        graph = onnx.helper.make_graph(
            nodes, name,
            [onnx.helper.make_tensor_value_info(
                'image', onnx.TensorProto.UINT8, ['n', 'h', 'w', 3])],
            [onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape)],
            [value(np.asarray(array), key) for key, array in constants.items() if key in used])
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=9)
        onnx.checker.check_model(model)
        _write_model(folder, name, task, model.SerializeToString())
    return folder


def _write_model(folder: Path, name: str, task: str, data: bytes) -> None:
    from tunnel_crack_ros.vision.model_card import ModelCard
    (folder / f'{name}.onnx').write_bytes(data)
    ModelCard(
        name=name, file=f'{name}.onnx', sha256=hashlib.sha256(data).hexdigest(), task=task,
        architecture='toy', classes=['background', 'crack'], input_size=(320, 320),
        threshold=0.5, precision='fp32', version='0.1.0').write(folder / f'{name}.yaml')


@pytest.fixture(scope='session')
def toy_frames() -> dict[str, np.ndarray]:
    """Return frames that the toy models call `cracked` and `clean`: uint8, 160 x 256 x 3, RGB."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(120, 200, (20, 32, 1), dtype=np.uint8)
    clean = np.ascontiguousarray(np.broadcast_to(
        blocks.repeat(8, axis=0).repeat(8, axis=1), (160, 256, 3)))
    cracked = clean.copy()
    cracked[70:82, 40:200] = 10
    return {'clean': clean, 'cracked': cracked}
