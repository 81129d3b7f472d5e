# SPDX-License-Identifier: Apache-2.0
"""From mask to measured cracks: skeleton, graph, centre line, length, width, direction."""

from importlib import import_module
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from tunnel_crack_ros.vision.geometry.crack import Crack, CrackKind
    from tunnel_crack_ros.vision.geometry.measure import measure_cracks, MeasureRules
    from tunnel_crack_ros.vision.geometry.strokes import Gaps

_FILES = {
    'crack': ('Crack', 'CrackKind'),
    'measure': ('MeasureRules', 'measure_cracks'),
    'strokes': ('Gaps',),
}

__all__ = ['Crack', 'CrackKind', 'Gaps', 'MeasureRules', 'measure_cracks']


def __getattr__(name: str) -> Any:
    for file, names in _FILES.items():
        if name in names:
            return getattr(import_module(f'{__name__}.{file}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
