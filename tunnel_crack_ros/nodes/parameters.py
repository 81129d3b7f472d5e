# SPDX-License-Identifier: Apache-2.0
"""ROS parameters as one dataclass a node: declared with ranges, validated first, applied after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, Field, field, fields, MISSING
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

Parameters = TypeVar('Parameters')


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


def declare(node: Node, kind: type[Any]) -> list[str]:
    """Declare the parameters of a dataclass on a node.

    A value given from outside that does not fit is not taken and does not end the node: the
    default stands in, and the reason is returned, for the node to refuse to configure with.

    :param node: a node.
    :param kind: a dataclass whose fields come from `parameter`.
    :return: what was wrong with values given from outside; empty when all fit.
    """
    wrong = []
    for entry in fields(kind):
        descriptor, default = _descriptor(entry), default_of(entry)
        try:
            node.declare_parameter(entry.name, default, descriptor)
            problem = reason_to_refuse(entry, node.get_parameter(entry.name).value)
            if problem:
                node.undeclare_parameter(entry.name)
                node.declare_parameter(entry.name, default, descriptor, ignore_override=True)
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            given = node._parameter_overrides.get(entry.name)
            value = given.value if given is not None else None
            problem = reason_to_refuse(entry, value) or str(error)
            if node.has_parameter(entry.name):
                node.undeclare_parameter(entry.name)
            node.declare_parameter(entry.name, default, descriptor, ignore_override=True)
        if problem:
            wrong.append(problem)
    return wrong


def read(node: Node, kind: type[Parameters],
         changes: Mapping[str, Any] | None = None) -> Parameters:
    """Read a node's parameters into their dataclass.

    :param changes: values that take the place of the node's own.
    """
    values = {entry.name: node.get_parameter(entry.name).value
              for entry in fields(kind)}  # type: ignore[arg-type]
    return kind(**(values | dict(changes or {})))


def reason_to_change_nothing(kind: type[Any], parameters: Sequence[Parameter],
                             in_use: Any = None) -> str:
    """Say why a request to set parameters is refused as a whole.

    :param parameters: as the set-parameters callback gets them.
    :param in_use: the values the node is configured with, so that only live parameters may
        change; None: it is not configured. A parameter file set again as it stands is no change.
    :return: the reason; '' when all are fine.
    """
    entries = {entry.name: entry for entry in fields(kind)}
    for given in parameters:
        entry = entries.get(given.name)
        if entry is None:
            continue
        reason = reason_to_refuse(entry, given.value)
        if reason:
            return reason
        changed = in_use is not None and given.value != getattr(in_use, given.name)
        if changed and not limits_of(entry).live:
            return (f"parameter '{given.name}' changes only before the node is configured: "
                    'deactivate and clean up first')
    return ''


def reason_to_refuse(entry: Field[Any], value: Any) -> str:
    """Say what is wrong with a value: the parameter, what was found, what was expected.

    :return: the reason; '' when it fits.
    """
    limits, default = limits_of(entry), default_of(entry)
    expected = type(default)
    found = f"parameter '{entry.name}' is {value!r}"
    if expected is list:
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


def _descriptor(entry: Field[Any]) -> ParameterDescriptor:
    limits, default = limits_of(entry), default_of(entry)
    descriptor = ParameterDescriptor(description=limits.description)
    if limits.choices:
        descriptor.additional_constraints = f"one of {', '.join(limits.choices)}"
    if limits.low is None or limits.high is None:
        return descriptor
    if isinstance(default, int):
        descriptor.integer_range = [
            IntegerRange(from_value=int(limits.low), to_value=int(limits.high), step=0)]
    else:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=limits.low, to_value=limits.high, step=0.0)]
    return descriptor
