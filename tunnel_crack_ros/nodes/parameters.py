# SPDX-License-Identifier: Apache-2.0
"""ROS parameters as one dataclass a node: declared with ranges, validated first, applied after."""

from __future__ import annotations

import array
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from tunnel_crack_ros.vision.settings import (
    default_of,
    Limits,
    limits_of,
    parameter,
    reason_to_refuse,
)

__all__ = ['Limits', 'declare', 'default_of', 'limits_of', 'parameter', 'read',
           'reason_to_change_nothing', 'reason_to_refuse']

Parameters = TypeVar('Parameters')


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
        except (InvalidParameterTypeException, InvalidParameterValueException,
                ParameterUninitializedException) as error:
            given = node._parameter_overrides.get(entry.name)
            value = given.value if given is not None else None
            # an empty list comes without a type, which to rclpy is no value at all
            problem = reason_to_refuse(entry, value).replace(' is None,', ' is empty,') \
                or str(error)
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
              for entry in fields(kind)} | dict(changes or {})  # type: ignore[arg-type]
    return kind(**{name: _plain(value) for name, value in values.items()})


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
        changed = in_use is not None and _plain(given.value) != getattr(in_use, given.name)
        if changed and not limits_of(entry).live:
            return (f"parameter '{given.name}' changes only before the node is configured: "
                    'deactivate and clean up first')
    return ''


def _plain(value: Any) -> Any:
    """Return a list where rclpy has an array of numbers."""
    return list(value) if isinstance(value, (array.array, tuple)) else value


def _descriptor(entry: Field[Any]) -> ParameterDescriptor:
    limits, default = limits_of(entry), default_of(entry)
    descriptor = ParameterDescriptor(description=limits.description)
    if limits.choices:
        descriptor.additional_constraints = f"one of {', '.join(limits.choices)}"
    if limits.low is None or limits.high is None:
        return descriptor
    if isinstance(default, list):   # rclpy knows ranges of single numbers only
        descriptor.additional_constraints = f'each {limits.low:g}..{limits.high:g}'
    elif isinstance(default, int):
        descriptor.integer_range = [
            IntegerRange(from_value=int(limits.low), to_value=int(limits.high), step=0)]
    else:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=limits.low, to_value=limits.high, step=0.0)]
    return descriptor
