# SPDX-License-Identifier: Apache-2.0
"""What every node that works on camera frames shares: its life, worker, counts, diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
import math
import threading
import time
from typing import Any, ClassVar

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from tunnel_crack_ros.frame_topic import frame_topic, TRANSPORTS
from tunnel_crack_ros.nodes import parameters as ros_parameters
from tunnel_crack_ros.nodes.allocator import give_back_memory
from tunnel_crack_ros.nodes.conversions import FrameMessage
from tunnel_crack_ros.nodes.counters import CameraCounters, StageTimes
from tunnel_crack_ros.nodes.diagnostics import Diagnostics
from tunnel_crack_ros.nodes.frame_slots import FrameSlots
from tunnel_crack_ros.nodes.frame_type import frame_type
from tunnel_crack_ros.nodes.matched_subscription import MatchedSubscription
from tunnel_crack_ros.nodes.parameters import parameter
from tunnel_crack_ros.nodes.qos import DEPTH
from tunnel_crack_ros.vision import FrameError, Model, ModelError

_LOOK_AROUND_S = 0.1    # between two looks at the publishers' quality of service
_DIAGNOSTICS_S = 1.0
_WARN_EVERY_S = 5.0     # the same warning of the same camera


@dataclass(frozen=True)
class CameraParameters:
    """Parameters that every camera node has."""

    cameras: list[str] = parameter(
        ['camera'], 'Names of the cameras; each brings its topics under its own name',
        not_empty=True)
    transport: str = parameter(
        'raw', 'How frames come in: raw (Image) or compressed (CompressedImage)',
        choices=TRANSPORTS)
    model: str = parameter(
        '', "Name of a model in the package's models folder, or path to an .onnx or .yaml file; "
            'empty: the default model')
    providers: list[str] = parameter(
        ['tensorrt', 'cuda', 'openvino', 'cpu'],
        'ONNX Runtime execution providers, the most wanted first; the CPU always comes last',
        choices=('tensorrt', 'cuda', 'openvino', 'cpu'))
    require_gpu: bool = parameter(
        False, 'Refuse to configure when neither TensorRT nor CUDA runs the model')
    threads: int = parameter(
        0, 'Threads of one inference; 0: as many as cores that the process may use', low=0,
        high=256)
    threshold: float = parameter(
        -1.0, 'Crack probability from which on a frame or pixel is crack, 0..1; negative: '
              "the model card's", low=-1.0, high=1.0, live=True)
    queue_depth: int = parameter(
        1, 'Frames of each camera that may wait for the worker; 1: only the newest', low=1,
        high=100)
    autostart: bool = parameter(
        True, 'Configure and activate at start, without a lifecycle manager')

    @property
    def chosen_threshold(self) -> float | None:
        """Return the threshold, 0..1; None: the model card's."""
        return self.threshold if self.threshold >= 0.0 else None

    def problem(self) -> str:
        """Say what of the values does not fit, or not together; '' when all does."""
        if not all(self.cameras):   # its topics would lie beside those of the cameras
            return f"parameter 'cameras' is {self.cameras}, expected no empty name"
        return ''


