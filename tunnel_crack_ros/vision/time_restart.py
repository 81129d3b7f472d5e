# SPDX-License-Identifier: Apache-2.0
"""When the time of a sensor's messages begins again: a bag played anew, a clock set back."""

from __future__ import annotations

_LATE_NS = 3_000_000_000    # a message so much older than another one may just have come late


def began_again(stamp_ns: int, newest_ns: int) -> bool:
    """Return whether what was heard before belongs to another time.

    :param stamp_ns: of a message that came now, ns.
    :param newest_ns: newest stamp of those that came before, ns.
    """
    return stamp_ns < newest_ns - _LATE_NS
