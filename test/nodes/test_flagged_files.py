# SPDX-License-Identifier: Apache-2.0
"""Flagged frames kept as files, up to a limit."""

import os
from pathlib import Path
import resource

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.nodes import flagged_files
from tunnel_crack_ros.nodes.flagged_files import FlaggedFiles


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Return the clock that the folders go by."""
    clock = Clock()
    monkeypatch.setattr(flagged_files.time, 'monotonic', lambda: clock.now)
    return clock


FRAME = np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)


def test_a_raw_frame_is_kept_without_loss_and_named_by_camera_and_stamp(tmp_path):
    assert FlaggedFiles(tmp_path / 'new' / 'folder', 1).save('tunnel/left', (12, 34), FRAME)
    file = tmp_path / 'new' / 'folder' / 'tunnel_left_12_000000034.png'
    assert np.array_equal(cv2.imread(str(file))[:, :, ::-1], FRAME)


@pytest.mark.parametrize('ending', ['.jpg', '.png'])
def test_a_compressed_frame_is_kept_as_it_came(tmp_path, ending):
    data = cv2.imencode(ending, FRAME)[1].tobytes()
    assert FlaggedFiles(tmp_path, 1).save('left', (1, 2), FRAME, data)
    assert (tmp_path / f'left_1_000000002{ending}').read_bytes() == data


def test_the_folder_never_grows_over_its_limit_and_what_is_there_counts(tmp_path):
    (tmp_path / 'of yesterday').write_bytes(bytes(700_000))
    files = FlaggedFiles(tmp_path, 1)
    data = bytes(120_000)
    assert [files.save('a', (second, 0), FRAME, data) for second in range(4)] == [
        True, True, False, False]
    assert files.refused == 2
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1_000_000


def test_once_the_folder_is_full_no_picture_is_encoded_for_nothing(tmp_path, monkeypatch):
    files = FlaggedFiles(tmp_path, 1)
    assert not files.save('a', (1, 0), FRAME, bytes(1_000_001))
    monkeypatch.delattr(cv2, 'imencode')
    assert not files.save('a', (2, 0), FRAME)
    assert files.refused == 2


def test_a_folder_that_was_emptied_takes_frames_again(tmp_path, clock):
    files, data = FlaggedFiles(tmp_path, 1), bytes(400_000)
    assert [files.save('a', (second, 0), FRAME, data) for second in range(3)] == [
        True, True, False]
    for file in tmp_path.iterdir():
        file.unlink()
    clock.now += 4.0    # it was counted just now
    assert not files.save('a', (3, 0), FRAME, data)
    clock.now += 1.0
    assert [files.save('a', (second, 0), FRAME, data) for second in range(4, 7)] == [
        True, True, False]
    assert files.refused == 1   # since one did not fit


def test_a_folder_that_is_emptied_in_time_never_counts_as_full(tmp_path, clock):
    files = FlaggedFiles(tmp_path, 1)
    for second in range(6):
        assert files.save('a', (second, 0), FRAME, bytes(400_000))
        for file in tmp_path.iterdir():     # the operator moves it away at once
            file.unlink()
        clock.now += 5.0


def test_files_that_go_while_they_are_counted_do_not_count(tmp_path, monkeypatch):
    (tmp_path / 'going').write_bytes(bytes(900_000))
    scandir = os.scandir

    def scandir_while_it_goes(folder):
        for file in scandir(folder):
            assert file.is_file()
            os.unlink(file)
            yield file
    monkeypatch.setattr(os, 'scandir', scandir_while_it_goes)
    assert FlaggedFiles(tmp_path, 1).save('a', (1, 0), FRAME, bytes(900_000))


@pytest.mark.parametrize('links', [True, False])
def test_a_file_of_another_process_is_never_replaced(tmp_path, monkeypatch, links):
    """It takes the name after this one has looked whether it is free."""
    there = Path.exists

    def exists(path: Path) -> bool:
        found = there(path)
        if path.name == 'left_1_000000000.jpg' and not found:
            path.write_bytes(b'of another process')
        return found

    def no_link(*_):
        raise PermissionError('a file system without links')
    monkeypatch.setattr(Path, 'exists', exists)
    if not links:
        monkeypatch.setattr(os, 'link', no_link)
    assert FlaggedFiles(tmp_path, 1).save('left', (1, 0), FRAME, b'of this process')
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        'left_1_000000000.jpg': b'of another process',
        'left_1_000000000_2.jpg': b'of this process'}


def test_two_processes_may_begin_with_one_folder_at_once(tmp_path, monkeypatch):
    touch, others = Path.touch, []

    def touch_with_another(path: Path) -> None:
        touch(path)
        if not others:
            others.append(path)
            others.append(FlaggedFiles(tmp_path, 1))
    monkeypatch.setattr(Path, 'touch', touch_with_another)
    FlaggedFiles(tmp_path, 1)
    assert len(others) == 2 and not list(tmp_path.iterdir())


def test_frames_of_the_same_stamp_are_all_kept(tmp_path):
    pictures = [FRAME + step for step in range(4)]
    for files in (FlaggedFiles(tmp_path, 1), FlaggedFiles(tmp_path, 1)):    # and of a later run
        for _ in range(2):
            assert files.save('left', (0, 0), pictures.pop())
    assert {file.name for file in tmp_path.iterdir()} == {
        'left_0_000000000.png', 'left_0_000000000_2.png', 'left_0_000000000_3.png',
        'left_0_000000000_4.png'}
    assert np.array_equal(cv2.imread(str(tmp_path / 'left_0_000000000_4.png'))[:, :, ::-1], FRAME)


def test_a_full_disk_leaves_no_half_frame(tmp_path):
    files = FlaggedFiles(tmp_path, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match='File too large'):
            files.save('left', (1, 0), FRAME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
    assert files.save('left', (1, 0), FRAME)    # and takes frames again


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='file'):
        FlaggedFiles(tmp_path / 'file' / 'folder', 1)
