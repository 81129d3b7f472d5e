# SPDX-License-Identifier: Apache-2.0
"""What ROS takes as a name: a node that is given another one ends with a traceback."""

from __future__ import annotations

import re

_NAME = re.compile('[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')
EXPECTED = "expected names of letters, digits and single underscores with '/' between, as in"
"""To be followed by an example."""


def is_ros_name(text: str, private: bool = False) -> bool:
    """Return whether a topic or namespace, relative or absolute, may have this name.

    :param private: `~/name`, below the node's own name, will do, too.
    """
    start = '~/' if private and text.startswith('~/') else '/'
    name = text.removeprefix(start)
    return bool(_NAME.fullmatch(name)) and '__' not in name     # which remappings do not take
