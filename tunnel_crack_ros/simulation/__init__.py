# SPDX-License-Identifier: Apache-2.0
"""Simulated inspections of tunnel linings, with the truth about every crack."""

from tunnel_crack_ros.simulation.frames import (
    render_frame,
    render_frames,
    render_single,
    SimulatedCrack,
    SimulatedFrame,
    VisibleLine,
)
from tunnel_crack_ros.simulation.inspection_bag import (
    is_complete,
    simulate,
    SimulatedInspection,
)
from tunnel_crack_ros.simulation.settings import (
    CameraMount,
    SettingsError,
    SimulationSettings,
    spread_cameras,
)

__all__ = [
    'CameraMount', 'SettingsError', 'SimulatedCrack', 'SimulatedFrame',
    'SimulatedInspection', 'SimulationSettings',
    'VisibleLine', 'is_complete', 'render_frame', 'render_frames', 'render_single', 'simulate',
    'spread_cameras',
]
