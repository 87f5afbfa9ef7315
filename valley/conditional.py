"""Conditional settings: the grid's `when`, which sets recipe fields by the axes of a cell.

    when:
      - {if: {size: 1000}, set: {train.learning_rate: 4.0e-5}}

An item holds for a cell, or for a cell that a stage starts from, if each of its conditions does. What a
cell's own axes say goes before what an item sets. Two items that set one field of the same cell are an
error, since whichever came first, one of them would be of no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from valley.axes import NAMED_AXES, RECIPE_SECTIONS, SECTIONS, STEPS, Choices, check_name, same
from valley.errors import UserError
from valley.validation import Location, paths_to


class When(BaseModel):
    """One item: settings for the cells that its conditions hold for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: dict[str, Any] = Field(alias="if", min_length=1)
    """A value, a list of values or a range by axis; all must hold. A setting that is no axis of the cell
    has its section's value."""
    settings: dict[str, Any] = Field(alias="set", min_length=1)
    """New values by dotted name, such as `train.learning_rate`."""


class Conditionals:
    """All items of a grid, validated."""

    def __init__(
        self,
        items: list[When],
        choices: Choices,
        base: Callable[[str], Any],
        at: Callable[[Location], str],
    ) -> None:
        """Check the items.

        Args:
            base: the value that a dotted setting has in its section; a KeyError where there is none.
            at: says where a location in the grid file stands.

        Raises:
            UserError: names the place, what was found and what is allowed.
        """
        self._items = items
        self._base = base
        self._at = at
        self._conditions = [self._read(number, choices) for number in range(len(items))]
        self._used: set[int] = set()

    @property
    def derives(self) -> bool:
        """Whether some item sets what is derived from a cell's size."""
        return any(isinstance(item.settings.get(STEPS), dict) for item in self._items)

    def matching(self, axes: Mapping[str, Any]) -> tuple[int, ...]:
        """The items that hold for a cell of these axes."""
        if not self._conditions:
            return ()
        found = tuple(
            number
            for number, conditions in enumerate(self._conditions)
            if all(
                any(same(self._value(axes, name), value) for value in values)
                for name, values in conditions.items()
            )
        )
        self._used.update(found)
        return found

    def settings(self, matching: tuple[int, ...], own: Mapping[str, Any]) -> dict[str, Location]:
        """The settings that items make, and where each stands, but for those that `own` axes make.

        Raises:
            UserError: two of the items set one field, or one sets a part of what the other sets.
        """
        found: dict[str, Location] = {}
        for number in matching:
            for name in self._items[number].settings:
                if any(_covers(axis, name) for axis in own):
                    continue
                for other, location in found.items():
                    if _covers(other, name) or _covers(name, other):
                        raise UserError(
                            f"{self._at(('when', number, 'set', name))}: when[{location[1]}] sets "
                            f"{other} of the same cells; make the conditions exclude each other"
                        )
                found[name] = ("when", number, "set", name)
        return found

    def value(self, location: Location) -> Any:
        """The value of a setting that `settings` told the place of."""
        _, number, _, name = location
        return self._items[int(number)].settings[str(name)]

    def vain(self) -> list[str]:
        """The places of items that held for no cell so far."""
        return [self._at(("when", n)) for n in range(len(self._items)) if n not in self._used]

    def _value(self, axes: Mapping[str, Any], name: str) -> Any:
        return axes.get(name) if name in axes or name in NAMED_AXES else self._base(name)

    def _read(self, number: int, choices: Choices) -> dict[str, list[Any]]:
        def at(part: str) -> Callable[..., str]:
            return lambda name: self._at(("when", number, part, name))

        for name, value in self._items[number].settings.items():
            section, _, field = name.partition(".")
            if section not in RECIPE_SECTIONS or not field:
                near = paths_to(SECTIONS, name)
                raise UserError(
                    f"{at('set')(name)}: no setting of a cell; expected a dotted one of "
                    f"{', '.join(SECTIONS)}, such as {' or '.join(near) or 'train.learning_rate'}"
                )
            choices.check(name, value, at("set"))
        conditions = {}
        for name, value in self._items[number].condition.items():
            check_name(name, at("if"))
            conditions[name] = choices.values(name, value, at("if"))
            try:
                self._value({}, name)
            except KeyError as error:
                raise UserError(f"{at('if')(name)}: there is no such setting") from error
        return conditions


def _covers(one: str, other: str) -> bool:
    """Whether a dotted name is another, or a mapping around it."""
    return f"{other}.".startswith(f"{one}.")
