# SPDX-License-Identifier: Apache-2.0
"""Score-CAM on ROS 2: which parts of a flagged frame led to its mask, on demand."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import math
import os
import threading
import time
from typing import Any

from builtin_interfaces.msg import Duration
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tunnel_crack_msgs.action import Explain

from tunnel_crack_ros.nodes.camera_node import CameraNode, CameraParameters
from tunnel_crack_ros.nodes.conversions import (
    FrameMessage,
    heat_map_to_msg,
    heat_picture_to_msg,
    rgb_from_msg,
)
from tunnel_crack_ros.nodes.parameters import parameter
from tunnel_crack_ros.nodes.priorities import (
    lower_process,
    lower_this_thread,
    native_threads_idle,
)
from tunnel_crack_ros.nodes.qos import RESULTS
from tunnel_crack_ros.nodes.run_node import run_node
from tunnel_crack_ros.vision import FrameError, Model, ModelError, RgbFrame
from tunnel_crack_ros.vision.explain.baseline import BASELINES, DEFAULT
from tunnel_crack_ros.vision.explain.heat_map import draw_heat_map, Explanation
from tunnel_crack_ros.vision.model import RunStopped
from tunnel_crack_ros.vision.model_folder import SEGMENTER
from tunnel_crack_ros.vision.score_cam import METHODS, Progress, ScoreCam

_NICE = 5       # of the threads that answer: a quarter of a core beside a load on all
_GOALS = 2              # one worked on, one that waits: each holds a thread of the executor
_THREADS = _GOALS + 1   # and everything else: cancellation, lifecycle, diagnostics
# rclpy's own 15 minutes would keep each goal's frame and maps as long. Up to Iron the time counts
# from acceptance: a goal that takes longer would lose its result on the way to the asker.
_RESULT_KEPT_S = 900 if os.environ.get('ROS_DISTRO') in ('humble', 'iron') else 30
_BUSY = 'one goal is worked on and another one waits already'
_FIRST_PASSES_S = 10.0  # that long after its deadline a goal may wait for its first passes
_LOOK_S = 0.05          # between two looks whether it is this goal's turn


@dataclass(frozen=True)
class ExplainerParameters(CameraParameters):
    """Parameters of the explainer."""

    layers: str = parameter(
        '', "Names of layers on the model card, with commas between; empty: the card's last")
    every_nth: int = parameter(
        0, 'Explain every n-th flagged frame of a camera; 0: only on demand', low=0,
        high=1_000_000, live=True)
    method: str = parameter(
        'fast', 'How every n-th frame is explained: fast or exact', choices=METHODS, live=True)
    deadline_s: float = parameter(
        2.0, 'Time for each of those, s; the best maps so far are published; 0: no limit',
        low=0.0, high=86_400.0, live=True)
    share: float = parameter(
        0.05, "Passes that the fast method may make, as a share of the exact one's, 0..1",
        low=0.0, high=1.0)
    baseline: str = parameter(
        DEFAULT, 'What a masked picture fades to: black, mean or blurred', choices=BASELINES)
    max_pixels: int = parameter(
        0, "Larger frames are reduced to this many pixels, px; 0: to the model's input size",
        low=0, high=100_000_000)

    @property
    def layer_names(self) -> list[str]:
        """Return the names of the layers; empty: the card's last."""
        return [name.strip() for name in self.layers.split(',') if name.strip()]


