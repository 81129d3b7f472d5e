# SPDX-License-Identifier: Apache-2.0
"""The nodes' parameter file, read without ROS: a recording is measured as the nodes would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from tunnel_crack_ros.vision.segmenter_settings import SegmenterSettings
from tunnel_crack_ros.vision.settings import reason_to_refuse

OF_ALL, SEGMENTER = '/**', 'segmenter'      # sections: of all nodes; of a node, last part of name
OF_NODES = ('transport', 'providers', 'require_gpu', 'threads', 'queue_depth', 'autostart',
            'use_sim_time')
"""Parameters that a node needs and a recording does not."""


class ParameterFileError(ValueError):
    """A parameter file cannot be used; the message says what was found and what was expected."""


@dataclass(frozen=True)
class Parameters:
    """What a parameter file says of stage 2."""

    settings: SegmenterSettings = field(default_factory=SegmenterSettings)
    cameras: tuple[str, ...] = ()
    model: str = ''
    """'': not said."""
    threshold: float | None = None
    """None: the model card's."""


def read_parameters(path: Path | None, given: Mapping[str, Any] | None = None) -> Parameters:
    """Read the sections of all nodes and of the segmenter.

    :param path: the file; None: the defaults.
    :param given: values that win over the file's; None among them: not given.
    :raises ParameterFileError: the file cannot be read, names what is unknown, or a value does
        not fit.
    """
    values = {} if path is None else _read(path)
    values |= {name: value for name, value in (given or {}).items() if value is not None}
    known = {entry.name: entry for entry in fields(SegmenterSettings)}
    cameras, model = values.pop('cameras', []), values.pop('model', '')
    threshold = values.pop('threshold', -1.0)
    where = f'{path}: ' if path is not None else ''
    if not isinstance(cameras, list) or {type(name) for name in cameras} - {str}:
        raise ParameterFileError(f"{where}parameter 'cameras' is {cameras!r}, expected a list of "
                                 'strings')
    if not isinstance(model, str):
        raise ParameterFileError(f"{where}parameter 'model' is {model!r}, expected a string")
    if not isinstance(threshold, (int, float)) or not -1.0 <= threshold <= 1.0:
        raise ParameterFileError(f"{where}parameter 'threshold' is {threshold!r}, expected -1..1")
    for name, value in values.items():
        if name not in known:
            raise ParameterFileError(f"{where}unknown parameter '{name}', expected one of "
                                     f"{', '.join(known)}")
        if reason := reason_to_refuse(known[name], value):
            raise ParameterFileError(where + reason)
    settings = SegmenterSettings(**values)
    if cameras and (reason := settings.contradiction(cameras)):
        raise ParameterFileError(where + reason)
    return Parameters(settings, tuple(cameras), model, threshold if threshold >= 0.0 else None)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParameterFileError(f'{path}: cannot be read: {error}'.replace('\n', ' ')) from error
    if not isinstance(content, dict):
        raise ParameterFileError(f'{path}: no sections, expected /** or /**/segmenter')
    # as ROS does it: what stands in the section of the node wins
    sections = [name for name in content if name == OF_ALL] + [
        name for name in content if str(name).split('/')[-1] == SEGMENTER]
    if not sections:
        raise ParameterFileError(f"{path}: has sections {', '.join(map(str, content))}, expected "
                                 '/** or /**/segmenter')
    known = {entry.name for entry in fields(SegmenterSettings)} | {'cameras'}
    values: dict[str, Any] = {}
    for name in sections:
        section = content[name]
        own = section.get('ros__parameters') if isinstance(section, dict) else None
        if not isinstance(own, dict):
            raise ParameterFileError(f'{path}: section {name} has no ros__parameters')
        # what all nodes are told may be meant for another one
        values |= {key: value for key, value in own.items()
                   if key not in OF_NODES and (name != OF_ALL or key in known)}
    return values
