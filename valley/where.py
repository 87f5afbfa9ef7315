"""Where: a part of a sweep, chosen by conditions on its cells' axes.

    difficulty=hard    size=1000,10000    stage!=2    size<4000    train.learning_rate>=1e-4
    train.adam_betas=[0.9,0.95]

All conditions hold for what is chosen. Numbers are compared as numbers, lists and maps as JSON. An axis
that a cell does not have equals nothing (but `null`) and is neither more nor less than anything.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from valley.axes import CORRECTNESSES, DIFFICULTIES, NAMED_AXES, check_name
from valley.errors import UserError

CONDITION = re.compile(r"\s*([^\s=!<>]+)\s*(!=|<=|>=|==?|<|>)\s*(.*?)\s*")
ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MOST_LISTED = 30
WHOLE = ("stage", "size", "seed")
WORDS = {"difficulty": DIFFICULTIES, "correctness": CORRECTNESSES}


@dataclass(frozen=True)
class Condition:
    """What one axis of a cell must be."""

    axis: str
    sign: str
    values: tuple[str, ...]

    def holds(self, axes: Mapping[str, Any]) -> bool:
        """Whether a cell of these axes meets it."""
        value = axes.get(self.axis)
        if self.sign in ORDER:
            number = _number(value)
            limit = _number(self.values[0])
            return number is not None and limit is not None and ORDER[self.sign](number, limit)
        return any(_is(value, text) for text in self.values) == (self.sign == "=")

    def __str__(self) -> str:
        return f"{self.axis}{self.sign}{','.join(self.values)}"


@dataclass(frozen=True)
class Where:
    """Conditions that all hold. Without any, every cell is chosen."""

    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, conditions: list[str]) -> Where:
        """Read conditions as a command line gives them.

        Raises:
            UserError: names the condition, what is wrong with it and what is allowed.
        """
        return cls(tuple(_parse(text) for text in conditions))

    def matches(self, axes: Mapping[str, Any]) -> bool:
        """Whether a cell of these axes is chosen."""
        return all(condition.holds(axes) for condition in self.conditions)

    def vain(self, cells: Collection[Mapping[str, Any]]) -> str:
        """What there is instead, where none of these cells is chosen."""
        axes = dict.fromkeys(name for cell in cells for name in cell)
        said = f"the axes here: {', '.join(axes)}"
        for axis, condition in ((one.axis, one) for one in self.conditions):
            if axis not in axes:
                return f"{said}; {axis} is none of them"
            if not any(map(condition.holds, cells)):
                there = dict.fromkeys(spelled(cell[axis]) for cell in cells if axis in cell)
                return f"{said}; {axis} here: {_listed(list(there))}"
        return f"{said}; no cell meets all of the conditions"

    def __str__(self) -> str:
        return " ".join(map(str, self.conditions))


def _parse(text: str) -> Condition:
    at = f"--where {text}"
    match = CONDITION.fullmatch(text)
    values = _parts(match[3]) if match else ()
    if match is None or not all(values):
        raise UserError(
            f"{at}: expected AXIS=VALUE[,VALUE…], AXIS!=VALUE[,VALUE…], or AXIS followed by <, <=, > "
            "or >= and a number, such as size<4000"
        )
    axis, sign = match[1], "=" if match[2] == "==" else match[2]
    check_name(axis, lambda *_: at)
    if sign in ORDER:
        if axis not in WHOLE and axis in NAMED_AXES:
            raise UserError(f"{at}: {axis} has no order; expected = or !=")
        if len(values) > 1 or _number(values[0]) is None:
            raise UserError(f"{at}: found {match[3]!r}; expected one number after {sign}")
    elif axis in WHOLE:
        for value in values:
            if not value.isdecimal():
                raise UserError(f"{at}: found {value!r}; expected a whole number, 0 or more")
    elif axis in WORDS:
        for value in values:
            if value not in WORDS[axis]:
                raise UserError(f"{at}: found {value!r}; expected one of {', '.join(WORDS[axis])}")
    return Condition(axis, sign, values)


def _parts(text: str) -> tuple[str, ...]:
    """What stands between commas; those inside brackets part nothing."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(part.strip() for part in parts)


def spelled(value: Any) -> str:
    """An axis's value as a condition says it."""
    is_json = value is None or isinstance(value, bool | list | dict)
    return json.dumps(value, ensure_ascii=False) if is_json else str(value)


def _listed(values: list[str]) -> str:
    return ", ".join(values if len(values) <= MOST_LISTED else [*values[:MOST_LISTED], "…"])


def _number(value: Any) -> float | None:
    """A number, or the text of one; None for all else."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number == number else None


def _is(value: Any, text: str) -> bool:
    """Whether a value is what a text says."""
    if isinstance(value, list | dict):
        try:
            return bool(json.loads(text) == value)
        except ValueError:
            return False
    if value is None or isinstance(value, bool):
        return text == spelled(value)
    if isinstance(value, int | float):
        return _number(text) == value
    return str(value) == text
