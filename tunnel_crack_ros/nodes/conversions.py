# SPDX-License-Identifier: Apache-2.0
"""Where messages and the method's values meet. Header in, header out."""

from __future__ import annotations

import math
from typing import TypeAlias

from geometry_msgs.msg import Point
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Range
from std_msgs.msg import ColorRGBA, Header
from tunnel_crack_msgs.msg import BoundingBox, CentreLinePoint, CrackArray, FrameVerdict
from tunnel_crack_msgs.msg import Crack as CrackMsg
from visualization_msgs.msg import Marker, MarkerArray

from tunnel_crack_ros.nodes.image_bridge import cv2_to_imgmsg, imgmsg_to_cv2
from tunnel_crack_ros.vision import (
    Crack,
    CrackKind,
    MeasureRules,
    RgbFrame,
    Scale,
    ScaleSource,
    Verdict,
)
from tunnel_crack_ros.vision.frame import rgb_from_compressed
from tunnel_crack_ros.vision.overlay import label_text

FrameMessage: TypeAlias = 'Image | CompressedImage'


def rgb_from_msg(message: FrameMessage) -> RgbFrame:
    """Decode a camera frame.

    :return: uint8, H x W x 3, RGB.
    :raises FrameError: the message does not hold the picture it promises.
    """
    if isinstance(message, CompressedImage):
        return rgb_from_compressed(memoryview(message.data))
    return np.asarray(imgmsg_to_cv2(message, 'rgb8'), np.uint8)


def verdict_to_msg(verdict: Verdict, header: Header, camera: str, model: str) -> FrameVerdict:
    """Say stage 1's word."""
    return FrameVerdict(header=header, camera=camera, verdict=int(verdict.label),
                        crack_probability=verdict.crack_probability, threshold=verdict.threshold,
                        reason=verdict.reason, model=model)


def mask_to_msg(mask: npt.NDArray[np.uint8], header: Header) -> Image:
    """Turn a mask (H x W, 0 or 255) into a mono8 image."""
    return cv2_to_imgmsg(mask, 'mono8', header)


def confidence_to_msg(confidence: npt.NDArray[np.float32], header: Header) -> Image:
    """Turn a confidence map (H x W, 0..1) into a mono8 image, 255 = 1."""
    return cv2_to_imgmsg(np.round(confidence * 255.0).astype(np.uint8), 'mono8', header)


def overlay_to_msg(overlay: RgbFrame, header: Header) -> Image:
    """Turn an overlay (RGB) into an rgb8 image."""
    return cv2_to_imgmsg(overlay, 'rgb8', header)


def heat_map_to_msg(values: npt.NDArray[np.float32], header: Header) -> Image:
    """Turn a heat map (H x W, 0..1) into a 32FC1 image."""
    return cv2_to_imgmsg(values, '32FC1', header)


def heat_picture_to_msg(picture: RgbFrame, header: Header) -> Image:
    """Turn a frame with its heat map (RGB) into a bgr8 image."""
    return cv2_to_imgmsg(np.ascontiguousarray(picture[:, :, ::-1]), 'bgr8', header)


def cracks_to_msg(cracks: list[Crack], header: Header, camera: str, model: str, threshold: float,
                  size: tuple[int, int], scale: Scale) -> CrackArray:
    """Turn the cracks of a frame into a message.

    :param size: height and width of the frame, px.
    """
    return CrackArray(header=header, camera=camera, frame_width_px=size[1],
                      frame_height_px=size[0], model=model, threshold=threshold,
                      scale_source=int(scale.source), mm_per_px=scale.mm_per_px,
                      mm_per_px_sigma=scale.sigma, cracks=[_crack_to_msg(c) for c in cracks])


def _crack_to_msg(crack: Crack) -> CrackMsg:
    left, top, width, height = crack.bounding_box
    message = CrackMsg(
        id=crack.id, confidence=crack.confidence,
        bounding_box=BoundingBox(x_px=left, y_px=top, width_px=width, height_px=height),
        kind=int(crack.kind), touches_border=crack.touches_border)
    for name in ('length_px', 'length_mm', 'length_sigma_mm', 'width_mean_px', 'width_p95_px',
                 'width_max_px', 'width_mean_mm', 'width_p95_mm', 'width_max_mm',
                 'width_sigma_px', 'width_sigma_mm', 'area_px', 'area_mm2', 'orientation',
                 'tortuosity'):
        setattr(message, name, float(getattr(crack, name)))
    message.centre_line = [
        CentreLinePoint(x_px=float(x), y_px=float(y), width_px=float(w),
                        width_mm=float(w) * crack.mm_per_px)
        for (x, y), w in zip(crack.centre_line, crack.widths_px)]
    return message


