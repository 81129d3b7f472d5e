# SPDX-License-Identifier: Apache-2.0
"""Bags that rosbags cannot open where they lie: compressed, with a log, of odd names."""

from contextlib import closing
import shutil
import sqlite3
import struct

from backports import zstd
import numpy as np
import pytest
from recorded_images import image, IMAGE_TYPE, MS, STORE, values
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from tunnel_crack_ros.inspection.sources import open_source, SourceError


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """Return the folder that temporary files go to."""
    folder = tmp_path / 'temporary'
    folder.mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(folder))
    return folder


def pack(file):
    """Compress a file as `ros2 bag record --compression-mode file` does."""
    packed = file.with_name(f'{file.name}.zstd')
    packed.write_bytes(zstd.compress(file.read_bytes()))
    return packed


@pytest.mark.parametrize('storage', list(StoragePlugin))
def test_parts_that_were_compressed_before_a_loss_of_power_are_read(record, storage, copies):
    folder = record([image(5, 100), image(6, 200)], storage)
    last, = folder.glob('bag.*')
    first = last.rename(folder / f'bag_0{last.suffix}')
    packed = pack(first)
    first.unlink()
    folder.rename(folder.with_name('first'))
    record([image(7, 300)], storage, first=3)
    shutil.move(folder.with_name('first') / packed.name, folder)
    (folder / 'metadata.yaml').unlink()
    source = open_source(folder)
    assert values(source) == values(source) == [5, 6, 7] and len(source) == 3
    assert values(open_source(folder / packed.name)) == [5, 6]      # the file alone will do
    assert len(list(copies.iterdir())) == 1
    del source
    assert not list(copies.iterdir())


def test_of_a_part_that_was_being_compressed_the_other_file_is_read(large, copies):
    part, = large.glob('bag.mcap')
    packed = pack(part)
    packed.write_bytes(packed.read_bytes()[:100])
    (large / 'metadata.yaml').unlink()
    assert values(open_source(large)) == list(range(12))
    assert not list(copies.iterdir())


def test_a_compressed_part_that_lost_its_end_is_read_as_far_as_it_goes(large, caplog):
    part, = large.glob('bag.mcap')
    rng = np.random.default_rng(0)      # or all of it would be in one block
    part.write_bytes(part.read_bytes() + bytes([5]) + struct.pack('<Q', 2**18)
                     + rng.bytes(2**18))
    packed = pack(part)
    part.unlink()
    packed.write_bytes(packed.read_bytes()[:-2**17])
    (large / 'metadata.yaml').unlink()
    assert values(open_source(large)) == list(range(12))
    assert f'{packed}: broken, read as far as it can be decompressed: ' in caplog.text


@pytest.mark.parametrize('storage', list(StoragePlugin))
def test_messages_that_were_compressed_each_are_read_without_metadata(record, storage):
    folder = record([zstd.compress(image(5, 100)), zstd.compress(image(6, 200)), b'(\xb5/\xfdno'],
                    storage)
    (folder / 'metadata.yaml').unlink()
    frames = list(open_source(folder))
    assert values(frames) == [5, 6, None] and 'ZstdError' in frames[-1].error


def test_an_empty_part_of_a_recording_is_left_out(large, caplog):
    part, = large.glob('bag.mcap')
    part.rename(large / 'bag_0.mcap')
    (large / 'metadata.yaml').unlink()
    (large / 'bag_1.mcap').touch()
    assert values(open_source(large)) == list(range(12))
    assert f'{large}/bag_1.mcap: empty, left out' in caplog.text


def lose_power(folder, messages):
    """Leave an SQLite recording as the recorder's preset `resilient` does: partly in its log."""
    recording, = folder.glob('*.db3')
    writing = folder.with_name('writing.db3')
    shutil.move(recording, writing)
    with closing(sqlite3.connect(writing)) as content:
        content.execute('PRAGMA journal_mode=WAL')
        for number, message in messages:
            content.execute('INSERT INTO messages (topic_id, timestamp, data) VALUES(1, ?, ?)',
                            (number * 100 * MS, message))
        content.commit()
        shutil.copyfile(writing, recording)
        shutil.copyfile(f'{writing}-wal', f'{recording}-wal')
    return recording


@pytest.mark.parametrize('has_metadata', [False, True])
def test_what_is_in_the_log_of_an_sqlite_recording_only_is_read(
        record, has_metadata, copies, caplog):
    folder = record([image(5, 100)], StoragePlugin.SQLITE3)
    recording = lose_power(folder, [(2, image(6, 200)), (3, image(7, 300))])
    if not has_metadata:
        (folder / 'metadata.yaml').unlink()
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    source = open_source(folder)
    assert values(source) == [5, 6, 7] and len(source) == 3
    assert caplog.messages == [f'{recording}: never closed, as after a loss of power; what '
                               f'{recording.name}-wal holds is read, too']
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    del source
    assert not list(copies.iterdir())


def test_an_error_tells_that_a_copy_has_no_room(record, copies, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')
    folder = record([image(5, 100)], StoragePlugin.SQLITE3)
    recording = lose_power(folder, [(2, image(6, 200))])
    monkeypatch.setattr(shutil, 'copyfile', full)
    with pytest.raises(SourceError, match=f'{recording}: no copy of it in {copies}.*TMPDIR.*No '
                                          'space left'):
        open_source(folder)
    recording.write_bytes(b'no database' * 100)
    monkeypatch.undo()
    with pytest.raises(SourceError, match=f'{folder}: cannot be read as a bag: file is not a'):
        open_source(folder)


@pytest.mark.parametrize('name', ['Tunnel #3', 'was?', '50%25'])
@pytest.mark.parametrize('compression', [None, CompressionMode.FILE, CompressionMode.MESSAGE])
def test_sqlite_recordings_of_any_name_are_read(tmp_path, name, compression):
    folder = tmp_path / name / name
    plain = tmp_path / 'plain'          # which the writer needs
    writer = Writer(plain, version=8, storage_plugin=StoragePlugin.SQLITE3)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        topic = writer.add_connection('/left/image_raw', IMAGE_TYPE, typestore=STORE)
        writer.write(topic, 100 * MS, image(5, 100))
    recording, = plain.glob('plain.db3*')
    named = recording.name.replace('plain', name)
    metadata = plain / 'metadata.yaml'
    text = metadata.read_text()
    assert recording.name in text
    metadata.write_text(text.replace(recording.name, f'"{named}"'))
    recording.rename(plain / named)
    folder.parent.mkdir()
    plain.rename(folder)
    assert values(open_source(folder)) == [5]
    (folder / 'metadata.yaml').unlink()
    assert values(open_source(folder)) == [5]


def test_an_sqlite_recording_without_metadata_is_read(record):
    folder = record([image(5, 100), image(6, 200)], StoragePlugin.SQLITE3)
    (folder / 'metadata.yaml').unlink()
    assert values(open_source(folder)) == [5, 6]
