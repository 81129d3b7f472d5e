# SPDX-License-Identifier: Apache-2.0
"""How many messages of a topic never came, each counted once though two may tell of it."""

from __future__ import annotations


class LostMessages:
    """Counts from the publisher's numbers and from the middleware's own reports.

    The middleware reports what got lost between two machines or processes; only the numbers tell
    of what newer messages pushed out of the queue in front of the node. Where both tell of the
    same message it counts once: the larger sum counts.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._last: int | None = None
        self._missing = self._reported = self._counted = 0

    def begin_anew(self) -> None:
        """Forget the numbers: those to come are another publisher's, or several ones'."""
        self._last = None
        self._missing = self._reported = self._counted = 0

    def came(self, number: int | None) -> int:
        """Take the number that the publisher gave to a message that came.

        :param number: counts the publisher's messages from 1 on; None or 0: it is not known.
        :return: how many lost messages this tells of that were not counted before.
        """
        if not number:
            return 0
        if self._last is not None and number > self._last + 1:
            self._missing += number - self._last - 1
        self._last = number     # a smaller one than before: the publisher began anew
        return self._news()

    def reported(self, count: int) -> int:
        """Take the middleware's word that it lost some messages.

        :return: how many of them were not counted before.
        """
        self._reported += count
        return self._news()

    def _news(self) -> int:
        lost = max(self._missing, self._reported)
        news, self._counted = lost - self._counted, lost
        return news
