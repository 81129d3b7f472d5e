# SPDX-License-Identifier: Apache-2.0
"""Stage 2 on ROS 2: masks and measured cracks of the flagged frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, Range
from tunnel_crack_msgs.msg import CrackArray
from visualization_msgs.msg import MarkerArray

from tunnel_crack_ros.inspection.sensor_messages import (
    calibration_of,
    depth_of,
    pose_of,
    range_of,
    stamp_ns,
)
from tunnel_crack_ros.nodes.camera_node import CameraNode, CameraParameters
from tunnel_crack_ros.nodes.conversions import (
    confidence_to_msg,
    FrameMessage,
    mask_to_msg,
    overlay_to_msg,
    rgb_from_msg,
)
from tunnel_crack_ros.nodes.crack_messages import cracks_to_markers, cracks_to_msg
from tunnel_crack_ros.nodes.matched_subscription import MatchedSubscription
from tunnel_crack_ros.nodes.qos import RESULTS
from tunnel_crack_ros.nodes.run_node import run_node
from tunnel_crack_ros.vision import CrackSegmenter, Model, RgbFrame, Segmentation
from tunnel_crack_ros.vision.frame_measures import CameraSensors, FrameMeasures, measure_frame
from tunnel_crack_ros.vision.model_folder import SEGMENTER
from tunnel_crack_ros.vision.odometry_history import OdometryHistory
from tunnel_crack_ros.vision.overlay import draw_overlay
from tunnel_crack_ros.vision.segmenter_settings import SegmenterSettings

_SMALL_WAIT = 200   # messages of range and odometry that may wait: half a second of a fast sensor


@dataclass(frozen=True)
class SegmenterParameters(SegmenterSettings, CameraParameters):
    """Parameters of the segmenter."""

    def problem(self) -> str:
        """Say what does not fit together; '' when all does."""
        return super().problem() or self.contradiction(self.cameras)


@dataclass
class CameraOutputs:
    """Publishers of one camera, and what its sensors say."""

    mask: Publisher
    confidence: Publisher
    cracks: Publisher
    markers: Publisher
    overlay: Publisher
    sensors: CameraSensors = field(default_factory=CameraSensors)
    note: str = ''
    """What was last said to be wrong with them."""

    def publishers(self) -> tuple[Publisher, ...]:
        """Return all publishers."""
        return (self.mask, self.confidence, self.cracks, self.markers, self.overlay)


class SegmenterNode(CameraNode):
    """Segment the flagged frames, measure their cracks and publish both."""

    parameters_type = SegmenterParameters
    input_name = 'flagged'
    input_rests = True      # as long as there is no crack

    def __init__(self, name: str = 'segmenter', **overrides: Any) -> None:
        """Make an unconfigured node; it starts itself unless `autostart` is off."""
        self._segmenter: CrackSegmenter | None = None
        self._outputs: dict[str, CameraOutputs] = {}
        self._sensors: list[MatchedSubscription] = []
        self._odometry = OdometryHistory()
        super().__init__(name, overrides)

    def make_outputs(self) -> Model:
        """Load the segmenter; make the cameras' publishers; listen to their sensors."""
        p = self.parameters
        model = Model.load(p.model or SEGMENTER, task='segmenter', wanted_providers=p.providers,
                           require_gpu=p.require_gpu, threads=p.threads)
        self._segmenter = CrackSegmenter(model, p.chosen_threshold, p.max_pixels, p.min_area_px,
                                         p.enlarge)
        for camera in p.cameras:
            self._outputs[camera] = self._camera_outputs(camera)
            self._sensors += [
                MatchedSubscription(self, CameraInfo, f'{camera}/camera_info',
                                    partial(self._on_camera_info, camera)),
                MatchedSubscription(self, Range, f'{camera}/range',
                                    partial(self._on_range, camera), depth=_SMALL_WAIT),
                MatchedSubscription(self, Image, f'{camera}/depth',
                                    partial(self._on_depth, camera))]
        self._sensors.append(MatchedSubscription(
            self, Odometry, 'odometry', self._on_odometry, depth=_SMALL_WAIT))
        return model

    def _camera_outputs(self, camera: str) -> CameraOutputs:
        return CameraOutputs(
            mask=self.create_publisher(Image, f'{camera}/mask', RESULTS),
            confidence=self.create_publisher(Image, f'{camera}/confidence', RESULTS),
            cracks=self.create_publisher(CrackArray, f'{camera}/cracks', RESULTS),
            markers=self.create_publisher(MarkerArray, f'{camera}/markers', RESULTS),
            overlay=self.create_publisher(Image, f'{camera}/overlay', RESULTS))

    def drop_outputs(self) -> None:
        """Destroy publishers and subscriptions and let the model go."""
        for outputs in self._outputs.values():
            for publisher in outputs.publishers():
                self.destroy_publisher(publisher)
        for subscription in self._sensors:
            subscription.destroy()
        self._outputs, self._sensors, self._segmenter = {}, [], None
        self._odometry = OdometryHistory()

    def apply(self, parameters: SegmenterParameters) -> None:
        """Take over threshold and sizes."""
        if self.model is not None:
            self._segmenter = CrackSegmenter(self.model, parameters.chosen_threshold,
                                             parameters.max_pixels, parameters.min_area_px,
                                             parameters.enlarge)

    def process(self, camera: str, message: FrameMessage) -> bool:
        """Segment one frame, measure its cracks, publish."""
        segmenter = self._segmenter
        assert segmenter is not None
        with self.times.measure('decode'):
            frame = rgb_from_msg(message)
        with self.times.measure('segment'):
            segmentation = segmenter.segment(frame)
        with self.times.measure('measure'):
            measures = self.measure(camera, message, segmentation)
        with self.times.measure('publish'):
            self._publish(camera, message, frame, segmentation, measures)
        return True

    def measure(self, camera: str, message: FrameMessage,
                segmentation: Segmentation) -> FrameMeasures:
        """Measure a frame's cracks with what the sensors said at its stamp."""
        p, outputs, header = self.parameters, self._outputs[camera], message.header
        sensed = outputs.sensors.at(stamp_ns(header), header.frame_id, self._odometry)
        measures = measure_frame(segmentation, sensed, p.of_camera(camera, p.cameras))
        if measures.note and measures.note != outputs.note:
            # it comes and goes with each frame where depth images come less often than frames
            self.warn(camera, measures.note, measures.note)
        outputs.note = measures.note
        return measures

    def remark(self, camera: str) -> str:
        """Say what was wrong with the sensors at the last frame."""
        outputs = self._outputs.get(camera)
        return outputs.note if outputs is not None else ''

    def _publish(self, camera: str, message: FrameMessage, frame: RgbFrame,
                 segmentation: Segmentation, measures: FrameMeasures) -> None:
        out, header = self._outputs[camera], message.header
        assert self.model is not None
        out.cracks.publish(cracks_to_msg(
            measures, header, camera, self.model.card.identity, segmentation.threshold,
            segmentation.mask.shape))
        # pictures are large: made only for those who look
        if out.mask.get_subscription_count():
            out.mask.publish(mask_to_msg(segmentation.mask, header))
        if out.confidence.get_subscription_count():
            out.confidence.publish(confidence_to_msg(segmentation.confidence, header))
        if out.markers.get_subscription_count():
            out.markers.publish(cracks_to_markers(measures.cracks, header, camera))
        if out.overlay.get_subscription_count():
            out.overlay.publish(overlay_to_msg(
                draw_overlay(frame, segmentation.mask, measures.cracks), header))

    def _on_camera_info(self, camera: str, info: CameraInfo) -> None:
        if camera in self._outputs:
            self._outputs[camera].sensors.calibration = calibration_of(info)

    def _on_range(self, camera: str, found: Range) -> None:
        if camera in self._outputs:
            self._outputs[camera].sensors.ranges.add(stamp_ns(found.header), *range_of(found))

    def _on_depth(self, camera: str, image: Image) -> None:
        if camera in self._outputs:
            self._outputs[camera].sensors.depths.add(depth_of(image))

    def _on_odometry(self, odometry: Odometry) -> None:
        self._odometry.add(pose_of(odometry))

    def _match_publishers(self) -> None:
        super()._match_publishers()
        for subscription in self._sensors:
            subscription.match()


def main() -> None:
    """Run the segmenter."""
    run_node(SegmenterNode)


if __name__ == '__main__':
    main()
