# SPDX-License-Identifier: Apache-2.0
"""Bags whose recording never ended, or whose bytes went bad: what is whole is read."""

from contextlib import closing
import logging
import math
import shutil
import sqlite3
import struct

from backports import zstd
import lz4.frame
import pytest
from recorded_images import image, IMAGE_TYPE, MS, STORE, values
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

from tunnel_crack_ros.inspection.sources import open_source, SourceError
from tunnel_crack_ros.inspection.sources.cut_off_mcap import CutOffMcap, whole_part

RANGE = 'sensor_msgs/msg/Range'


@pytest.mark.parametrize('broken', [0, 1, 2])
def test_a_frame_whose_bytes_are_no_message_is_an_unreadable_frame(record, broken):
    messages = [image(10 + number, 100 * (number + 1)) for number in range(3)]
    messages[broken] = messages[broken][:9]
    frames = list(open_source(record(messages)))
    expected = [10, 11, 12]
    expected[broken] = None
    assert values(frames) == expected
    assert frames[broken].error.startswith(f'no {IMAGE_TYPE}: ')
    assert frames[broken].stamp == (0, (broken + 1) * 100 * MS)
    assert frames[broken].camera == 'left'
    assert len({frame.name for frame in frames}) == 3


def test_sensors_whose_bytes_are_no_message_say_nothing_and_are_told(tmp_path, caplog):
    folder = tmp_path / 'bag'
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = [writer.add_connection(*topic, typestore=STORE) for topic in (
            ('/left/camera_info', 'sensor_msgs/msg/CameraInfo'),
            ('/left/range', 'sensor_msgs/msg/Range'), ('/odometry', 'nav_msgs/msg/Odometry'),
            ('/left/depth', IMAGE_TYPE), ('/left/image_raw', IMAGE_TYPE))]
        for number, topic in enumerate(topics[:-1]):
            writer.write(topic, (number + 1) * MS, b'\0\1\0\0no')
        writer.write(topics[-1], 9 * MS, image(7, 9))
    with caplog.at_level(logging.WARNING):
        frame, = open_source(folder)
    assert values([frame]) == [7] and frame.sensed.calibration is None
    for topic in ('/left/camera_info', '/left/range', '/odometry', '/left/depth'):
        assert f'{folder}: 1 of 1 messages on {topic} cannot be read' in caplog.text


