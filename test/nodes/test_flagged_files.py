# SPDX-License-Identifier: Apache-2.0
"""Flagged frames kept as files, up to a limit."""

import cv2
import numpy as np
import pytest

from tunnel_crack_ros.nodes.flagged_files import FlaggedFiles

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


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='file'):
        FlaggedFiles(tmp_path / 'file' / 'folder', 1)
