"""Conditions on cells' axes, as a command line gives them: `difficulty=hard`, `size>=1000`. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from valley.axes import NAMED_AXES, RECIPE_SECTIONS
from valley.errors import UserError

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Where:
    """Conditions that all hold of a cell's axes: (axis, operator, values as text)."""

    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    @classmethod
    def parse(cls, conditions: list[str]) -> Where:
        """Read `axis=value[,value…]`, `axis!=value[,…]`, `axis<n`, `<=`, `>`, `>=`.

        Raises:
            UserError: names the condition, and what is allowed.
        """
        return cls(tuple(_parse(text) for text in conditions))

    def matches(self, axes: Mapping[str, Any]) -> bool:
        """Whether a cell with these axes is meant. An axis that it does not have has no value."""
        return all(_holds(axes.get(name), sign, values) for name, sign, values in self.conditions)


def _parse(text: str) -> tuple[str, str, tuple[str, ...]]:
    match = re.fullmatch(r"([\w.]+)(!=|<=|>=|=|<|>)(.+)", text)
    if match is None:
        raise UserError(f"--where {text}: expected AXIS=VALUE[,VALUE…], !=, <, <=, > or >=")
    name, sign, values = match.groups()
    if name not in NAMED_AXES and name.split(".")[0] not in RECIPE_SECTIONS:
        raise UserError(
            f"--where {text}: unknown axis {name!r}; expected one of {', '.join(NAMED_AXES)}, or a "
            f"dotted setting of {', '.join(RECIPE_SECTIONS)}"
        )
    if sign in _ORDERS and _number(values) is None:
        raise UserError(f"--where {text}: found {values!r}; {sign} expects a number")
    return name, sign, tuple(values.split(","))


def _holds(value: Any, sign: str, values: tuple[str, ...]) -> bool:
    if sign in _ORDERS:
        return isinstance(value, int | float) and _ORDERS[sign](value, _number(values[0]))
    among = any(str(value) == one or _same_number(value, one) for one in values)
    return among == (sign == "=")


def _same_number(value: Any, text: str) -> bool:
    return isinstance(value, int | float) and value == _number(text)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
