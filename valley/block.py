"""A block of a grid, and the points that it stands for.

    {axis: value, list or range, …}   the product of all of them
    zip: {axis: list, axis: list}     axes that move together; or a list of such mappings
    exclude: [{axis: value or list, …, reason: text}]   points of the product that are left out
    include: [{axis: value, …}]       further points; what one does not name, the block's axes of one
                                      value give, then the defaults

A point is an axis's value by name, the named axes first, then dotted ones by name. Of a baseline, what
would say how it is trained is left out, so that all its points are one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from valley.axes import MAX_POINTS, NAMED_AXES, At, Choices, check_name, same
from valley.errors import UserError
from valley.validation import Location

MOST_LISTED = 4
KEYS = ("zip", "exclude", "include")
Values = tuple[Any, ...]
Columns = dict[tuple[str, ...], list[Any]]
"""What a product is of: an axis's values, or the tuples of a zip's axes."""


@dataclass
class Exclusion:
    """One item of `exclude`: all its conditions hold for what it leaves out."""

    where: str
    """The place in the grid file."""
    conditions: dict[str, list[Any]]
    reason: str
    left_out: set[str] = field(default_factory=set)
    """The points that it left out, once `Block.points` has been gone through."""

    def __str__(self) -> str:
        """The conditions, as `--where` would have them."""
        return " ".join(f"{name}={_listed(values)}" for name, values in self.conditions.items())

    def holds(self, point: Mapping[str, Any]) -> bool:
        """Whether a point is to be left out."""
        return all(
            any(same(value, point[name]) for value in values)
            for name, values in self.conditions.items()
        )


class Block:
    """One item of `grid`, validated."""

    def __init__(
        self, block: Mapping[str, Any], choices: Choices, at: Callable[[Location], str]
    ) -> None:
        """Check a block and take it apart.

        Args:
            at: says where a location in the block stands.

        Raises:
            UserError: names the place, what was found and what is allowed.
        """
        self._choices = choices
        self._at = at
        self._elsewhere: dict[str, Location] = {}
        self._axes = {
            name: self._values((), name, value, KEYS)
            for name, value in block.items()
            if name not in KEYS
        }
        self._zips = self._read_zips(block.get("zip", []))
        zipped = {name for columns in self._zips for name in columns}
        self._only_includes = bool(block.get("include")) and "size" not in {*self._axes, *zipped}
        self._included = block.get("include", [])
        self._inclusions = self._read_includes(self._included)
        if "size" not in {*self._axes, *zipped} and not self._only_includes:
            raise UserError(f"{at(())}: no `size`; expected one number of traces, or a list")
        for name in NAMED_AXES:
            if name not in {*self._axes, *zipped} and name != "size":
                self._axes[name] = [choices.default(name)]
        if not self._only_includes:
            self._check_number(1)
        self.exclusions = self._read_exclusions(block.get("exclude", []))

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield the axes of every point: of the product, then what `include` adds."""
        if not self._only_includes:
            yield from self._product()
        for point in self._inclusions:
            yield _normalised(point)

    def at(self, axis: str = "") -> str:
        """Where an axis of the block stands; without a name, the block itself."""
        if not axis:
            return self._at(())
        if axis in self._axes:
            return self._at((axis,))
        return self._at(self._elsewhere.get(axis, (axis,)))

    def place_of(self, axis: str, value: Any) -> str:
        """Where the block gives an axis this value."""
        if axis in self._axes and any(same(value, one) for one in self._axes[axis]):
            return self.at(axis)
        for number, item in enumerate(self._included):
            if axis in item and same(value, item[axis]):
                return self._at(("include", number, axis))
        return self.at(axis)

    def _product(self) -> Iterator[dict[str, Any]]:
        columns = self._columns()
        names = [name for group in columns for name in group]
        ordered = _ordered(names)
        plain = not self._zips
        for values in _product(columns):
            point = dict(zip(names, values if plain else _flat(columns, values), strict=True))
            if names != ordered:
                point = {name: point[name] for name in ordered}
            if self.exclusions and self._is_left_out(point):
                continue
            yield _normalised(point)

    def _is_left_out(self, point: dict[str, Any]) -> bool:
        found = [one for one in self.exclusions if one.holds(point)]
        for exclusion in found:
            exclusion.left_out.add(repr(_normalised(point)))
        return bool(found)

    def _columns(self) -> Columns:
        """What the product is of, in the axes' order."""
        columns: Columns = {(name,): values for name, values in self._axes.items()}
        for zipped in self._zips:
            columns[tuple(_ordered(zipped))] = list(
                zip(*(zipped[name] for name in _ordered(zipped)), strict=True)
            )
        return dict(sorted(columns.items(), key=lambda column: _rank(column[0][0])))

    def _check_number(self, times: int) -> None:
        number = times * math.prod(map(len, self._columns().values()))
        if number > MAX_POINTS:
            raise UserError(
                f"{self._at(())}: stands for {number} cells; at most {MAX_POINTS} are allowed"
            )

    def _values(
        self, inside: Location, name: str, value: Any, keys: tuple[str, ...] = ()
    ) -> list[Any]:
        check_name(name, self._place(*inside), keys)
        return self._choices.values(name, value, self._place(*inside))

    def _place(self, *inside: str | int) -> At:
        """Says where an axis inside a part of the block stands, or that part itself."""
        return lambda name=None: self._at((*inside, name) if name is not None else inside)

    def _read_zips(self, value: Any) -> list[dict[str, list[Any]]]:
        listed = value if isinstance(value, list) else [value]
        zips: list[dict[str, list[Any]]] = []
        taken = dict.fromkeys(self._axes, "among the block's own axes")
        for number, item in enumerate(listed):
            inside: Location = ("zip", number) if isinstance(value, list) else ("zip",)
            if not isinstance(item, dict) or len(item) < 2:
                raise UserError(
                    f"{self._at(inside)}: found {_shown(item)}; expected a mapping of two axes or more "
                    "to lists of one length"
                )
            zips.append({})
            for name, values in item.items():
                place = self._at((*inside, name))
                zips[-1][name] = self._values(inside, name, values)
                if not isinstance(values, list | dict):
                    raise UserError(f"{place}: found {values!r}; expected a list or a range")
                if name in taken:
                    raise UserError(f"{place}: {name} stands {taken[name]} too; keep one")
                taken[name] = "in another zip"
                self._elsewhere[name] = (*inside, name)
            lengths = {name: len(values) for name, values in zips[-1].items()}
            if len(set(lengths.values())) > 1:
                said = ", ".join(f"{name} has {number}" for name, number in lengths.items())
                raise UserError(f"{self._at(inside)}: lists of different lengths: {said} values")
        return zips

    def _read_includes(self, value: Any) -> list[dict[str, Any]]:
        if self._only_includes:
            self._check_number(len(value) if isinstance(value, list) else 1)
            columns = self._columns()
            names = [name for group in columns for name in group]
            given = [dict(zip(names, _flat(columns, p), strict=True)) for p in _product(columns)]
        else:
            given = [{name: values[0] for name, values in self._axes.items() if len(values) == 1}]
        points = []
        for inside, item in self._items("include", value):
            for name, single in item.items():
                check_name(name, self._place(*inside))
                self._choices.check(name, single, self._place(*inside))
                self._elsewhere.setdefault(name, (*inside, name))
            for others in given:
                point = {**others, **item}
                if "size" not in point:
                    raise UserError(
                        f"{self._at(inside)}: no `size`, here or as one value of the block"
                    )
                for name in NAMED_AXES:
                    point.setdefault(name, self._choices.default(name))
                points.append({name: point[name] for name in _ordered(point)})
        return points

    def _read_exclusions(self, value: Any) -> list[Exclusion]:
        there = [] if self._only_includes else _ordered({n for c in self._columns() for n in c})
        exclusions = []
        for inside, item in self._items("exclude", value):
            conditions = {}
            for name, listed in item.items():
                if name == "reason":
                    continue
                conditions[name] = self._values(inside, name, listed, ("reason",))
                if name not in there:
                    raise UserError(
                        f"{self._at((*inside, name))}: no axis of this block, so nothing could be left "
                        f"out; its axes: {', '.join(there) or 'none'}"
                    )
            reason = item.get("reason", "")
            if not isinstance(reason, str):
                raise UserError(f"{self._at((*inside, 'reason'))}: found {reason!r}; expected text")
            if not conditions:
                raise UserError(f"{self._at(inside)}: no condition; it would leave out every cell")
            exclusions.append(Exclusion(self._at(inside), conditions, reason))
        return exclusions

    def _items(self, key: str, value: Any) -> Iterator[tuple[Location, dict[str, Any]]]:
        if not isinstance(value, list):
            raise UserError(
                f"{self._at((key,))}: found {_shown(value)}; expected a list of mappings"
            )
        for number, item in enumerate(value):
            inside = (key, number)
            if not isinstance(item, dict) or not item:
                raise UserError(
                    f"{self._at(inside)}: found {_shown(item)}; expected a mapping of axes"
                )
            yield inside, item


