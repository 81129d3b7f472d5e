# SPDX-License-Identifier: Apache-2.0
"""From mask to measured cracks: skeleton, graph, centre line, length, width, direction."""
