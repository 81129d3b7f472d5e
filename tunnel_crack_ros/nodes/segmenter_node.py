# SPDX-License-Identifier: Apache-2.0
"""Stage 2 on ROS 2: masks and measured cracks of the flagged frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
import math
from typing import Any

from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, Range
from std_msgs.msg import Header
from tunnel_crack_msgs.msg import CrackArray
from visualization_msgs.msg import MarkerArray

from tunnel_crack_ros.nodes.camera_node import CameraNode, CameraParameters
from tunnel_crack_ros.nodes.conversions import (
    confidence_to_msg,
    cracks_to_markers,
    cracks_to_msg,
    focal_length_px,
    FrameMessage,
    mask_to_msg,
    overlay_to_msg,
    range_m,
    rgb_from_msg,
    stamp_ns,
)
from tunnel_crack_ros.nodes.matched_subscription import MatchedSubscription
from tunnel_crack_ros.nodes.parameters import parameter
from tunnel_crack_ros.nodes.qos import RESULTS
from tunnel_crack_ros.nodes.run_node import run_node
from tunnel_crack_ros.vision import (
    Crack,
    CrackSegmenter,
    Gaps,
    measure_cracks,
    MeasureRules,
    Model,
    RgbFrame,
    Scale,
    Segmentation,
)
from tunnel_crack_ros.vision.model_folder import SEGMENTER
from tunnel_crack_ros.vision.overlay import draw_overlay
from tunnel_crack_ros.vision.range_history import RangeHistory
from tunnel_crack_ros.vision.scale import choose_scale


@dataclass(frozen=True)
class SegmenterParameters(CameraParameters):
    """Parameters of the segmenter."""

    max_pixels: int = parameter(
        1_048_576, 'Larger frames are reduced to this many pixels for the network, px',
        low=65_536, high=100_000_000, live=True)
    min_area_px: int = parameter(
        30, "Smaller connected pieces of the mask are dropped, px at the frame's own size",
        low=1, high=100_000, live=True)
    mm_per_px: float = parameter(
        0.0, 'Millimetres of lining a pixel covers; 0: from camera_info and distance', low=0.0,
        high=1000.0, live=True)
    lining_distance_m: float = parameter(
        0.0, 'Distance from the cameras to the lining, m; 0: from the topic <camera>/range',
        low=0.0, high=100.0, live=True)
    axis_angle: float = parameter(
        0.0, 'Direction of the tunnel axis in the image, rad; 0: along the rows',
        low=-math.pi / 2, high=math.pi / 2, live=True)
    longitudinal_below: float = parameter(
        0.5236, 'Cracks closer to the tunnel axis than this are longitudinal, rad',
        low=0.0, high=math.pi / 4, live=True)
    circumferential_above: float = parameter(
        1.0472, 'Cracks farther from the tunnel axis than this are circumferential, rad',
        low=math.pi / 4, high=math.pi / 2, live=True)
    bridge_gap_px: float = parameter(
        15.0, 'Gaps up to this between ends that face each other are bridged, px; 0: none',
        low=0.0, high=200.0, live=True)
    bridge_angle: float = parameter(
        0.5236, 'How far such ends may point past each other, rad', low=0.0, high=math.pi / 3,
        live=True)
    resolvable_px: float = parameter(
        1.0, 'Widths below this are not given in mm, px', low=0.0, high=20.0, live=True)

    @property
    def rules(self) -> MeasureRules:
        """Return how cracks are measured."""
        return MeasureRules(self.axis_angle, self.longitudinal_below, self.circumferential_above,
                            Gaps(self.bridge_gap_px, self.bridge_angle), self.resolvable_px)


@dataclass
class CameraOutputs:
    """Publishers of one camera, and what is known of its optics."""

    mask: Publisher
    confidence: Publisher
    cracks: Publisher
    markers: Publisher
    overlay: Publisher
    camera_info: CameraInfo | None = None
    distance: RangeHistory = field(default_factory=RangeHistory)

    def publishers(self) -> tuple[Publisher, ...]:
        """Return all publishers."""
        return (self.mask, self.confidence, self.cracks, self.markers, self.overlay)


class SegmenterNode(CameraNode):
    """Segment the flagged frames, measure their cracks and publish both."""

    parameters_type = SegmenterParameters
    input_name = 'flagged'

    def __init__(self, name: str = 'segmenter', **overrides: Any) -> None:
        """Make an unconfigured node; it starts itself unless `autostart` is off."""
        self._segmenter: CrackSegmenter | None = None
        self._outputs: dict[str, CameraOutputs] = {}
        self._optics: list[MatchedSubscription] = []
        super().__init__(name, overrides)

    def make_outputs(self) -> Model:
        """Load the segmenter; make the cameras' publishers; listen to their optics."""
        p = self.parameters
        model = Model.load(p.model or SEGMENTER, task='segmenter', wanted_providers=p.providers,
                           require_gpu=p.require_gpu, threads=p.threads)
        self._segmenter = CrackSegmenter(model, p.chosen_threshold, p.max_pixels, p.min_area_px)
        for camera in p.cameras:
            self._outputs[camera] = self._camera_outputs(camera)
            self._optics += [
                MatchedSubscription(self, CameraInfo, f'{camera}/camera_info',
                                    partial(self._on_camera_info, camera)),
                MatchedSubscription(self, Range, f'{camera}/range',
                                    partial(self._on_range, camera))]
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
        for subscription in self._optics:
            subscription.destroy()
        self._outputs, self._optics, self._segmenter = {}, [], None

    def apply(self, parameters: SegmenterParameters) -> None:
        """Take over threshold and sizes."""
        if self.model is not None:
            self._segmenter = CrackSegmenter(self.model, parameters.chosen_threshold,
                                             parameters.max_pixels, parameters.min_area_px)

    def process(self, camera: str, message: FrameMessage) -> bool:
        """Segment one frame, measure its cracks, publish."""
        segmenter = self._segmenter
        assert segmenter is not None
        with self.times.measure('decode'):
            frame = rgb_from_msg(message)
        with self.times.measure('segment'):
            segmentation = segmenter.segment(frame)
        with self.times.measure('measure'):
            scale = self.scale_of(camera, message.header)
            cracks = measure_cracks(segmentation, scale, self.parameters.rules)
        with self.times.measure('publish'):
            self._publish(camera, message, frame, segmentation, cracks, scale)
        return True

    def scale_of(self, camera: str, header: Header) -> Scale:
        """Return a frame's mm per pixel, from the first of parameter, distance and range known."""
        p, outputs = self.parameters, self._outputs[camera]
        return choose_scale(
            mm_per_px=p.mm_per_px, distance_m=p.lining_distance_m,
            focal_length_px=focal_length_px(outputs.camera_info),
            range_m=outputs.distance.at(stamp_ns(header)))

    def _publish(self, camera: str, message: FrameMessage, frame: RgbFrame,
                 segmentation: Segmentation, cracks: list[Crack], scale: Scale) -> None:
        out, header = self._outputs[camera], message.header
        assert self.model is not None
        out.cracks.publish(cracks_to_msg(
            cracks, header, camera, self.model.card.identity, segmentation.threshold,
            segmentation.mask.shape, scale))
        # pictures are large: made only for those who look
        if out.mask.get_subscription_count():
            out.mask.publish(mask_to_msg(segmentation.mask, header))
        if out.confidence.get_subscription_count():
            out.confidence.publish(confidence_to_msg(segmentation.confidence, header))
        if out.markers.get_subscription_count():
            out.markers.publish(
                cracks_to_markers(cracks, header, camera, scale, out.camera_info))
        if out.overlay.get_subscription_count():
            out.overlay.publish(
                overlay_to_msg(draw_overlay(frame, segmentation.mask, cracks), header))

    def _on_camera_info(self, camera: str, info: CameraInfo) -> None:
        if camera in self._outputs:
            self._outputs[camera].camera_info = info

    def _on_range(self, camera: str, found: Range) -> None:
        if camera in self._outputs:
            self._outputs[camera].distance.add(stamp_ns(found.header), range_m(found))

    def _match_publishers(self) -> None:
        super()._match_publishers()
        for subscription in self._optics:
            subscription.match()


def main() -> None:
    """Run the segmenter."""
    run_node(SegmenterNode)


if __name__ == '__main__':
    main()
