# SPDX-License-Identifier: Apache-2.0
"""Where messages of frames and verdicts meet the method's values. Header in, header out."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from tunnel_crack_msgs.msg import FrameVerdict

from tunnel_crack_ros.nodes.image_bridge import cv2_to_imgmsg, imgmsg_to_cv2
from tunnel_crack_ros.vision import RgbFrame, Verdict
from tunnel_crack_ros.vision.frame import rgb_from_compressed

FrameMessage: TypeAlias = 'Image | CompressedImage'


def rgb_from_msg(message: FrameMessage) -> RgbFrame:
    """Decode a camera frame.

    :return: uint8, H x W x 3, RGB.
    :raises FrameError: the message does not hold the picture it promises.
    """
    if isinstance(message, CompressedImage):
        return rgb_from_compressed(memoryview(message.data), message.format)
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