class ExplainerNode(CameraNode):
    """Explain flagged frames: those that somebody asks for, and every n-th.

    One explanation at a time. A goal comes before every n-th frame: that one's maps so far are
    published, and the goal begins.
    """

    parameters_type = ExplainerParameters
    input_name = 'flagged'
    input_rests = True      # as long as there is no crack
    longest_frame_s = math.inf      # it may have no deadline, and waits for goals

    def __init__(self, name: str = 'explainer', **overrides: Any) -> None:
        """Make an unconfigured node; it starts itself unless `autostart` is off."""
        self._cam: ScoreCam | None = None
        self._layers: list[str] = []
        self._pictures: dict[str, Publisher] = {}
        self._raw: dict[str, Publisher] = {}
        self._latest: dict[str, FrameMessage] = {}
        self._seen: dict[str, int] = {}
        self._action: ActionServer | None = None
        self._one_at_a_time = threading.Lock()
        self._goals = 0     # that wait or are worked on
        self._goals_lock = threading.Lock()
        self._computing = ThreadPoolExecutor(1, 'computing', lower_this_thread)
        super().__init__(name, overrides)

    def make_outputs(self) -> Model:
        """Load the model with its taps; make the publishers and the action."""
        p = self.parameters
        with native_threads_idle():     # those that compute
            model = Model.load(p.model or SEGMENTER, wanted_providers=p.providers,
                               require_gpu=p.require_gpu, threads=p.threads, with_taps=True)
        cam = ScoreCam(model, baseline=p.baseline, max_pixels=p.max_pixels, share=p.share)
        self._layers = p.layer_names or [cam.layers[-1]]
        unknown = [name for name in self._layers if name not in cam.layers]
        if unknown:
            raise ModelError(f"parameter 'layers': {model.card.name} has no "
                             f"{', '.join(unknown)}; its card names {', '.join(cam.layers)}")
        for camera in p.cameras:
            self._pictures[camera] = self.create_publisher(Image, f'{camera}/heatmap', RESULTS)
            self._raw[camera] = self.create_publisher(Image, f'{camera}/heatmap/raw', RESULTS)
        if self._action is None:
            self._action = ActionServer(
                self, Explain, '~/explain', self._execute, goal_callback=self._accept,
                handle_accepted_callback=self._begin, cancel_callback=self._cancel,
                callback_group=ReentrantCallbackGroup(), result_timeout=_RESULT_KEPT_S)
        self._seen = dict.fromkeys(p.cameras, 0)
        self._cam = cam
        return model

    def drop_outputs(self) -> None:
        """Destroy the publishers and let the model go; the action stays and answers 'no'."""
        self._cam = None
        with self._one_at_a_time:   # a goal under way sees that it is not wanted any more
            for publisher in (*self._pictures.values(), *self._raw.values()):
                self.destroy_publisher(publisher)
            self._pictures, self._raw, self._latest = {}, {}, {}

    def destroy_node(self) -> None:
        """Let no goal begin any more, then go."""
        self._cam = None
        if self._action is not None:
            self._action.destroy()
            self._action = None
        super().destroy_node()

    # ---- every n-th frame -------------------------------------------------------------------

    def _receive(self, camera: str, message: FrameMessage) -> None:
        self._latest[camera] = message
        self._seen[camera] += 1
        every_nth = self.parameters.every_nth
        if every_nth and self._seen[camera] % every_nth == 0:
            super()._receive(camera, message)
        else:   # it must not overtake one whose turn it is
            self.counters[camera].receive()
            self.counters[camera].finish()

    def process(self, camera: str, message: FrameMessage) -> bool:
        """Explain a frame whose turn it is, and publish."""
        p, cam = self.parameters, self._cam
        if cam is None:
            return True
        with self._one_at_a_time:
            with self.times.measure('decode'):
                frame = rgb_from_msg(message)
            with self.times.measure('explain'):
                found = self._explain(
                    cam, frame, self._layers, method=p.method, threshold=p.chosen_threshold,
                    deadline_s=p.deadline_s or None,
                    wanted=lambda: self._working() and not self._goals)
            self._publish(camera, message.header, frame, found)
        return True

    def _explain(self, cam: ScoreCam, frame: RgbFrame, layers: list[str], **how: Any,
                 ) -> Explanation | None:
        """Explain in the thread that gives way, and wait: the callers' threads answer others.

        :return: None: not wanted any more before there was anything to return.
        """
        try:
            return self._computing.submit(cam.explain, frame, layers, **how).result()
        except RunStopped:
            return None

    def _publish(self, camera: str, header: Header, frame: RgbFrame,
                 found: Explanation | None) -> None:
        if found is None or camera not in self._pictures or not self._working():
            return
        for heat in found.heat_maps:
            if heat.channels and not heat.scored:   # the time was too short to say anything
                continue
            if self._pictures[camera].get_subscription_count():
                self._pictures[camera].publish(
                    heat_picture_to_msg(draw_heat_map(frame, heat.values), header))
            if self._raw[camera].get_subscription_count():
                self._raw[camera].publish(heat_map_to_msg(heat.values, header))

    # ---- on demand --------------------------------------------------------------------------

    def _accept(self, goal: Explain.Goal) -> GoalResponse:
        if self._goals < _GOALS:
            return GoalResponse.ACCEPT
        self.get_logger().warning(f'explain: goal rejected, {_BUSY}')
        return GoalResponse.REJECT

    def _begin(self, handle: ServerGoalHandle) -> None:
        """Count an accepted goal and let it run.

        Counted here and not in `_accept`: an accepted goal whose asker is gone never gets here.
        """
        with self._goals_lock:
            room = self._goals < _GOALS     # two that came at once may both have been accepted
            self._goals += room
        handle.execute(None if room else self._refuse)

    def _refuse(self, handle: ServerGoalHandle) -> Explain.Result:
        self.get_logger().warning(f'explain: {_BUSY}')
        handle.abort()
        return Explain.Result(message=_BUSY)

    def _cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        return CancelResponse.ACCEPT

    def _working(self) -> bool:
        return self.active and self._cam is not None and bool(self.context.ok())

    def _execute(self, handle: ServerGoalHandle) -> Explain.Result:
        """Answer a goal, in a thread of the executor."""
        start = time.monotonic()
        try:
            result = self._answer(handle, start)
        except (FrameError, ModelError, ValueError) as error:
            result = Explain.Result(message=str(error))
        except Exception:
            # a signal takes the context away from under the goal that is being answered
            if self.context.ok():
                raise
            result = Explain.Result(message='the explainer ends')
        finally:
            with self._goals_lock:
                self._goals -= 1
        result.elapsed = _duration(time.monotonic() - start)
        if not self.context.ok():
            return result
        if handle.is_cancel_requested:
            result.success, result.message = False, 'cancelled'
            handle.canceled()
        elif result.success:
            handle.succeed()
        else:
            self.get_logger().warning(f'explain: {result.message}')
            handle.abort()
        return result

    def _answer(self, handle: ServerGoalHandle, start: float) -> Explain.Result:
        goal = handle.request
        camera = goal.camera or self.parameters.cameras[0]
        if not self._working():
            return Explain.Result(message='the explainer is not active')
        if camera not in self._pictures:
            return Explain.Result(message=f"no camera '{camera}'; expected one of "
                                          f"{', '.join(self._pictures)}")
        message = goal.image if goal.image.height else self._latest.get(camera)
        if message is None:
            return Explain.Result(message=f'no frame of {camera} was flagged yet')
        limit = goal.deadline.sec + goal.deadline.nanosec * 1e-9

        end = start + limit if limit > 0.0 else math.inf
        feedback = _Feedback(handle)

        def asked() -> bool:
            return self._working() and not handle.is_cancel_requested

        def wanted() -> bool:
            return asked() and (feedback.told or time.monotonic() < end + _FIRST_PASSES_S)

        if not self._take_turn(lambda: asked() and time.monotonic() < end):
            return Explain.Result(message='the deadline passed while another frame was explained'
                                  if asked() else 'the explainer is not active any more')
        try:
            cam = self._cam
            if cam is None:
                return Explain.Result(message='the explainer is not active any more')
            frame = rgb_from_msg(message)
            left = max(0.0, end - time.monotonic()) if limit > 0.0 else None
            with self.times.measure('explain'):
                found = self._explain(
                    cam, frame, list(goal.layers) or self._layers,
                    method='exact' if goal.method == Explain.Goal.METHOD_EXACT else 'fast',
                    threshold=self.parameters.chosen_threshold, deadline_s=left, wanted=wanted,
                    on_progress=feedback.tell)
            self._publish(camera, message.header, frame, found)
        finally:
            self._one_at_a_time.release()
        if not self._working():
            return Explain.Result(message='the explainer was deactivated')
        if found is None:
            return Explain.Result(message='the deadline passed before the network had seen the '
                                          'frame: the cores are busy, or too slow for it')
        return _result(found, message.header)

    def _take_turn(self, wanted: Callable[[], bool]) -> bool:
        """Wait until nothing else is explained; False: not wanted any more before that."""
        while wanted():
            if self._one_at_a_time.acquire(timeout=_LOOK_S):
                return True
        return False


class _Feedback:
    """Tells the asker of a goal how far it is."""

    def __init__(self, handle: ServerGoalHandle) -> None:
        self._handle = handle
        self.told = False

    def tell(self, progress: Progress) -> None:
        self.told = True
        self._handle.publish_feedback(Explain.Feedback(
            layer=progress.layer, forward_passes=progress.passes,
            forward_passes_expected=progress.expected,
            progress=min(1.0, progress.passes / progress.expected)))


def _result(found: Explanation, header: Header) -> Explain.Result:
    maps = found.heat_maps
    return Explain.Result(
        success=True, layers=[heat.layer for heat in maps],
        heat_maps=[heat_map_to_msg(heat.values, header) for heat in maps],
        forward_passes=[heat.passes for heat in maps],
        fidelity=[heat.fidelity for heat in maps])


def _duration(seconds: float) -> Duration:
    whole = math.floor(seconds)
    return Duration(sec=whole, nanosec=int((seconds - whole) * 1e9))


def main() -> None:
    """Run the explainer with what the machine has left."""
    lower_process(_NICE)
    run_node(ExplainerNode, threads=_THREADS)


if __name__ == '__main__':
    main()
