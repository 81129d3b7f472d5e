# SPDX-License-Identifier: Apache-2.0
"""What commands print can be read whole, wherever it goes."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
import typer

from tunnel_crack_ros.console import saved_json

NAME = 'deeplabv3plus_[resnet101]_segmenter_[/int8]_weights_:smile:'
CODE = f"""
from tunnel_crack_ros.console import print_table
print_table(('name', *'abcdefgh'), [[{NAME!r}, *[f'0.1234567{{n}}' for n in range(8)]]])
"""
WORDS = [NAME, *(f'0.1234567{number}' for number in range(8))]


def test_a_table_is_whole_in_a_pipe():
    said = subprocess.run([sys.executable, '-c', CODE], check=True, capture_output=True, text=True)
    assert said.stdout.splitlines()[1].split() == WORDS


def test_a_table_is_whole_in_a_narrow_terminal():
    inside, outside = pty.openpty()
    fcntl.ioctl(outside, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    with subprocess.Popen([sys.executable, '-c', CODE], stdout=outside,
                          env={**os.environ, 'TERM': 'dumb'}) as running:
        assert running.wait(60) == 0
    os.close(outside)
    with open(inside, encoding='utf-8') as terminal:
        assert terminal.readline().split() == ['name', *'abcdefgh']
        assert terminal.readline().split() == WORDS


def test_numbers_are_kept_though_nobody_reads_the_table(tmp_path):
    with pytest.raises(BrokenPipeError), saved_json(tmp_path / 'a.json', {'f1': 0.5}):
        raise BrokenPipeError
    assert json.loads((tmp_path / 'a.json').read_text()) == {'f1': 0.5}


def test_the_table_is_printed_though_the_numbers_cannot_be_written(tmp_path, capfd):
    (tmp_path / 'file').touch()
    with pytest.raises(typer.Exit), saved_json(tmp_path / 'file' / 'a.json', {'f1': 0.5}):
        print('f1 0.5')
    said = capfd.readouterr()
    assert said.out == 'f1 0.5\n'
    assert 'error:' in said.err and str(tmp_path / 'file') in said.err


@pytest.mark.parametrize('module', ['-c', '-m'])
def test_a_command_works_with_its_output_closed(module):
    arguments = {'-c': [CODE], '-m': ['tunnel_crack_ros.cli', '--help']}[module]
    said = subprocess.run([sys.executable, module, *arguments], stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: os.close(1))
    assert said.returncode == 0 and not said.stderr
