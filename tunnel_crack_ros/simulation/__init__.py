# SPDX-License-Identifier: Apache-2.0
"""Simulated inspections of tunnel linings, with the truth about every crack."""

from tunnel_crack_ros.simulation.frames import (
    SimulatedCrack, SimulatedFrame, VisibleLine, render_frame, render_frames, render_single)
from tunnel_crack_ros.simulation.settings import (
    CameraMount, SettingsError, SimulationSettings, spread_cameras)

__all__ = [
    'CameraMount', 'SettingsError', 'SimulatedCrack', 'SimulatedFrame', 'SimulationSettings',
    'VisibleLine', 'render_frame', 'render_frames', 'render_single', 'spread_cameras',
]
