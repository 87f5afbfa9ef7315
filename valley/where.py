"""Conditions on axes, as the command line gives them: which cells are meant. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from valley.errors import UserError

NAMED_AXES = ("student", "stage", "size", "difficulty", "correctness", "seed")
SECTIONS = ("data", "train", "generate", "grade")
SIGNS = re.compile(r"([^=<>!]+)(!=|<=|>=|=|<|>)(.+)", re.DOTALL)
ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class _Condition:
    axis: str
    sign: str
    values: tuple[str, ...]

    def matches(self, axes: Mapping[str, Any]) -> bool:
        value = axes.get(self.axis)
        if self.sign in ORDERS:
            if isinstance(value, bool) or not isinstance(value, int | float):
                return False
            return ORDERS[self.sign](value, float(self.values[0]))
        return (str(value) in self.values) == (self.sign == "=")


@dataclass(frozen=True)
class Where:
    """Conditions that all hold for the cells that are meant."""

    conditions: tuple[_Condition, ...] = ()

    @classmethod
    def parse(cls, conditions: list[str]) -> Where:
        """From `axis=value[,value…]`, `axis!=value[,…]`, `axis<n`, `<=`, `>` and `>=`.

        Raises:
            UserError: no such axis, no condition, or no number where one is compared.
        """
        return cls(tuple(_parse(condition) for condition in conditions))

    def matches(self, axes: Mapping[str, Any]) -> bool:
        """Whether all conditions hold for a cell's axes."""
        return all(condition.matches(axes) for condition in self.conditions)


def _parse(text: str) -> _Condition:
    found = SIGNS.fullmatch(text.strip())
    if found is None:
        raise UserError(
            f"--where {text}: expected axis=value[,value], axis!=value, or axis<number (<=, >, >=)"
        )
    axis, sign, value = (part.strip() for part in found.groups())
    if axis not in NAMED_AXES and axis.partition(".")[0] not in SECTIONS:
        raise UserError(
            f"--where {text}: no axis {axis!r}; there are {', '.join(NAMED_AXES)}, and settings by "
            "their dotted name, such as train.steps"
        )
    if sign in ORDERS:
        try:
            float(value)
        except ValueError as error:
            raise UserError(f"--where {text}: {value!r} is no number") from error
        return _Condition(axis, sign, (value,))
    return _Condition(axis, sign, tuple(part.strip() for part in value.split(",")))