def test_distances_of_a_humble_recording_are_read_though_its_type_is_another(tmp_path, caplog):
    humble = get_typestore(Stores.ROS2_HUMBLE)
    folder = tmp_path / 'bag'
    header = humble.types['std_msgs/msg/Header'](
        frame_id='laser', stamp=humble.types['builtin_interfaces/msg/Time'](sec=0, nanosec=MS))
    with Writer(folder, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        laser = writer.add_connection('/left/range', RANGE, typestore=humble)
        writer.write(laser, MS, humble.serialize_cdr(humble.types[RANGE](
            header=header, radiation_type=1, field_of_view=0.1, min_range=0.1, max_range=30.0,
            range=2.5), RANGE))
        camera = writer.add_connection('/left/image_raw', IMAGE_TYPE, typestore=humble)
        writer.write(camera, 2 * MS, image(7, 2))
    without_definitions(folder / 'bag.db3')
    frame, = open_source(folder)
    assert frame.sensed.range_m == 2.5 and math.isnan(frame.sensed.range_sigma_m)
    assert not caplog.records


def without_definitions(file):
    """Make of an SQLite recording one as Humble writes it."""
    with closing(sqlite3.connect(file)) as content, content:
        content.execute('DELETE FROM message_definitions')
        content.execute("UPDATE topics SET type_description_hash = ''")


def cut_off(folder, share):
    """Leave a recording as a loss of power does: without its end and without metadata.yaml."""
    recording, = folder.glob('bag.*')
    content = recording.read_bytes()
    recording.write_bytes(content[:int(len(content) * share)])
    (folder / 'metadata.yaml').unlink()
    return recording


@pytest.mark.parametrize('share', [0.999, 0.5])
def test_a_recording_that_never_ended_is_read_as_far_as_it_goes(large, share, caplog):
    recording = cut_off(large, share)
    with caplog.at_level(logging.WARNING):
        source = open_source(large)
    frames = list(source)
    assert len(source) == len(frames)
    assert 12 * share - 3 <= len(frames) <= 12 * share
    assert values(frames) == list(range(len(frames)))
    assert caplog.text.count(f'{recording}: cut off, as by a loss of power; read up to byte') == 1
    assert values(open_source(recording)) == values(frames)     # the file alone will do
    assert values(open_source(large.parent)) == values(frames)  # and the folder around it


def test_of_a_recording_in_several_files_only_the_last_is_cut_off(large, record, caplog):
    whole, = large.glob('bag.*')
    shutil.move(whole, large / 'bag_0.mcap')
    with Writer(large.parent / 'next', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection('/left/image_raw', IMAGE_TYPE, typestore=STORE)
        for number in range(12, 24):
            writer.write(topic, (number + 1) * 100 * MS, image(number, 100 * (number + 1), 700))
    shutil.move(large.parent / 'next' / 'next.mcap', large / 'bag.mcap')
    cut_off(large, 0.5)
    (large / 'bag.mcap').rename(large / 'bag_1.mcap')
    frames = list(open_source(large))
    assert 12 < len(frames) < 24
    assert values(frames) == list(range(len(frames)))


def test_a_file_that_lost_its_end_later_is_read_though_its_metadata_is_there(large):
    recording, = large.glob('bag.mcap')
    recording.write_bytes(recording.read_bytes()[:-20])
    assert values(open_source(large)) == list(range(12))


@pytest.mark.parametrize('storage', list(StoragePlugin))
def test_frames_are_read_though_the_metadata_counts_none(record, storage):
    folder = record([image(5, 100), image(6, 200)], storage)
    metadata = folder / 'metadata.yaml'
    text = metadata.read_text()
    assert 'message_count: 2' in text
    metadata.write_text(text.replace('message_count: 2', 'message_count: 0'))
    source = open_source(folder)
    assert values(source) == [5, 6] and len(source) == 2


def test_a_recording_that_ended_before_its_first_chunk_has_no_frames(large):
    cut_off(large, 0.0001)
    with pytest.raises(SourceError, match='no topic of type'):
        open_source(large)


def test_a_chunk_of_bad_bytes_ends_the_reading_after_what_was_before(large):
    recording, = large.glob('bag.mcap')
    content = bytearray(recording.read_bytes())
    record, chunks = 8, []
    while record < len(content) - 8:
        opcode, length = struct.unpack_from('<BQ', content, record)
        chunks += [record] if opcode == 6 else []
        record += 9 + length
    assert len(chunks) >= 3
    struct.pack_into('<I', content, chunks[1] + 9 + 24, 1)      # its checksum
    recording.write_bytes(content)
    frames = []
    with pytest.raises(SourceError, match=f'{large}: broken, cannot be read any further: '):
        frames.extend(open_source(large))
    assert 2 <= len(frames) < 9 and values(frames) == list(range(len(frames)))


@pytest.mark.parametrize('kind', ['', 'lz4', 'zstd'])
def test_messages_in_any_order_of_time_and_packed_chunks_are_read(large, kind):
    """Recorders note when a message was received, but write as they get to it."""
    recording = cut_off(large, 1.0)
    recording.write_bytes(disordered(recording.read_bytes(), kind)[:-20])
    frames = list(open_source(recording))
    assert values(frames) == list(range(12))
    assert len(open_source(recording)) == 12


def test_a_broken_chunk_of_a_recording_that_never_ended_is_left_out(large, caplog):
    recording = cut_off(large, 1.0)
    content = disordered(recording.read_bytes(), 'lz4')[:-20]
    second = [start for start in range(len(content)) if content.startswith(b'lz4', start)][1]
    recording.write_bytes(content[:second + 11] + bytes(8) + content[second + 19:])
    with caplog.at_level(logging.WARNING):
        found = values(open_source(recording))
    assert 0 < len(found) < 12 and 0 in found and 11 in found
    assert 'is broken and left out' in caplog.text


def disordered(content, kind):
    """Swap the first two messages of a chunk, and compress its records."""
    packed = {'': bytes, 'lz4': lz4.frame.compress, 'zstd': zstd.compress}[kind]
    result, record, swapped = bytearray(content[:8]), 8, False
    while record < len(content) - 8:
        opcode, length = struct.unpack_from('<BQ', content, record)
        body = content[record + 9:record + 9 + length]
        if opcode == 6:
            assert body[28:32] == bytes(4)      # not compressed yet
            inside, parts = body[40:], []
            while inside:
                size = 9 + struct.unpack_from('<Q', inside, 1)[0]
                parts.append(inside[:size])
                inside = inside[size:]
            at = [number for number, part in enumerate(parts) if part[0] == 5][:2]
            if len(at) == 2:
                parts[at[0]], parts[at[1]], swapped = parts[at[1]], parts[at[0]], True
            records = packed(b''.join(parts))
            body = (body[:24] + bytes(4) + struct.pack('<I', len(kind)) + kind.encode()
                    + struct.pack('<Q', len(records)) + records)
        if opcode in (6, 3, 4, 1):
            result += struct.pack('<BQ', opcode, len(body)) + body
        record += 9 + length
    assert swapped
    return bytes(result) + bytes(20)


def test_the_whole_part_of_a_file(large):
    recording, = large.glob('bag.mcap')
    assert whole_part(recording) is None
    size = recording.stat().st_size
    with recording.open('r+b') as content:
        content.truncate(size - 1)
    length = whole_part(recording)
    assert size - 40 <= length < size - 1
    completed = CutOffMcap(recording, length)
    with completed.open('rb') as content:
        read = content.read()
        assert read[:length] == recording.read_bytes()[:length]
        assert read[-37:-20] == b'\x02\x14' + bytes(7) + struct.pack('<Q', length)
        assert content.seek(-8, 2) == len(read) - 8
        assert content.read(20) == b'\x89MCAP0\r\n'
    other = recording.with_name('other.mcap')
    other.write_bytes(b'something else altogether')
    assert whole_part(other) is None
