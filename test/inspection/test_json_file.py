# SPDX-License-Identifier: Apache-2.0
"""Numbers on disk, and a path that costs nobody what was measured."""

import json
import math

from typer.testing import CliRunner

from tunnel_crack_ros.cli import app
from tunnel_crack_ros.json_file import write_json


def test_what_is_no_number_is_null_and_the_folder_is_made(tmp_path):
    write_json(tmp_path / 'new' / 'a.json', {'a': [math.nan, 1.5], 'b': (math.inf, None, 'x')})
    assert json.loads((tmp_path / 'new' / 'a.json').read_text()) == {
        'a': [None, 1.5], 'b': [None, None, 'x']}


def test_a_path_that_cannot_be_written_leaves_the_table(tmp_path):
    (tmp_path / 'file').touch()
    result = CliRunner().invoke(app, ['bench', 'chain', '--frames', '1', '--json',
                                      str(tmp_path / 'file' / 'a.json')])
    assert result.exit_code == 1 and 'error: ' in result.output
    assert 'simulated' in result.output
