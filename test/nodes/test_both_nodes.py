# SPDX-License-Identifier: Apache-2.0
"""The whole chain on real ROS 2: both nodes as processes, the shipped models, simulated frames.

What the nodes publish is held against the method run directly on the same bytes.
"""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Range
from tunnel_crack_msgs.msg import CrackArray, FrameVerdict
from visualization_msgs.msg import Marker, MarkerArray

from tunnel_crack_ros.nodes.conversions import rgb_from_msg
from tunnel_crack_ros.nodes.image_bridge import imgmsg_to_cv2
from tunnel_crack_ros.simulation import render_single
from tunnel_crack_ros.vision import (
    CrackClassifier,
    CrackSegmenter,
    Label,
    measure_cracks,
    Model,
    QualityGate,
    Scale,
    ScaleSource,
)
from tunnel_crack_ros.vision.model_folder import CLASSIFIER, SEGMENTER
from tunnel_crack_ros.vision.overlay import draw_overlay

SIZE = (384, 288)     # small, since the method segments every frame once more


@pytest.fixture(scope='module')
def method() -> SimpleNamespace:
    """Return the method as the nodes set it up by default."""
    return SimpleNamespace(classifier=CrackClassifier(Model.load(CLASSIFIER), QualityGate()),
                           segmenter=CrackSegmenter(Model.load(SEGMENTER)))


@pytest.fixture(scope='module')
def frames() -> list[np.ndarray]:
    """Return cracked and clean frames, one that is too dark and one that is too blurred."""
    cracked = [render_single(seed, size=SIZE, cracked=True).rgb for seed in range(3)]
    clean = [render_single(seed, size=SIZE, cracked=False).rgb for seed in (0, 6)]
    return [cracked[0], clean[0], cracked[0] // 20, cv2.GaussianBlur(clean[0], (0, 0), 9),
            *cracked[1:], clean[1]]


