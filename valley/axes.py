"""The axes of a grid, and the points that one of its blocks stands for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from valley.errors import UserError
from valley.train.config import TrainConfig

NAMED_AXES = ("student", "stage", "size", "difficulty", "correctness", "seed")
DIFFICULTIES = ("all", "easy", "medium", "hard")
CORRECTNESSES = ("all", "correct", "incorrect")
RECIPE_SECTIONS = ("data", "train", "generate", "grade")
MAX_POINTS = 1_000_000
"""Most points of one block; a block of more is a slip of the pen."""
MAX_NUMBER = 2**63 - 1
"""Largest size or seed: what torch's random generator takes."""

At = Callable[..., str]
"""Says where an axis of the block stands, or the block itself: a file, a line, a key."""


def block_points(
    block: Mapping[str, Any],
    students: tuple[str, ...],
    stages: tuple[int, ...],
    at: At,
) -> Iterator[dict[str, Any]]:
    """Yield the axes of every point of a block: the named ones first, then dotted ones by name.

    Args:
        block: one item of `grid`: a value, a list or a range by axis.
        students: names that `student` may take, its default first.
        stages: numbers that `stage` may take; the least is its default.

    Raises:
        UserError: names the axis, what was found and what is allowed.
    """
    if "size" not in block:
        raise UserError(f"{at()}: no `size`; expected one number of traces, or a list")
    defaults = {
        "student": students[0],
        "stage": min(stages),
        "difficulty": "all",
        "correctness": "all",
        "seed": 0,
    }
    allowed = {
        "student": students,
        "stage": stages,
        "difficulty": DIFFICULTIES,
        "correctness": CORRECTNESSES,
    }
    values = {
        name: _axis_values(name, value, allowed.get(name), at)
        for name, value in {**defaults, **block}.items()
    }
    points = math.prod(len(listed) for listed in values.values())
    if points > MAX_POINTS:
        raise UserError(f"{at()}: stands for {points} cells; at most {MAX_POINTS} are allowed")
    names = [*NAMED_AXES, *sorted(set(values) - set(NAMED_AXES))]
    for point in itertools.product(*(values[name] for name in names)):
        yield _normalised(dict(zip(names, point, strict=True)))


def _normalised(axes: dict[str, Any]) -> dict[str, Any]:
    """A baseline without the axes that say what would have been trained, and how."""
    if axes["size"] > 0:
        return axes
    kept = {name: value for name, value in axes.items() if not name.startswith("train.")}
    return {**kept, "difficulty": "all", "correctness": "all", "seed": 0}


def _axis_values(name: str, value: Any, allowed: tuple[Any, ...] | None, at: At) -> list[Any]:
    _check_name(name, at)
    if isinstance(value, dict):
        value = _range(name, value, at)
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise UserError(f"{at(name)}: an empty axis; expected at least one value")
    for item in listed:
        if name in ("size", "seed"):
            if type(item) is not int or item < 0:
                raise UserError(f"{at(name)}: found {item!r}; expected a whole number, 0 or more")
            if item > MAX_NUMBER:
                raise UserError(f"{at(name)}: found {item}; expected {MAX_NUMBER} at most")
        elif allowed and not any(type(one) is type(item) and one == item for one in allowed):
            raise UserError(
                f"{at(name)}: found {item!r}; expected one of {', '.join(map(str, allowed))}"
                + (f"; define it under `{name}s`" if name in ("stage", "student") else "")
            )
    return listed


def _check_name(name: str, at: At) -> None:
    if name in NAMED_AXES:
        return
    section, _, field = name.partition(".")
    if section not in RECIPE_SECTIONS or not field:
        raise UserError(
            f"{at(name)}: unknown axis; expected one of {', '.join(NAMED_AXES)}, or a dotted "
            f"setting of {', '.join(RECIPE_SECTIONS)}, such as train.learning_rate"
        )
    if section == "train" and field in TrainConfig.EXECUTION_FIELDS:
        raise UserError(
            f"{at(name)}: no axis, since a result does not depend on it and cells that differ in it "
            f"would be one; set `{field}` under `train`"
        )


def _range(name: str, value: dict[str, Any], at: At) -> list[int]:
    match value:
        case {"range": [int() as start, int() as stop, *rest]} if len(value) == 1:
            bounds = (start, stop, *rest)
            whole = all(type(bound) is int for bound in bounds)
            if whole and len(bounds) <= 3 and bounds[2:] != (0,):
                numbers = range(*bounds)
                if len(numbers) > MAX_POINTS:
                    raise UserError(f"{at(name)}: a range of {len(numbers)} values is too long")
                return list(numbers)
    raise UserError(f"{at(name)}: found {value!r}; expected {{range: [start, stop, step]}}")
