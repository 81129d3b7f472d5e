# SPDX-License-Identifier: Apache-2.0
"""Bags of one camera."""

import pytest
from recorded_images import image, IMAGE_TYPE, MS, STORE
from rosbags.rosbag2 import StoragePlugin, Writer


@pytest.fixture
def record(tmp_path):
    """Write messages of one camera, as bytes, every 100 ms."""
    def bag(messages, storage=StoragePlugin.MCAP, first=1):
        folder = tmp_path / 'bag'
        with Writer(folder, version=9, storage_plugin=storage) as writer:
            topic = writer.add_connection('/left/image_raw', IMAGE_TYPE, typestore=STORE)
            for number, message in enumerate(messages):
                writer.write(topic, (number + first) * 100 * MS, message)
        return folder
    return bag


@pytest.fixture
def large(record):
    """Write 12 frames in several chunks."""
    return record([image(number, 100 * (number + 1), side=700) for number in range(12)])
