# SPDX-License-Identifier: Apache-2.0
"""From mask to measured cracks: skeleton, graph, centre line, length, width, direction."""

from tunnel_crack_ros.vision.geometry.crack import Crack, CrackKind
from tunnel_crack_ros.vision.geometry.measure import measure_cracks, MeasureRules
from tunnel_crack_ros.vision.geometry.strokes import Gaps

__all__ = ['Crack', 'CrackKind', 'Gaps', 'MeasureRules', 'measure_cracks']