class Chain:
    """Both nodes, joined as in the launch file, and all they publish."""

    def __init__(self, bench, start, stamped, transport: str, cameras: tuple[str, ...]) -> None:
        self._stamped, self._transport = stamped, transport
        # frames are fed one after the other here: none may be overtaken
        both = {'transport': transport, 'queue_depth': 50, 'cameras': list(cameras)}
        self.classifier = start('classifier', wait='', **both)
        self.segmenter = start('segmenter', wait='', namespace=self.classifier.namespace, **both)
        topic, end = self.classifier.topic, '/compressed' * (transport == 'compressed')
        kind = CompressedImage if end else Image
        self.cameras = {camera: SimpleNamespace(
            name=camera,
            verdicts=bench.collect(FrameVerdict, topic(f'{camera}/verdict')),
            flagged=bench.collect(kind, topic(f'{camera}/flagged{end}')),
            masks=bench.collect(Image, topic(f'{camera}/mask')),
            confidences=bench.collect(Image, topic(f'{camera}/confidence')),
            cracks=bench.collect(CrackArray, topic(f'{camera}/cracks')),
            markers=bench.collect(MarkerArray, topic(f'{camera}/markers')),
            overlays=bench.collect(Image, topic(f'{camera}/overlay')),
            frames=bench.publisher(kind, topic(f'{camera}/image_raw{end}')),
            camera_info=bench.publisher(CameraInfo, topic(f'{camera}/camera_info')),
            range=bench.publisher(Range, topic(f'{camera}/range'))) for camera in cameras}
        self.classifier.wait_state('active')
        self.segmenter.wait_state('active')
        for at in self.cameras.values():
            bench.wait_matched(at.frames, at.camera_info, at.range)
            self._join(bench, at)

    def _join(self, bench, at: SimpleNamespace) -> None:
        """Publish a frame until its mask comes: then classifier and segmenter know each other."""
        frame = render_single(0, size=SIZE, cracked=True).rgb
        bench.wait_for(lambda: self.feed(at, [self.message(frame)]) or at.masks.messages,
                       f'no mask of {at.name}')
        last = self.message(frame)
        self.feed(at, [last])
        at.warm = len(at.verdicts)
        for topic in (at.flagged, at.masks, at.confidences, at.cracks, at.overlays):
            topic.find(lambda m: m.header == last.header, 'last of the first frames')
        at.markers.find(lambda m: m.markers[0].header == last.header, 'last of the first frames')
        for topic in (at.verdicts, at.flagged, at.masks, at.confidences, at.cracks, at.markers,
                      at.overlays):
            topic.messages.clear()

    def message(self, frame: np.ndarray) -> Any:
        if self._transport == 'raw':
            return self._stamped.raw(np.ascontiguousarray(frame[:, :, ::-1]), 'bgr8')
        _, data = cv2.imencode('.jpg', frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        return self._stamped.compressed(data.tobytes())

    def again(self, message: Any) -> Any:
        """Return the same picture under a new header."""
        return self._stamped.stamp(copy.deepcopy(message))

    def feed(self, at: SimpleNamespace, messages: list[Any]) -> None:
        """Publish frames, each once the verdict on the one before is there."""
        for number, message in enumerate(messages, len(at.verdicts) + 1):
            at.frames.publish(message)
            at.verdicts.wait(number)


@pytest.fixture(scope='module', params=['raw', 'compressed'])
def chain(bench, start, stamped, request) -> Chain:
    return Chain(bench, start, stamped, request.param, ('left', 'right'))


@pytest.fixture(scope='module')
def driven(chain, frames, method) -> SimpleNamespace:
    """Drive past the frames; return the messages in and out and what the method says itself."""
    at = chain.cameras['left']
    sent = [chain.message(frame) for frame in frames]
    chain.feed(at, sent)
    verdicts = method.classifier.classify([rgb_from_msg(message) for message in sent])
    flagged = [message for message, verdict in zip(sent, verdicts)
               if verdict.label is Label.CRACK]
    for topic in (at.flagged, at.masks, at.confidences, at.cracks, at.markers, at.overlays):
        topic.wait(len(flagged))
    return SimpleNamespace(
        at=at, sent=sent, verdicts=verdicts, flagged=flagged,
        segmentations=[method.segmenter.segment(rgb_from_msg(message)) for message in flagged])


def test_every_frame_gets_the_verdict_that_the_method_gives(driven, method):
    assert [v.header for v in driven.at.verdicts.messages] == [m.header for m in driven.sent]
    for live, own in zip(driven.at.verdicts.messages, driven.verdicts):
        assert (live.verdict, live.reason, live.camera) == (own.label, own.reason, 'left')
        assert live.crack_probability == pytest.approx(own.crack_probability, abs=1e-6,
                                                       nan_ok=True)
        assert live.threshold == pytest.approx(own.threshold)
        assert live.model == method.classifier.model.card.identity


def test_the_drive_holds_cracked_and_clean_frames_and_such_that_cannot_be_judged(driven):
    labels = [verdict.label for verdict in driven.verdicts]
    assert labels.count(Label.CRACK) >= 2
    assert labels.count(Label.NO_CRACK) >= 1
    assert labels[2:4] == [Label.UNKNOWN] * 2
    assert driven.at.verdicts.messages[2].reason.startswith('too dark')
    assert driven.at.verdicts.messages[3].reason.startswith('too blurred')


def test_flagged_frames_are_passed_on_as_they_came(driven):
    assert driven.at.flagged.messages == driven.flagged


def test_only_flagged_frames_are_segmented_and_every_output_keeps_their_header(driven):
    headers = [message.header for message in driven.flagged]
    for topic in (driven.at.masks, driven.at.confidences, driven.at.cracks, driven.at.overlays):
        assert [message.header for message in topic.messages] == headers
    for markers, header in zip(driven.at.markers.messages, headers, strict=True):
        assert markers.markers and all(marker.header == header for marker in markers.markers)


def test_live_masks_are_those_of_the_method_pixel_for_pixel(driven):
    for live, own in zip(driven.at.masks.messages, driven.segmentations, strict=True):
        assert live.encoding == 'mono8'
        assert np.array_equal(imgmsg_to_cv2(live), own.mask)
    assert any(own.mask.any() for own in driven.segmentations)


def test_live_confidences_are_those_of_the_method(driven):
    for live, own in zip(driven.at.confidences.messages, driven.segmentations, strict=True):
        assert np.array_equal(imgmsg_to_cv2(live), np.round(own.confidence * 255))


def test_live_overlays_are_those_of_the_method(driven):
    for live, own, message in zip(driven.at.overlays.messages, driven.segmentations,
                                  driven.flagged, strict=True):
        drawn = draw_overlay(rgb_from_msg(message), own.mask, measure_cracks(own))
        assert np.array_equal(imgmsg_to_cv2(live, 'rgb8'), drawn)


def test_live_cracks_are_those_of_the_method_and_have_no_millimetres(driven, method):
    for live, own in zip(driven.at.cracks.messages, driven.segmentations, strict=True):
        cracks = measure_cracks(own)
        assert (live.camera, live.model) == ('left', method.segmenter.model.card.identity)
        assert (live.frame_width_px, live.frame_height_px) == SIZE
        assert live.scale_source == CrackArray.SCALE_NONE
        assert math.isnan(live.mm_per_px) and math.isnan(live.mm_per_px_sigma)
        assert [crack.id for crack in live.cracks] == [crack.id for crack in cracks]
        for said, crack in zip(live.cracks, cracks):
            assert said.kind == crack.kind
            box = said.bounding_box
            assert (box.x_px, box.y_px, box.width_px, box.height_px) == crack.bounding_box
            for name in ('length_px', 'width_mean_px', 'width_p95_px', 'width_max_px',
                         'confidence', 'area_px', 'orientation', 'tortuosity'):
                assert getattr(said, name) == pytest.approx(getattr(crack, name), rel=1e-5,
                                                            nan_ok=True)
            assert math.isnan(said.length_mm) and math.isnan(said.width_mean_mm)
            points = [(point.x_px, point.y_px, point.width_px) for point in said.centre_line]
            assert np.allclose(points, np.column_stack([crack.centre_line, crack.widths_px]))
            assert all(math.isnan(point.width_mm) for point in said.centre_line)


def test_the_second_camera_goes_through_the_same_nodes_and_nothing_is_mixed_up(chain, driven):
    left, right = chain.cameras['left'], chain.cameras['right']
    before = len(left.verdicts)
    sent = [chain.again(message) for message in driven.flagged[:2]]
    chain.feed(right, sent)
    assert [m.header for m in right.masks.wait(2)] == [m.header for m in sent]
    assert {m.camera for m in right.cracks.wait(2)} == {'right'}
    assert {v.camera for v in right.verdicts.messages} == {'right'}
    assert len(left.verdicts) == before


def test_all_frames_are_accounted_for(chain, driven):
    fed = driven.at.warm + len(driven.sent)
    chain.classifier.counted('left', frames_in=fed, done=fed, unknown=2, waiting=0, dropped=0,
                             lost_on_the_way=0)
    counts = chain.segmenter.counted('left', unknown=0, waiting=0, dropped=0, lost_on_the_way=0)
    assert counts['frames in'] == counts['done'] > len(driven.flagged)


def test_with_calibration_and_range_cracks_have_millimetres(bench, chain, driven):
    at = chain.cameras['right']
    info = CameraInfo(width=SIZE[0], height=SIZE[1],
                      k=[800.0, 0.0, 192.0, 0.0, 800.0, 144.0, 0.0, 0.0, 1.0])
    distance = Range(min_range=0.2, max_range=20.0, range=2.0)
    live = fed_until(bench, chain, at, driven, CrackArray.SCALE_CAMERA_INFO_RANGE,
                     lambda: (at.camera_info.publish(info), at.range.publish(distance)))
    assert live.mm_per_px == pytest.approx(2.5)     # 2000 mm / 800 px
    cracks = measure_cracks(driven.segmentations[0],
                            Scale(2.5, source=ScaleSource.CAMERA_INFO_RANGE))
    for said, crack in zip(live.cracks, cracks, strict=True):
        assert said.length_mm == pytest.approx(crack.length_mm, rel=1e-5)
        assert said.width_mean_mm == pytest.approx(crack.width_mean_mm, rel=1e-5)
        assert said.area_mm2 == pytest.approx(crack.area_mm2, rel=1e-5)
        assert said.width_floor_mm == pytest.approx(2.5, rel=1e-5)
        # one pixel and more; what is narrower has no number
        widths = np.where(crack.widths_px >= 0.999, crack.widths_px * 2.5, math.nan)
        assert [point.width_mm for point in said.centre_line] == pytest.approx(
            widths.tolist(), rel=1e-5, nan_ok=True)
        assert said.scale_source == CrackArray.SCALE_CAMERA_INFO_RANGE
        assert said.mm_per_px == pytest.approx(2.5, rel=1e-5)
        # 10 mm in 2 m of distance, 0.2 % of focal length, at least
        assert said.mm_per_px_sigma >= 2.5 * math.hypot(0.005, 0.002) * 0.99
        assert math.isnan(said.chainage_m) and math.isnan(said.clock_h)
    # and they have a place in space: on the lining 2 m before the camera
    markers = at.markers.find(lambda m: m.markers[0].header == live.header, 'markers').markers
    lines = [marker for marker in markers if marker.type == Marker.LINE_STRIP
             and marker.action == Marker.ADD]
    assert len(lines) == len(cracks)
    first = lines[0].points[0]
    x, y = cracks[0].centre_line[0]
    assert (first.x, first.y, first.z) == pytest.approx(
        ((x - 192) * 2.5e-3, (y - 144) * 2.5e-3, 2.0), rel=1e-4, abs=1e-6)


def test_a_range_beyond_the_sensors_gives_no_millimetres(bench, chain, driven):
    at = chain.cameras['right']
    for found in (25.0, 0.1, math.inf, math.nan):
        live = fed_until(
            bench, chain, at, driven, CrackArray.SCALE_NONE, lambda found=found:
            at.range.publish(Range(min_range=0.2, max_range=20.0, range=found)))
        assert math.isnan(live.mm_per_px)
        assert all(math.isnan(crack.length_mm) for crack in live.cracks)
        fed_until(bench, chain, at, driven, CrackArray.SCALE_CAMERA_INFO_RANGE, lambda:
                  at.range.publish(Range(min_range=0.2, max_range=20.0, range=2.0)))


def test_what_an_operator_says_of_the_scale_wins(bench, chain, driven):
    at = chain.cameras['right']
    assert chain.segmenter.set(lining_distance_m=4.0) == ''
    live = fed_until(bench, chain, at, driven, CrackArray.SCALE_CAMERA_INFO_DISTANCE)
    assert live.mm_per_px == pytest.approx(5.0)
    assert chain.segmenter.set(mm_per_px=0.8) == ''
    live = fed_until(bench, chain, at, driven, CrackArray.SCALE_PARAMETER)
    assert live.mm_per_px == pytest.approx(0.8)
    assert chain.segmenter.set(mm_per_px=0.0, lining_distance_m=0.0) == ''


def fed_until(bench, chain, at, driven, source: int, prepare=lambda: None) -> CrackArray:
    """Publish a flagged frame until its cracks come with a scale of this source.

    A message on one topic may overtake one on another: what is prepared may come a frame late.
    """
    def fed() -> CrackArray | None:
        prepare()
        message = chain.again(driven.flagged[0])
        chain.feed(at, [message])
        found = at.cracks.find(lambda m: m.header == message.header, 'cracks')
        return found if found.scale_source == source else None

    return bench.wait_for(fed, f'no cracks with a scale of source {source}')


def test_the_drive_was_without_errors(chain, driven):
    assert 'ERROR' not in chain.classifier.log() + chain.segmenter.log()
    assert chain.classifier.state() == chain.segmenter.state() == 'active'