def _listed(values: list[Any]) -> str:
    texts = list(map(str, values))
    return ",".join(texts if len(texts) <= MOST_LISTED else [*texts[:2], "…", texts[-1]])


def _product(columns: Columns) -> Iterator[Values]:
    return itertools.product(*columns.values())


def _flat(columns: Columns, values: Values) -> Iterator[Any]:
    """The values of single axes, out of the values of columns."""
    for group, value in zip(columns, values, strict=True):
        if len(group) > 1:
            yield from value
        else:
            yield value


def _rank(name: str) -> tuple[int, str]:
    """Sorts axes: the named ones first, then dotted ones by name."""
    return (NAMED_AXES.index(name), "") if name in NAMED_AXES else (len(NAMED_AXES), name)


def _ordered(names: Any) -> list[str]:
    return sorted(names, key=_rank)


def _shown(value: Any) -> str:
    return "a mapping" if isinstance(value, dict) and value else repr(value)


def _normalised(axes: dict[str, Any]) -> dict[str, Any]:
    """A baseline without the axes that say what would have been trained, and how."""
    if axes["size"] > 0:
        return axes
    kept = {name: value for name, value in axes.items() if not name.startswith("train.")}
    return {**kept, "difficulty": "all", "correctness": "all", "seed": 0}
