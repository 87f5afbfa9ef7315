"""The axes of a grid: their names, and the values that each may take."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from valley.data.chat import ChatConfig
from valley.data.config import DataConfig
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.profiles import GenerateConfig
from valley.train.config import TrainConfig
from valley.validation import paths_to

NAMED_AXES = ("student", "stage", "size", "difficulty", "correctness", "seed")
DIFFICULTIES = ("all", "easy", "medium", "hard")
CORRECTNESSES = ("all", "correct", "incorrect", "unknown")
SECTIONS = {
    "data": DataConfig,
    "chat": ChatConfig,
    "train": TrainConfig,
    "generate": GenerateConfig,
    "grade": GradeConfig,
}
RECIPE_SECTIONS = tuple(SECTIONS)
STEPS = "train.steps"
"""The axis that may be derived: see `recipe.matched_steps`."""
MATCHING = "matching_size"
MAX_POINTS = 1_000_000
"""Most points of one block; a block of more is a slip of the pen."""
MAX_NUMBER = 2**63 - 1
"""Largest size or seed: what torch's random generator takes."""

At = Callable[..., str]
"""Says where an axis of the block stands, or the block itself: a file, a line, a key."""


@dataclass(frozen=True)
class Choices:
    """What a sweep's students and stages leave to choose from."""

    students: tuple[str, ...]
    """The default first."""
    stages: tuple[int, ...]
    """The least is the default."""

    def default(self, name: str) -> Any:
        """A named axis's value where a grid gives none; None for `size`, which has none."""
        defaults = {
            "student": self.students[0],
            "stage": min(self.stages),
            "difficulty": "all",
            "correctness": "all",
            "seed": 0,
        }
        return defaults.get(name)

    def values(self, name: str, value: Any, at: At) -> list[Any]:
        """The values that a grid gives an axis: one, a list, or a range.

        Args:
            at: says where an axis stands.

        Raises:
            UserError: names the axis, what was found and what is allowed.
        """
        if isinstance(value, dict) and MATCHING not in value:
            value = _range(name, value, at)
        listed = value if isinstance(value, list) else [value]
        if not listed:
            raise UserError(f"{at(name)}: an empty axis; expected at least one value")
        for item in listed:
            self.check(name, item, at)
        return listed

    def check(self, name: str, item: Any, at: At) -> None:
        """Refuse a value that an axis cannot take. Settings are held against their sections later.

        Raises:
            UserError: names the axis, what was found and what is allowed.
        """
        if name in ("size", "seed"):
            if type(item) is not int or item < 0:
                raise UserError(f"{at(name)}: found {item!r}; expected a whole number, 0 or more")
            if item > MAX_NUMBER:
                raise UserError(f"{at(name)}: found {item}; expected {MAX_NUMBER} at most")
        elif isinstance(item, dict) and MATCHING in item:
            _check_matching(name, item, at)
        elif name in NAMED_AXES:
            allowed: tuple[Any, ...] = {
                "student": self.students,
                "stage": self.stages,
                "difficulty": DIFFICULTIES,
                "correctness": CORRECTNESSES,
            }[name]
            if not any(type(one) is type(item) and one == item for one in allowed):
                raise UserError(
                    f"{at(name)}: found {item!r}; expected one of {', '.join(map(str, allowed))}"
                    + (f"; define it under `{name}s`" if name in ("stage", "student") else "")
                )


def check_name(name: str, at: At, keys: tuple[str, ...] = ()) -> None:
    """Refuse what is no axis.

    Args:
        at: says where an axis stands.
        keys: what else may stand in its place.

    Raises:
        UserError: names what is allowed.
    """
    if name in NAMED_AXES:
        return
    section, _, field = name.partition(".")
    if section not in RECIPE_SECTIONS or not field:
        named = [*NAMED_AXES, *keys]
        near = paths_to(SECTIONS, name) or difflib.get_close_matches(name, named, n=1)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        also = f", or {', '.join(keys)}" if keys else ""
        raise UserError(
            f"{at(name)}: unknown axis; expected one of {', '.join(NAMED_AXES)}, or a dotted "
            f"setting of {', '.join(RECIPE_SECTIONS)}, such as train.learning_rate{also}{meant}"
        )
    if section == "train" and field in TrainConfig.EXECUTION_FIELDS:
        raise UserError(
            f"{at(name)}: no axis, since a result does not depend on it and cells that differ in it "
            f"would be one; set `{field}` under `train`"
        )


def same(one: Any, other: Any) -> bool:
    """Whether two values of YAML are equal; `true` is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


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
    derived = f", or {{{MATCHING}: SIZE}}" if name == STEPS else ""
    raise UserError(
        f"{at(name)}: found {value!r}; expected {{range: [start, stop, step]}} of whole numbers{derived}"
    )


def _check_matching(name: str, item: dict[str, Any], at: At) -> None:
    size = item[MATCHING]
    if name != STEPS:
        raise UserError(f"{at(name)}: found {item!r}; only {STEPS} can be derived from a size")
    if len(item) > 1 or type(size) is not int or not 0 < size <= MAX_NUMBER:
        raise UserError(
            f"{at(name)}: found {item!r}; expected {{{MATCHING}: SIZE}}, a whole number, 1 or more"
        )
