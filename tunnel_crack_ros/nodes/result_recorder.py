# SPDX-License-Identifier: Apache-2.0
"""Write what the live nodes publish to a folder, laid out as `tunnel_crack process` does."""

from __future__ import annotations

from functools import partial
import math
from pathlib import Path
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tunnel_crack_msgs.msg import CrackArray, FrameVerdict

from tunnel_crack_ros.inspection.frame_record import FrameRecord
from tunnel_crack_ros.inspection.lining_table import lining_cracks_of
from tunnel_crack_ros.inspection.result_folder import ResultFolder, Summary
from tunnel_crack_ros.nodes.crack_messages import measures_from_msg
from tunnel_crack_ros.nodes.image_bridge import imgmsg_to_cv2
from tunnel_crack_ros.nodes.qos import RESULTS
from tunnel_crack_ros.vision import Label


class ResultRecorder:
    """Listens to verdicts, cracks, masks and overlays of some cameras."""

    def __init__(self, node: Node, cameras: list[str], out: Path, radius_m: float = 0.0) -> None:
        """Subscribe.

        :param node: spun by the caller.
        :param cameras: names, relative to the node's namespace.
        :param out: folder for the results; made if missing.
        :param radius_m: of the tunnel, as the segmenter has it, m; 0: not known.
        """
        self._radius_m = radius_m
        self._results = ResultFolder(out)
        self._records: dict[str, FrameRecord] = {}
        self._models: dict[str, Any] = {}
        self.verdicts = self.segmented = self.overlays = 0
        for camera in cameras:
            node.create_subscription(FrameVerdict, f'{camera}/verdict', self._on_verdict, RESULTS)
            node.create_subscription(CrackArray, f'{camera}/cracks', self._on_cracks, RESULTS)
            node.create_subscription(Image, f'{camera}/mask', partial(self._on_mask, camera),
                                     RESULTS)
            node.create_subscription(Image, f'{camera}/overlay',
                                     partial(self._on_overlay, camera), RESULTS)

    @property
    def flagged(self) -> int:
        """Return how many frames were flagged."""
        return sum(r.verdict == Label.CRACK.name for r in self._records.values())

    def records(self) -> list[FrameRecord]:
        """Return the frames seen so far, by camera and stamp."""
        return sorted(self._records.values(), key=lambda r: (r.camera, r.stamp))

    def close(self, about: dict[str, Any]) -> Summary:
        """Write the tables.

        :param about: what else the JSON should say.
        """
        records = self.records()
        return self._results.write_tables(records, {**self._models, **about},
                                          lining_cracks_of(records, self._radius_m))

    def _record(self, camera: str, header: Header) -> FrameRecord:
        stamp = (header.stamp.sec, header.stamp.nanosec)
        name = f"{camera.replace('/', '_')}_{stamp[0]}_{stamp[1]:09d}"
        # results of one frame come on several topics, in no fixed order
        return self._records.setdefault(name, FrameRecord(name, camera, stamp, ''))

    def _on_verdict(self, message: FrameVerdict) -> None:
        record = self._record(message.camera, message.header)
        record.verdict = Label(message.verdict).name
        record.crack_probability = message.crack_probability
        record.reason = message.reason
        self._models |= {'classifier': message.model, 'classifier_threshold':
                         None if math.isnan(message.threshold) else message.threshold}
        self.verdicts += 1

    def _on_cracks(self, message: CrackArray) -> None:
        record = self._record(message.camera, message.header)
        record.measures = measures_from_msg(message)
        self._models |= {'segmenter': message.model, 'segmenter_threshold': message.threshold}
        self.segmented += 1

    def _on_mask(self, camera: str, message: Image) -> None:
        self._results.save_mask(self._record(camera, message.header).name,
                                imgmsg_to_cv2(message))

    def _on_overlay(self, camera: str, message: Image) -> None:
        self._results.save_overlay(self._record(camera, message.header).name,
                                   imgmsg_to_cv2(message, 'rgb8'))
        self.overlays += 1
