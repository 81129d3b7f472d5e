# SPDX-License-Identifier: Apache-2.0
"""The nodes' parameter file, read without ROS: a recording is measured as the nodes would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

from tunnel_crack_ros.vision.quality import QualityGate
from tunnel_crack_ros.vision.segmenter_settings import SegmenterSettings
from tunnel_crack_ros.vision.settings import reason_to_refuse

# sections: of all nodes; of a node, the last part of its name
OF_ALL, CLASSIFIER, SEGMENTER = '/**', 'classifier', 'segmenter'
OF_NODES = ('transport', 'providers', 'require_gpu', 'threads', 'queue_depth', 'autostart',
            'use_sim_time', 'save_flagged_to', 'save_flagged_max_mb')
"""Parameters that a node needs and a recording does not."""

_Settings = TypeVar('_Settings', QualityGate, SegmenterSettings)


class ParameterFileError(ValueError):
    """A parameter file cannot be used; the message says what was found and what was expected."""


@dataclass(frozen=True)
class StageParameters(Generic[_Settings]):
    """What is said of one stage."""

    settings: _Settings
    cameras: tuple[str, ...] = ()
    model: str = ''
    """'': not said."""
    threshold: float | None = None
    """None: the model card's."""
    named: frozenset[str] = frozenset()
    """Settings that were given, by the file or besides it."""


@dataclass(frozen=True)
class Parameters:
    """What is said of both stages."""

    classifier: StageParameters[QualityGate]
    segmenter: StageParameters[SegmenterSettings]


def read_parameters(path: Path | None, classifier: Mapping[str, Any] | None = None,
                    segmenter: Mapping[str, Any] | None = None) -> Parameters:
    """Read the sections of all nodes, of the classifier and of the segmenter.

    :param path: the file; None: the defaults.
    :param classifier: values of stage 1 that win over the file's; None among them: not given.
    :param segmenter: the same of stage 2.
    :raises ParameterFileError: the file cannot be read, names what is unknown, or a value does
        not fit.
    """
    content = {} if path is None else _content(path)
    where = f'{path}: ' if path is not None else ''
    judging = _stage(QualityGate, _section(content, CLASSIFIER, QualityGate, where),
                     classifier or {}, where)
    outlining = _stage(SegmenterSettings, _section(content, SEGMENTER, SegmenterSettings, where),
                       segmenter or {}, where)
    reason = outlining.cameras and outlining.settings.contradiction(outlining.cameras)
    if reason:
        raise ParameterFileError(where + reason)
    return Parameters(judging, outlining)


def _stage(kind: type[_Settings], said: Mapping[str, Any], given: Mapping[str, Any],
           where: str) -> StageParameters[_Settings]:
    values = {**said, **{name: value for name, value in given.items() if value is not None}}
    known = {entry.name: entry for entry in fields(kind)}
    cameras, model = values.pop('cameras', []), values.pop('model', '')
    threshold = values.pop('threshold', -1.0)
    if not isinstance(cameras, list) or {type(name) for name in cameras} - {str}:
        raise ParameterFileError(f"{where}parameter 'cameras' is {cameras!r}, expected a list of "
                                 'strings')
    if not isinstance(model, str):
        raise ParameterFileError(f"{where}parameter 'model' is {model!r}, expected a string")
    if type(threshold) is not float or not -1.0 <= threshold <= 1.0:   # as a node takes it
        raise ParameterFileError(f"{where}parameter 'threshold' is {threshold!r}, expected a "
                                 'decimal number such as 0.5, -1..1')
    for name, value in values.items():
        if name not in known:
            raise ParameterFileError(f"{where}unknown parameter '{name}', expected one of "
                                     f"{', '.join(known)}")
        if reason := reason_to_refuse(known[name], value):
            raise ParameterFileError(where + reason)
    return StageParameters(kind(**values), tuple(cameras), model,
                           threshold if threshold >= 0.0 else None, frozenset(values))


def _content(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParameterFileError(f'{path}: cannot be read: {error}'.replace('\n', ' ')) from error
    expected = f'expected {OF_ALL}, /**/{CLASSIFIER} or /**/{SEGMENTER}'
    if not isinstance(content, dict):
        raise ParameterFileError(f'{path}: no sections, {expected}')
    if not any(_is_of(name, node) for name in content for node in (CLASSIFIER, SEGMENTER)):
        raise ParameterFileError(f"{path}: has sections {', '.join(map(str, content))}, "
                                 f'{expected}')
    return content


def _is_of(name: object, node: str) -> bool:
    return name == OF_ALL or str(name).split('/')[-1] == node


def _section(content: Mapping[str, Any], node: str, kind: type[Any],
             where: str) -> dict[str, Any]:
    known = {entry.name for entry in fields(kind)} | {'cameras', 'model', 'threshold'}
    values: dict[str, Any] = {}
    # as ROS does it: what stands in the section of the node wins
    for name in sorted((name for name in content if _is_of(name, node)), key=OF_ALL.__ne__):
        section = content[name]
        own = section.get('ros__parameters') if isinstance(section, dict) else None
        if not isinstance(own, dict):
            raise ParameterFileError(f'{where}section {name} has no ros__parameters')
        # what all nodes are told may be meant for another one
        values |= {key: value for key, value in own.items()
                   if key not in OF_NODES and (name != OF_ALL or key in known)}
    return values
