# SPDX-License-Identifier: Apache-2.0
"""Messages of a camera as a bag holds them, and what is seen of them when it is read."""

import numpy as np
from rosbags.typesys import get_typestore, Stores

STORE = get_typestore(Stores.ROS2_JAZZY)
IMAGE_TYPE = 'sensor_msgs/msg/Image'
MS = 1_000_000


def image(value, ms, side=32):
    header = STORE.types['std_msgs/msg/Header'](
        frame_id='eye', stamp=STORE.types['builtin_interfaces/msg/Time'](sec=0, nanosec=ms * MS))
    message = STORE.types[IMAGE_TYPE](
        header=header, height=side, width=side, encoding='mono8', step=side, is_bigendian=0,
        data=np.full(side * side, value, np.uint8))
    return bytes(STORE.serialize_cdr(message, IMAGE_TYPE))


def values(frames):
    return [None if frame.rgb is None else int(frame.rgb[0, 0, 0]) for frame in frames]
