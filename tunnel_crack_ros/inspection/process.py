# SPDX-License-Identifier: Apache-2.0
"""Both stages over a recording, every frame, on the same code as the live nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunnel_crack_ros.inspection.frame_record import FrameRecord
from tunnel_crack_ros.inspection.geojson import write_geojson
from tunnel_crack_ros.inspection.lining_table import lining_cracks_of
from tunnel_crack_ros.inspection.result_folder import ResultFolder, Summary
from tunnel_crack_ros.inspection.sources import FrameSource, RecordedFrame
from tunnel_crack_ros.vision import (
    CrackClassifier,
    CrackSegmenter,
    Label,
)
from tunnel_crack_ros.vision.frame_measures import measure_frame
from tunnel_crack_ros.vision.lining_cracks import LiningCracks
from tunnel_crack_ros.vision.overlay import draw_overlay
from tunnel_crack_ros.vision.segmenter_settings import SegmenterSettings


@dataclass(frozen=True)
class Progress:
    """How far the work is."""

    frames: int
    flagged: int
    of: int
    """Frames of the recording."""


@dataclass(frozen=True)
class Inspector:
    """Both stages and what they need to know of the cameras."""

    classifier: CrackClassifier
    segmenter: CrackSegmenter
    settings: SegmenterSettings = field(default_factory=SegmenterSettings)
    """How cracks are measured and placed."""
    cameras: tuple[str, ...] = ()
    """Names in the order of the settings that have a value for each camera."""
    segment_all: bool = False
    """Segment every frame that can be judged, not only the flagged ones."""

    def inspect(self, frame: RecordedFrame, results: ResultFolder) -> FrameRecord:
        """Judge one frame, measure its cracks and save its pictures.

        :raises ModelError: the engine failed.
        :raises OSError: a picture cannot be written.
        """
        if frame.rgb is None:
            return FrameRecord(frame.name, frame.camera, frame.stamp, 'UNREADABLE',
                               reason=frame.error)
        verdict, = self.classifier.classify([frame.rgb])
        record = FrameRecord(frame.name, frame.camera, frame.stamp, verdict.label.name,
                             verdict.crack_probability, verdict.reason)
        if verdict.label is Label.UNKNOWN or \
                verdict.label is Label.NO_CRACK and not self.segment_all:
            return record
        segmentation = self.segmenter.segment(frame.rgb)
        record.measures = measure_frame(segmentation, frame.sensed,
                                        self.settings.of_camera(frame.camera, self.cameras))
        results.save_mask(frame.name, segmentation.mask)
        results.save_overlay(frame.name,
                             draw_overlay(frame.rgb, segmentation.mask, record.cracks))
        return record

    def about(self) -> dict[str, Any]:
        """Say what the results are made with."""
        return {'classifier': self.classifier.model.card.identity,
                'classifier_threshold': self.classifier.threshold,
                'segmenter': self.segmenter.model.card.identity,
                'segmenter_threshold': self.segmenter.threshold,
                'provider': self.segmenter.model.provider}


def process(source: FrameSource, out: Path, inspector: Inspector,
            progress: Callable[[Progress], None] | None = None,
            recognising: Callable[[int, int], None] | None = None, *,
            recording: str = '') -> Summary:
    """Inspect a recording and write the results.

    What was done is written even when the work is interrupted; `complete` in the JSON says it.

    :param source: an opened recording.
    :param out: folder for the results; an earlier inspection's there are removed.
    :param progress: called after every frame.
    :param recognising: called with (done, of) for every frame with cracks, when it is held
        against the others for cracks that they share.
    :param recording: its path, for the JSON.
    :raises LookupError: the inspector knows no settings of one of the cameras.
    :raises ModelError: the engine failed.
    :raises OSError: a result cannot be written.
    """
    for camera in source.cameras:   # before what lies in the folder is removed
        inspector.settings.of_camera(camera, inspector.cameras)
    results = ResultFolder(out)
    records: list[FrameRecord] = []
    flagged, complete = 0, False
    try:
        for frame in source:
            records.append(inspector.inspect(frame, results))
            flagged += records[-1].verdict == Label.CRACK.name
            if progress is not None:
                progress(Progress(len(records), flagged, len(source)))
        complete = True
    finally:
        about = {'recording': recording, 'complete': complete, **inspector.about()}
        # at first without what takes a while: whoever ends the work may not wait for it
        _write(results, records, about, LiningCracks())
        summary = _write(results, records, about, lining_cracks_of(
            records, inspector.settings.tunnel_radius_m, recognising))
    return summary


def _write(results: ResultFolder, records: list[FrameRecord], about: dict[str, Any],
           lining: LiningCracks) -> Summary:
    summary = results.write_tables(records, about, lining)
    write_geojson(results.folder / 'cracks.geojson', records, lining)
    return summary
