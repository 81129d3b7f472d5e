# SPDX-License-Identifier: Apache-2.0
"""The demonstration writes anew what it rendered itself, and nothing else."""

import pytest


class Rendering(Exception):
    """The demonstration has cleared its folder."""


def test_the_demonstration_leaves_what_simulate_wrote(tmp_path, monkeypatch):
    demo = pytest.importorskip('tunnel_crack_ros.demo', reason='no ROS 2 here')
    drives = [tmp_path / name for name in ('simulated', 'demo_drive')]
    for drive in drives:
        drive.mkdir()
        (drive / 'settings.yaml').write_text('seed: 1')

    def simulate(settings, folder, bar):
        raise Rendering(folder)
    monkeypatch.setattr(demo, 'simulate', simulate)
    with pytest.raises(Rendering):
        demo.run_demo(tmp_path, 4, 1.0, 0, lambda what: print)
    assert [drive.exists() for drive in drives] == [True, False]
