# SPDX-License-Identifier: Apache-2.0
"""No work begins that would end after the deadline."""

import pytest

from tunnel_crack_ros.vision.explain.timing import Stopped, Timing


def test_no_pass_begins_that_would_end_too_late():
    timing = Timing(100.0, None)
    timing.check()
    timing.took(40.0)
    timing.took(1.0)
    timing.check()      # the slowest of the last ones is what counts
    with pytest.raises(Stopped):
        timing.check(3)
    timing.maps_took(60.0)
    with pytest.raises(Stopped):
        timing.check()
    Timing(None, None).check(1000)
    with pytest.raises(Stopped):
        Timing(None, lambda: False).check()


def test_a_pass_under_way_ends_with_the_deadline_unless_it_is_one_of_the_first_two():
    timing = Timing(0.0, None)
    assert not timing.overdue
    timing.took(1.0)
    assert timing.overdue
    assert not Timing(None, lambda: True).overdue
    assert Timing(None, lambda: False).overdue
