# SPDX-License-Identifier: Apache-2.0
"""Recorded frames, one after the other: a folder of images, a video or a bag."""

from tunnel_crack_ros.inspection.sources.opening import open_source
from tunnel_crack_ros.inspection.sources.recorded_frame import (
    FrameSource,
    RecordedFrame,
    SourceError,
)

__all__ = ['FrameSource', 'RecordedFrame', 'SourceError', 'open_source']
