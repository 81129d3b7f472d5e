# SPDX-License-Identifier: Apache-2.0
"""Pictures on disk: read as they were written, and errors that say why."""

import os
from pathlib import Path

import numpy as np
import pytest

from tunnel_crack_ros.vision.frame import FrameError
from tunnel_crack_ros.vision.picture_file import read_picture, write_picture


def test_what_is_written_is_read_and_the_folder_is_made(tmp_path):
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[:, :, 0] = 200
    assert (read_picture(write_picture(tmp_path / 'new' / 'a.png', picture)) == picture).all()
    grey = write_picture(tmp_path / 'grey.png', picture[:, :, 0])
    assert (read_picture(grey) == 200).all()


def test_a_name_that_is_not_utf_8_does_not_end_the_process(tmp_path):
    path = tmp_path / os.fsdecode(b'\xe9.png')
    assert write_picture(path, np.zeros((4, 5), np.uint8)).stat().st_size > 0


@pytest.mark.parametrize('name', ['picture', 'picture.txt'])
def test_a_name_of_no_picture_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f'{name}: expected a name that ends in .png, .jpg'):
        write_picture(tmp_path / name, np.zeros((4, 5), np.uint8))


def test_a_picture_that_cannot_be_written_or_read_says_why(tmp_path):
    (tmp_path / 'a.png').mkdir()
    with pytest.raises(OSError, match='Is a directory'):
        write_picture(tmp_path / 'a.png', np.zeros((4, 5), np.uint8))
    with pytest.raises(OSError, match='No such file'):
        read_picture(Path('nowhere.png'))
    (tmp_path / 'b.png').write_text('text')
    with pytest.raises(FrameError, match='b.png: '):
        read_picture(tmp_path / 'b.png')
