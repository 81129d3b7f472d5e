# SPDX-License-Identifier: Apache-2.0
"""Stage 1 on ROS 2: a verdict for every camera frame; the flagged ones are passed on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage
from tunnel_crack_msgs.msg import FrameVerdict

from tunnel_crack_ros.frame_topic import frame_topic
from tunnel_crack_ros.nodes.camera_node import CameraNode, CameraParameters
from tunnel_crack_ros.nodes.conversions import FrameMessage, rgb_from_msg, verdict_to_msg
from tunnel_crack_ros.nodes.flagged_files import FlaggedFiles
from tunnel_crack_ros.nodes.frame_type import frame_type
from tunnel_crack_ros.nodes.parameters import parameter
from tunnel_crack_ros.nodes.qos import RESULTS
from tunnel_crack_ros.nodes.run_node import run_node
from tunnel_crack_ros.vision import CrackClassifier, Label, Model, QualityGate, RgbFrame
from tunnel_crack_ros.vision.model_folder import CLASSIFIER


@dataclass(frozen=True)
class ClassifierParameters(QualityGate, CameraParameters):
    """Parameters of the classifier, the limits of its quality gate among them."""

    save_flagged_to: str = parameter(
        '', 'Folder that keeps the flagged frames as files; empty: none are kept')
    save_flagged_max_mb: int = parameter(
        1000, 'Size at which that folder takes no more frames, MB', low=1, high=10_000_000)


class ClassifierNode(CameraNode):
    """Publish a verdict for every camera frame and pass on the flagged ones as received."""

    parameters_type = ClassifierParameters
    input_name = 'image_raw'

    def __init__(self, name: str = 'classifier', **overrides: Any) -> None:
        """Make an unconfigured node; it starts itself unless `autostart` is off."""
        self._classifier: CrackClassifier | None = None
        self._verdicts: dict[str, Publisher] = {}
        self._flagged: dict[str, Publisher] = {}
        self._files: FlaggedFiles | None = None
        self._not_saved = ''
        super().__init__(name, overrides)

    def make_outputs(self) -> Model:
        """Load the classifier; make `<camera>/verdict` and `<camera>/flagged`."""
        p = self.parameters
        model = Model.load(p.model or CLASSIFIER, task='classifier', wanted_providers=p.providers,
                           require_gpu=p.require_gpu, threads=p.threads)
        self._classifier = CrackClassifier(model, p, p.chosen_threshold)
        if p.save_flagged_to:
            self._files = FlaggedFiles(Path(p.save_flagged_to).expanduser(),
                                       p.save_flagged_max_mb)
        for camera in p.cameras:
            self._verdicts[camera] = self.create_publisher(
                FrameVerdict, f'{camera}/verdict', RESULTS)
            self._flagged[camera] = self.create_publisher(
                frame_type(p.transport), frame_topic(f'{camera}/flagged', p.transport), RESULTS)
        return model

    def drop_outputs(self) -> None:
        """Destroy the publishers and let the model go."""
        for publisher in (*self._verdicts.values(), *self._flagged.values()):
            self.destroy_publisher(publisher)
        self._verdicts, self._flagged = {}, {}
        self._classifier = self._files = None
        self._not_saved = ''

    def apply(self, parameters: ClassifierParameters) -> None:
        """Take over threshold and quality limits."""
        if self.model is not None:
            self._classifier = CrackClassifier(self.model, parameters,
                                               parameters.chosen_threshold)

    def process(self, camera: str, message: FrameMessage) -> bool:
        """Classify one frame and publish the verdict; pass the frame on when it is flagged."""
        classifier, model = self._classifier, self.model
        assert classifier is not None and model is not None
        with self.times.measure('decode'):
            frame = rgb_from_msg(message)
        with self.times.measure('classify'):
            verdict, = classifier.classify([frame])
        self._verdicts[camera].publish(
            verdict_to_msg(verdict, message.header, camera, model.card.identity))
        if verdict.label is Label.CRACK:
            self._flagged[camera].publish(message)
            self._save(camera, message, frame)
        return verdict.label is not Label.UNKNOWN

    def _save(self, camera: str, message: FrameMessage, frame: RgbFrame) -> None:
        if self._files is None:
            return
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        try:
            saved = self._files.save(camera, stamp, frame, _file_in(message))
            self._not_saved = '' if saved else (
                f'save_flagged_to is full: {self._files.refused} flagged frames not saved')
        except OSError as error:
            self._not_saved = f'flagged frame not saved: {error}'
        if self._not_saved:
            self.get_logger().warning(self._not_saved, throttle_duration_sec=5.0)

    def remark(self, camera: str) -> str:
        """Say why the last flagged frame, of any camera, was not saved."""
        return self._not_saved


def _file_in(message: FrameMessage) -> bytes | None:
    """Return the picture file that came; None: there is none that tells all by itself."""
    if not isinstance(message, CompressedImage) or message.format.startswith('bayer_'):
        return None     # a mosaic without its message is a grey picture
    return bytes(message.data)


def main() -> None:
    """Run the classifier."""
    run_node(ClassifierNode)


if __name__ == '__main__':
    main()
