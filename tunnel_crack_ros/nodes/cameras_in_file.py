# SPDX-License-Identifier: Apache-2.0
"""Which cameras a parameter file names, for what has to know them before the nodes run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re
from typing import Any

import yaml


def cameras_in_file(path: Path, node: str) -> tuple[str, ...]:
    """Return the parameter `cameras` that a file gives to a node.

    :param node: its full name, e.g. `/tunnel/segmenter`.
    :return: empty: the file names none, or what is no list of names; the node will say so.
    :raises ValueError: the file cannot be read.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f'{path} cannot be read: {error}'.replace('\n', ' ')) from None
    cameras: object = ()
    # what is said to all nodes gives way to what is said to this one
    for name, parameters in sorted(_sections(content), key=lambda section: section[0] != '/**'):
        if _is_meant(node, name):
            cameras = parameters.get('cameras', cameras)
    if not isinstance(cameras, list) or not all(isinstance(camera, str) for camera in cameras):
        return ()
    return tuple(cameras)


def _sections(content: object, above: str = '') -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names of the sections, which may lie in one another, with their parameters."""
    for name, inner in content.items() if isinstance(content, dict) else ():
        full = f"{above}/{str(name).strip('/')}"
        parameters = inner.get('ros__parameters') if isinstance(inner, dict) else None
        if isinstance(parameters, dict):
            yield full, parameters
        else:
            yield from _sections(inner, full)


def _is_meant(node: str, section: str) -> bool:
    """Return whether a section is of a node; `*` stands for one name, `**` for any number."""
    pattern = re.escape(section).replace(r'/\*\*', r'(/\w+)*').replace(r'\*', r'\w+')
    return bool(re.fullmatch(pattern, node))