def cracks_to_markers(cracks: list[Crack], header: Header, camera: str, scale: Scale,
                      camera_info: CameraInfo | None) -> MarkerArray:
    """Draw the cracks in space, on the lining before the camera.

    Without a scale or a calibration there is no place in space: then only older markers go.

    :param camera_info: of the frame's camera; None: not known.
    """
    markers = MarkerArray(markers=[Marker(header=header, ns=camera, action=Marker.DELETEALL)])
    if camera_info is None or not scale.known or camera_info.k[0] <= 0.0:
        return markers
    focal_x, focal_y = camera_info.k[0], camera_info.k[4] or camera_info.k[0]
    centre_x, centre_y = camera_info.k[2], camera_info.k[5]
    distance = scale.mm_per_px / 1000.0 * focal_x
    for crack in cracks:
        places = [Point(x=(float(x) - centre_x) / focal_x * distance,
                        y=(float(y) - centre_y) / focal_y * distance, z=distance)
                  for x, y in crack.centre_line]
        line = _marker(header, camera, 2 * crack.id, Marker.LINE_STRIP, ColorRGBA(r=1.0, a=1.0))
        line.points = places if len(places) > 1 else places * 2
        # a hairline at its true width is not seen in RViz
        line.scale.x = max(crack.width_mean_px * scale.mm_per_px / 1000.0, distance / 400.0)
        text = _marker(header, camera, 2 * crack.id + 1, Marker.TEXT_VIEW_FACING,
                       ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0))
        text.text, text.scale.z = label_text(crack), distance / 40.0
        text.pose.position = places[len(places) // 2]
        markers.markers += [line, text]
    return markers


def _marker(header: Header, camera: str, number: int, kind: int, colour: ColorRGBA) -> Marker:
    marker = Marker(header=header, ns=camera, id=number, type=kind, action=Marker.ADD,
                    color=colour)
    marker.pose.orientation.w = 1.0
    return marker


def focal_length_px(camera_info: CameraInfo | None) -> float:
    """Return fx of a calibration, px; NaN when there is none."""
    return float(camera_info.k[0]) if camera_info is not None and camera_info.k[0] > 0 \
        else math.nan


def range_m(found: Range) -> float:
    """Return a measured distance, m; NaN when it is out of the sensor's own range."""
    return float(found.range) if found.min_range <= found.range <= found.max_range else math.nan


def stamp_ns(header: Header) -> int:
    """Return a header's stamp, ns."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def scale_from_msg(message: CrackArray) -> Scale:
    """Return the scale that a message's millimetres were made with."""
    return Scale(message.mm_per_px, message.mm_per_px_sigma, ScaleSource(message.scale_source))


def cracks_from_msg(message: CrackArray) -> list[Crack]:
    """Turn a message back into cracks."""
    return [_crack_from_msg(crack, message.mm_per_px) for crack in message.cracks]


def _crack_from_msg(message: CrackMsg, mm_per_px: float) -> Crack:
    box = message.bounding_box
    line = np.array([(p.x_px, p.y_px) for p in message.centre_line], np.float32).reshape(-1, 2)
    # the message does not say the floor: the default one, as far as it fits what is said
    floor = MeasureRules().resolvable_px
    if not math.isnan(mm_per_px):
        floor = max(floor, 1.01 * message.width_mean_px) if math.isnan(message.width_mean_mm) \
            else min(floor, message.width_mean_px)
    return Crack(
        id=message.id, confidence=message.confidence,
        bounding_box=(box.x_px, box.y_px, box.width_px, box.height_px), centre_line=line,
        widths_px=np.array([p.width_px for p in message.centre_line], np.float32),
        length_px=message.length_px, width_mean_px=message.width_mean_px,
        width_p95_px=message.width_p95_px, width_max_px=message.width_max_px,
        area_px=message.area_px, orientation=message.orientation, tortuosity=message.tortuosity,
        kind=CrackKind(message.kind), touches_border=message.touches_border, mm_per_px=mm_per_px,
        length_sigma_mm=message.length_sigma_mm, width_sigma_px=message.width_sigma_px,
        width_sigma_mm=message.width_sigma_mm, width_floor_px=floor)