class CameraNode(LifecycleNode):
    """A lifecycle node with one worker thread that takes the cameras' newest frames in turn.

    A subscription callback only leaves its frame in a slot. Frames that a newer one overtakes,
    that cannot be read or that the model fails on are dropped, counted and published in
    /diagnostics. A subclass says which parameters it has, what it subscribes to, and what it does
    with a frame.
    """

    parameters_type: ClassVar[type[CameraParameters]] = CameraParameters
    input_name: ClassVar[str] = 'image_raw'
    input_rests: ClassVar[bool] = False     # whether it is no fault when no frame comes for long
    longest_frame_s: ClassVar[float] = 10.0     # so long on one frame, an engine or a disk hangs

    def __init__(self, name: str, overrides: Mapping[str, Any] | None = None) -> None:
        """Declare the parameters; everything else is made in on_configure.

        :param name: name of the node.
        :param overrides: parameter values that win over all others.
        """
        super().__init__(name, parameter_overrides=[
            Parameter(key, value=value) for key, value in (overrides or {}).items()])
        self.refused = ros_parameters.declare(self, self.parameters_type)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self.parameters: Any = ros_parameters.read(self, self.parameters_type)
        self.problem = ''
        self.model: Model | None = None
        self.counters: dict[str, CameraCounters] = {}
        self.times = StageTimes()
        self._slots: FrameSlots[FrameMessage] | None = None
        self._worker: threading.Thread | None = None
        self._inputs: list[MatchedSubscription] = []
        self._warned: dict[tuple[str, str], float] = {}
        self.active = False
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = Diagnostics(self)
        # steady: diagnostics and matching go on while a bag, and the ROS clock, stand still
        self.create_timer(_DIAGNOSTICS_S, self._publish_diagnostics, clock=self._steady)
        self.create_timer(_LOOK_AROUND_S, self._match_publishers, clock=self._steady)
        if self.parameters.autostart:
            self._autostart = self.create_timer(0.0, self._start, clock=self._steady)
        self._survive_wrong_transitions()

    # ---- life -------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and make the publishers."""
        if self.refused:
            return self._fail('; '.join(self.refused))
        self.parameters = ros_parameters.read(self, self.parameters_type)
        if problem := self.parameters.problem():
            return self._fail(problem)
        self.counters = {camera: CameraCounters() for camera in self.parameters.cameras}
        self.times = StageTimes()
        try:
            self.model = self.make_outputs()
        except (ModelError, OSError) as error:
            return self._fail(str(error))
        except Exception as error:  # rclpy would swallow it without a word
            return self._fail(f'{type(error).__name__}: {error}')
        self.problem = ''
        self.get_logger().info(f'{self.model.card.identity} runs on {self.model.provider}; '
                               f"cameras: {', '.join(self.parameters.cameras)}")
        if self.model.fallback:
            self.get_logger().warning(self.model.fallback)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe."""
        self._slots = FrameSlots(self.parameters.cameras, self.parameters.queue_depth)
        self._worker = threading.Thread(target=self._work, args=(self._slots,), daemon=True,
                                        name='worker')
        self._worker.start()
        try:
            for camera in self.parameters.cameras:
                self._inputs.append(self._subscribe(camera))
        except Exception as error:  # rclpy would swallow it without a word
            self._stop()
            self.get_logger().error(f'cannot activate: {type(error).__name__}: {error}')
            return TransitionCallbackReturn.FAILURE
        self.active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and let the worker finish its frame."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop the model, and its memory, and the publishers."""
        self.drop_outputs()
        self.model = None
        give_back_memory()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and drop everything, from whatever state."""
        self._stop()
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an exception in a transition."""
        self._stop()
        return self.on_cleanup(state)

    def destroy_node(self) -> None:
        """Stop the worker before the node goes."""
        self._stop()
        super().destroy_node()

    # ---- what a subclass does ---------------------------------------------------------------

    def make_outputs(self) -> Model:
        """Load the model and make the publishers.

        :raises ModelError: the model cannot be used.
        """
        raise NotImplementedError

    def drop_outputs(self) -> None:
        """Destroy what make_outputs made."""
        raise NotImplementedError

    def process(self, camera: str, message: FrameMessage) -> bool:
        """Work on one frame, in the worker's thread, and publish what comes of it.

        :return: whether the frame could be judged (False: UNKNOWN).
        :raises FrameError: the message holds no picture.
        :raises ModelError: the engine failed.
        """
        raise NotImplementedError

    def apply(self, parameters: Any) -> None:
        """Take over changed live parameters while configured."""

    def remark(self, camera: str) -> str:
        """Say what is wrong though the camera's frames get results; '' when nothing is."""
        return ''

    # ---- frames -----------------------------------------------------------------------------

    def _subscribe(self, camera: str) -> MatchedSubscription:
        counters = self.counters[camera]
        transport = self.parameters.transport
        return MatchedSubscription(
            self, frame_type(transport), frame_topic(f'{camera}/{self.input_name}', transport),
            partial(self._receive, camera), counters.lose,
            depth=max(DEPTH, self.parameters.queue_depth),  # as many may come at once
            hint='see the parameter transport')

    def _receive(self, camera: str, message: FrameMessage) -> None:
        counters, slots = self.counters[camera], self._slots
        if slots is not None:
            counters.receive()
            counters.drop('overtaken', slots.put(camera, message))

    def _work(self, slots: FrameSlots[FrameMessage]) -> None:
        while (taken := slots.take()) is not None:
            camera, message = taken
            counters = self.counters[camera]
            try:
                with counters.in_hand(), self.times.measure('frame'):
                    judged = self.process(camera, message)
                counters.finish(unknown=not judged)
            except FrameError as error:
                self._drop(camera, message, 'bad input', error)
            except ModelError as error:
                self._drop(camera, message, 'model error', error)
            except Exception as error:  # noqa: B902 one bad frame must not end the worker
                if not self.context.ok():
                    return
                self._drop(camera, message, 'error', error)
            if self.context.ok():
                self._note_latency(message)

    def _drop(self, camera: str, message: FrameMessage, reason: str, error: Exception) -> None:
        self.counters[camera].drop(reason)
        stamp = message.header.stamp
        self.warn(camera, reason,
                  f'frame {stamp.sec}.{stamp.nanosec:09d} dropped ({reason}): '
                  f"{type(error).__name__ + ': ' if reason == 'error' else ''}{error}")

    def warn(self, camera: str, reason: str, text: str) -> None:
        """Log a warning of a camera, unless one of the same reason was logged just now."""
        # rclpy's own throttle goes by the line of code: one camera would hush all others
        now = time.monotonic()
        if now - self._warned.get((camera, reason), -math.inf) < _WARN_EVERY_S:
            return
        self._warned[camera, reason] = now
        self.get_logger().warning(f'{camera}: {text}')

    def _note_latency(self, message: FrameMessage) -> None:
        stamp = message.header.stamp  # not by rclpy.time.Time: it raises on negative seconds
        age = self.get_clock().now().nanoseconds * 1e-9 - (stamp.sec + stamp.nanosec * 1e-9)
        if 0.0 <= age < 3600.0:  # a camera or bag with a clock of its own has no age
            self.times.add('since stamp', age)

    def _stop(self) -> None:
        self.active = False
        for subscription in self._inputs:
            subscription.destroy()
        self._inputs = []
        slots, self._slots = self._slots, None
        if slots is None:
            return
        for camera, left in slots.close().items():
            self.counters[camera].drop('deactivated', left)
        if self._worker is not None:
            self._worker.join()
            self._worker = None

    def _match_publishers(self) -> None:
        for subscription in self._inputs:
            subscription.match()

    # ---- start, parameters, diagnostics -----------------------------------------------------

    def _start(self) -> None:
        self.destroy_timer(self._autostart)
        if self.model is not None or self.problem:  # a lifecycle manager was faster
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _fail(self, reason: str) -> TransitionCallbackReturn:
        self.problem = reason
        self.get_logger().error(f'cannot configure: {reason}')
        self.drop_outputs()
        self.model = None
        return TransitionCallbackReturn.FAILURE

    def _survive_wrong_transitions(self) -> None:
        """Answer a transition that the state does not allow with 'no' instead of dying of it.

        rclpy lets the state machine's exception out of the service, which ends the executor.
        """
        change_state = self._service_change_state.callback

        def answer(request: ChangeState.Request,
                   response: ChangeState.Response) -> ChangeState.Response:
            try:
                return change_state(request, response)
            except RuntimeError as error:
                self.get_logger().warning(f'transition refused: {error}')
                response.success = False
                return response

        self._service_change_state.callback = answer

    def _on_set_parameters(self, given: list[Parameter]) -> SetParametersResult:
        reason = ros_parameters.reason_to_change_nothing(
            self.parameters_type, given, self.parameters if self.model is not None else None)
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        known = {p.name: p.value for p in given
                 if p.name in self.parameters_type.__dataclass_fields__}
        changed = ros_parameters.read(self, self.parameters_type, known)
        # values that belong together may come one by one before the node is configured
        if self.model is not None and (reason := changed.problem()):
            return SetParametersResult(successful=False, reason=reason)
        if known:
            self.refused = [r for r in self.refused
                            if not any(f"'{name}'" in r for name in known)]
            self.parameters = changed
            if self.model is not None:
                self.apply(self.parameters)
        return SetParametersResult(successful=True)

    def _publish_diagnostics(self) -> None:
        if self.context.ok():
            self._diagnostics.publish(self._inputs)
