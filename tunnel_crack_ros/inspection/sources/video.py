# SPDX-License-Identifier: Apache-2.0
"""Frames of a video file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from tunnel_crack_ros.inspection.sources.recorded_frame import RecordedFrame, SourceError

VIDEO_ENDINGS = ('.mp4', '.avi', '.mkv', '.mov', '.m4v', '.webm', '.mpg', '.mpeg', '.ts')


class VideoFrames:
    """A video's frames; the stamp is the time from its start."""

    def __init__(self, path: Path) -> None:
        """Open a video.

        :raises SourceError: OpenCV cannot read it.
        """
        self._path = path
        video = cv2.VideoCapture(str(path))
        try:
            if not video.isOpened():
                raise SourceError(f'{path}: OpenCV cannot read this video')
            self._count = max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
            self._rate = video.get(cv2.CAP_PROP_FPS) or 25.0
        finally:
            video.release()

    def __len__(self) -> int:
        """Return the number of frames that the file's header states."""
        return self._count

    def __iter__(self) -> Iterator[RecordedFrame]:
        """Decode the frames, one at a time."""
        video = cv2.VideoCapture(str(self._path))
        try:
            number = 0
            while True:
                found, bgr = video.read()
                if not found:
                    break
                nanoseconds = round(number / self._rate * 1e9)
                yield RecordedFrame(f'{self._path.stem}_{number:06d}', self._path.stem,
                                    divmod(nanoseconds, 1_000_000_000),
                                    cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))  # type: ignore[arg-type]
                number += 1
        finally:
            video.release()
        if number < self._count:
            yield RecordedFrame(f'{self._path.stem}_{number:06d}', self._path.stem, (0, 0), None,
                                f'the video ends after {number} of {self._count} frames')
