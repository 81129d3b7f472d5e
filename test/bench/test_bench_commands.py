# SPDX-License-Identifier: Apache-2.0
"""Benchmarks take minutes: what cannot be done is told before they begin."""

import pytest
from typer.testing import CliRunner

from tunnel_crack_ros.bench import geometry
from tunnel_crack_ros.cli import app


@pytest.mark.parametrize(('said', 'complaint'), [
    (['latency', '--transport', 'zstd'], "transport is 'zstd', expected raw or compressed"),
    (['geometry', '--plot', 'a.txt'], 'a.txt: expected a name that ends in .png'),
    (['faithfulness', '--data', 'nowhere', '--plot', 'a.txt'], 'a.txt: expected a name')])
def test_a_wrong_word_is_told_before_anything_is_measured(said, complaint, monkeypatch):
    def never(*_, **__):
        raise AssertionError('it was measured')
    monkeypatch.setattr(geometry, 'measure_geometry', never)
    result = CliRunner().invoke(app, ['bench', *said])
    assert result.exit_code == 1 and complaint in result.output.replace('\n', ' ')
