# SPDX-License-Identifier: Apache-2.0
"""Frames of a video file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from tunnel_crack_ros.inspection.sources.recorded_frame import as_text, RecordedFrame, SourceError

VIDEO_ENDINGS = ('.mp4', '.avi', '.mkv', '.mov', '.m4v', '.webm', '.mpg', '.mpeg', '.ts')


class VideoFrames:
    """A video's frames; the stamp is the time from its start."""

    def __init__(self, path: Path) -> None:
        """Open a video.

        :raises SourceError: OpenCV cannot read it.
        """
        self._path = path
        self._name = path.stem
        self.cameras = [self._name]
        if as_text(str(path)) != str(path):
            raise SourceError(f'{as_text(str(path))}: the name is not UTF-8, which OpenCV needs; '
                              'rename it')
        video = _opened(path)
        try:
            if not video.isOpened() or not video.grab():     # or it has no frame
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
        video = _opened(self._path)
        try:
            number = 0
            while True:
                found, bgr = video.read()
                if not found:
                    break
                # frames need not come evenly; a container without times has none but the rate
                seconds = video.get(cv2.CAP_PROP_POS_MSEC) / 1e3 or number / self._rate
                yield RecordedFrame(f'{self._name}_{number:06d}', self._name,
                                    divmod(round(seconds * 1e9), 1_000_000_000),
                                    cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))  # type: ignore[arg-type]
                number += 1
        finally:
            video.release()
        if number < self._count:
            yield RecordedFrame(f'{self._name}_{number:06d}', self._name, (0, 0), None,
                                f'the video ends after {number} of {self._count} frames')


def _opened(path: Path) -> cv2.VideoCapture:
    # a relative name with a colon would be taken for a protocol
    return cv2.VideoCapture(str(path.resolve()))
