# SPDX-License-Identifier: Apache-2.0
"""Settings as dataclasses whose fields know what they may be; ROS parameters are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, Field, field, MISSING
import math
from typing import Any


@dataclass(frozen=True)
class Limits:
    """What a parameter may be, and what it means."""

    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    """May change while the node is configured."""
    not_empty: bool = False


def parameter(default: Any, description: str, *, low: float | None = None,
              high: float | None = None, choices: Sequence[str] = (), live: bool = False,
              not_empty: bool = False) -> Any:
    """Describe one parameter: a dataclass field that knows its range.

    :param default: the value when nothing else is said; a list stands for itself.
    :param description: one line with the unit.
    :param low: smallest value, with `high`.
    :param high: largest value.
    :param choices: the words allowed.
    :param live: may change while the node is configured; else only before that.
    :param not_empty: an empty list is refused.
    """
    limits = Limits(description, low, high, tuple(choices), live, not_empty)
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={'limits': limits})
    return field(default=default, metadata={'limits': limits})


def limits_of(entry: Field[Any]) -> Limits:
    """Return what was said of a field made by `parameter`."""
    limits: Limits = entry.metadata['limits']
    return limits


def default_of(entry: Field[Any]) -> Any:
    """Return the default of a field made by `parameter`."""
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def reason_to_refuse(entry: Field[Any], value: Any) -> str:
    """Say what is wrong with a value: the parameter, what was found, what was expected.

    :return: the reason; '' when it fits.
    """
    limits, default = limits_of(entry), default_of(entry)
    expected = type(default)
    found = f"parameter '{entry.name}' is {value!r}"
    if expected is list:
        if default and type(default[0]) is float:
            return _reason_to_refuse_numbers(found, value, limits)
        if not isinstance(value, (list, tuple)) or {type(v) for v in value} - {str}:
            return f'{found}, expected a list of strings'
        if limits.not_empty and not value:
            return f'{found}, expected at least one'
        bad = [v for v in value if limits.choices and v not in limits.choices]
        if bad:
            return f"{found}, expected only {', '.join(limits.choices)}"
        return f'{found}, expected no name twice' if len(set(value)) < len(value) else ''
    if type(value) is not expected:
        return f'{found}, expected {_type_names[expected]}'
    if limits.low is not None and limits.high is not None \
            and not limits.low <= value <= limits.high:
        return f'{found}, expected {limits.low:g}..{limits.high:g}'
    if limits.choices and value not in limits.choices:
        return f"{found}, expected one of {', '.join(limits.choices)}"
    return ''


_type_names = {bool: 'true or false', int: 'a whole number', float: 'a decimal number such as 1.0',
               str: 'a string'}


def _reason_to_refuse_numbers(found: str, value: Any, limits: Limits) -> str:
    # rclpy hands out numbers as an array
    numbers = list(value) if isinstance(value, Sequence) or hasattr(value, 'tolist') else None
    if numbers is None or isinstance(value, str) or not numbers \
            or {type(v) for v in numbers} - {float}:
        return f'{found}, expected a list of decimal numbers such as [1.0]'
    low = -math.inf if limits.low is None else limits.low
    high = math.inf if limits.high is None else limits.high
    if not all(low <= v <= high for v in numbers):
        return f'{found}, expected only {low:g}..{high:g}'
    return ''
