# SPDX-License-Identifier: Apache-2.0
"""Inference stays on the cores that a process may use."""

import os
import subprocess
import sys

import pytest

from tunnel_crack_ros.vision.cores import allowed_cores

pytestmark = pytest.mark.skipif(not hasattr(os, 'sched_getaffinity'),
                                reason='only Linux tells which CPUs a process may use')

LOAD_ON_ONE = """
import os, sys
from pathlib import Path
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from tunnel_crack_ros.vision import Model
model = Model.load(sys.argv[1])
print(sorted({cpu for task in Path('/proc/self/task').iterdir()
              for cpu in os.sched_getaffinity(int(task.name))}))
"""


def test_no_thread_of_a_model_leaves_the_cpu_that_the_process_was_given(toy_models, toy_folder):
    run = subprocess.run(
        [sys.executable, '-c', LOAD_ON_ONE, toy_folder / f"{toy_models.NAMES['classifier']}.onnx"],
        capture_output=True, text=True, check=False)
    assert run.stdout == f'[{min(os.sched_getaffinity(0))}]\n', run.stderr


def test_hyperthreads_of_one_core_count_once(tmp_path):
    allowed = sorted(os.sched_getaffinity(0))
    for number in allowed:
        topology = tmp_path / f'cpu{number}' / 'topology'
        topology.mkdir(parents=True)
        (topology / 'thread_siblings_list').write_text(f'{number // 2},{number // 2 + 64}\n')
    assert allowed_cores(tmp_path) == len({number // 2 for number in allowed})
    assert allowed_cores(tmp_path / 'not there') == len(allowed)
