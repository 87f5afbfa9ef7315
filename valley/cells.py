"""Cells: the points of a grid with their recipes, and the expansion of a sweep into them.

1. `block` yields every block's points.
2. What `conditional` settings hold for a point, and the point's own dotted axes, make its recipe.
3. The cell that its stage starts from is made likewise, from its own axes: settings by size are the
   parent's own, a control's training axes are not.
4. Points with equal named axes, recipe and start are one cell, under its shortest name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from valley.axes import MATCHING, NAMED_AXES, STEPS, At, Choices
from valley.block import Block
from valley.conditional import Conditionals
from valley.errors import UserError
from valley.grid_file import GridFile
from valley.recipe import Recipe, Recipes, matched_steps
from valley.records import canonical_json

if TYPE_CHECKING:
    from valley.sweep import Sweep

EPOCHS = "train.epochs"
Place = Callable[[str, Any], str]
NAMED = itemgetter(*NAMED_AXES)


def _nowhere(axis: str, value: Any) -> str:
    return axis


@dataclass(eq=False, slots=True)
class Cell:
    """One point of the grid. Nobody changes a cell once it is made.

    It is not frozen because there may be a hundred thousand, and that would take twice as long.
    """

    axes: dict[str, Any]
    """The named axes first, then dotted ones by name: all in which some cell of the sweep differs from
    the grid's sections, so that cells can be compared."""
    recipe: Recipe
    varied: tuple[str, ...] = ()
    """The dotted axes in which this cell itself differs from them; its label names these."""
    start: Cell | None = None
    """The cell whose checkpoint its stage starts from; None is the student itself."""
    place: Place = _nowhere
    """Says where the grid gives one of its named axes, of which it has this value."""

    @property
    def label(self) -> str:
        """A name that a person can read."""
        axes = self.axes
        label = f"{axes['student']}-t{axes['stage']}-n{axes['size']}"
        for arm in (axes["difficulty"], axes["correctness"]):
            if arm != "all":
                label += f"-{arm}"
        for name in self.varied:
            label += f"-{name}={axes[name]}"
        return f"{label}-seed{axes['seed']}"

    @property
    def is_baseline(self) -> bool:
        """Whether the cell is its stage's initial checkpoint, evaluated and never trained."""
        return self.axes["size"] == 0


@dataclass
class Expansion:
    """A sweep's cells, and what a person should know of how they came about."""

    cells: list[Cell]
    left_out: list[str] = field(default_factory=list)
    """What `exclude` left out and why, one sentence each."""
    warnings: list[str] = field(default_factory=list)
    """What is probably a slip, one sentence each."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What a point's axes come to."""

    own: dict[str, Any]
    """The dotted axes that make a difference, by name; derived ones as numbers."""
    recipe: Recipe
    start: Cell | None


class _Expander:
    """Makes every recipe and every start of a sweep once."""

    def __init__(self, sweep: Sweep, base: Recipe, file: GridFile) -> None:
        self._sweep = sweep
        self._at = file.at
        self._recipes = Recipes(base, sweep.resources.train, file.at)
        self._choices = Choices(tuple(sweep.students), tuple(sweep.stages))
        self._when = Conditionals(sweep.when, self._choices, cache(base.setting), file.at)
        self._made: dict[tuple, _Made] = {}
        self._starts: dict[tuple, Cell] = {}

    def expand(self) -> Expansion:
        found: dict[tuple, tuple[dict[str, Any], _Made, Place]] = {}
        left_out, warnings = [], []
        blocks = [
            Block(block, self._choices, partial(_inside, self._at, number))
            for number, block in enumerate(self._sweep.grid)
        ]
        for block in blocks:
            at, place = block.at, block.place_of
            for point in block.points():
                made = self._make(point, at)
                key = (NAMED(point), id(made.recipe), id(made.start))
                other = found.setdefault(key, (point, made, place))[1]
                if made.own is not other.own and _length(made.own) < _length(other.own):
                    found[key] = (point, made, place)
            for exclusion in block.exclusions:
                if exclusion.left_out:
                    number = len(exclusion.left_out)
                    cells = f"{number} cell{'' if number == 1 else 's'} left out ({exclusion})"
                    left_out.append(f"{cells}: {exclusion.reason or exclusion.where}")
                else:
                    warnings.append(
                        f"{exclusion.where}: leaves out nothing: no cell has {exclusion}"
                    )
        warnings += [f"{where}: holds for no cell" for where in self._when.vain()]
        return Expansion(_with_all_axes(list(found.values())), left_out, warnings)

    def _make(self, point: dict[str, Any], at: At) -> _Made:
        """What a point comes to. Its values are the grid's own, which stay alive: ids name them."""
        names = tuple(point)[len(NAMED_AXES) :]
        own = {name: point[name] for name in names} if names else {}
        size = point["size"]
        key = (
            names,
            tuple(map(id, own.values())),
            self._when.matching(point),
            point["student"],
            point["stage"],
            size if _is_derived(own.get(STEPS)) or self._when.derives else size > 0,
        )
        made = self._made.get(key)
        if made is None:
            named = {name: point[name] for name in NAMED_AXES}
            made = self._made[key] = self._shortest(named, own, at)
        return made

    def _shortest(self, named: dict[str, Any], own: dict[str, Any], at: At) -> _Made:
        """What axes come to, without those that make no difference."""
        made = self._of(named, own, at)
        for name in made.own:
            fewer = {n: v for n, v in made.own.items() if n != name}
            try:
                shorter = self._of(named, fewer, at)
            except UserError:  # without this axis the others would not do
                continue
            if shorter.recipe is made.recipe and shorter.start is made.start:
                made = shorter
        return made

    def _of(self, named: dict[str, Any], own: dict[str, Any], at: At) -> _Made:
        """What axes come to: conditional settings, then the cell's own, then what is derived of them."""
        settings = self._when.settings(self._when.matching({**named, **own}), own)
        if named["size"] == 0:
            settings = {n: place for n, place in settings.items() if not n.startswith("train.")}
        if isinstance(own.get(STEPS), int):
            settings.pop(EPOCHS, None)
        values = {name: self._when.value(place) for name, place in settings.items()} | own

        def place(name: str | None = None) -> str:
            return self._at(settings[name]) if name in settings else at(name) if name else at()

        steps = values.get(STEPS)
        if steps is not None and _is_derived(steps):
            del values[STEPS]
            train = self._recipes.of(values, place).train
            number = matched_steps(train, steps[MATCHING], named["size"], place)
            own = {name: value for name, value in own.items() if name != STEPS}
            if number is not None:
                # The epochs have done their part: what is trained goes by the steps.
                values = {n: v for n, v in values.items() if n != EPOCHS} | {STEPS: number}
                own.pop(EPOCHS, None)
                own = dict(sorted({**own, STEPS: number}.items()))
        return _Made(own, self._recipes.of(values, place), self._start(named, own, at))

    def _start(self, named: dict[str, Any], own: Mapping[str, Any], at: At) -> Cell | None:
        """The cell that the stage starts from, with the data, the questions and the grading of its child."""
        number = named["stage"]
        parent = self._sweep.stages[number].parent
        if parent is None:
            return None
        axes = {
            "student": named["student"],
            "stage": parent.stage if parent.stage is not None else number - 1,
            "size": parent.size,
            "difficulty": parent.difficulty,
            "correctness": parent.correctness,
            "seed": parent.seed,
        }
        shared = {name: value for name, value in own.items() if not name.startswith("train.")}
        made = self._of(axes, shared, at)
        key = (*axes.values(), id(made.recipe), id(made.start))
        start = Cell(axes, made.recipe, (), made.start, partial(self._stage_place, number))
        return self._starts.setdefault(key, start)

    def _stage_place(self, number: int, axis: str, value: Any) -> str:
        """Where a stage names an axis of the cell that it starts from."""
        return self._at(("stages", number, "from", axis))


def expand(sweep: Sweep, base: Recipe, file: GridFile) -> Expansion:
    """The distinct cells of a sweep.

    Args:
        base: the sections that recipes start from.

    Raises:
        UserError: names the file and line, the axis or setting, what was found and what is allowed.
    """
    return _Expander(sweep, base, file).expand()


def with_starts(cells: list[Cell]) -> list[Cell]:
    """Cells, and those that their stages start from."""
    starts: dict[int, Cell] = {}
    for cell in cells:
        start = cell.start
        while start is not None and id(start) not in starts:
            starts[id(start)] = start
            start = start.start
    return [*cells, *starts.values()]


def _with_all_axes(found: list[tuple[dict[str, Any], _Made, Place]]) -> list[Cell]:
    """The cells, each with a value for every axis in which some cell differs."""
    names = sorted({name for _, made, _ in found for name in made.own})
    parts: dict[tuple, dict[str, Any]] = {}
    cells = []
    for point, made, place in found:
        key = (id(made), point["size"] > 0)
        if key not in parts:
            parts[key] = _values(names, made, trained=point["size"] > 0)
        # A point whose dotted axes make no difference may hold some all the same.
        plain = len(point) == len(NAMED_AXES)
        named = point if plain else dict(zip(NAMED_AXES, NAMED(point), strict=True))
        axes = named | parts[key] if parts[key] else named
        cells.append(Cell(axes, made.recipe, tuple(made.own), made.start, place))
    return cells


def _values(names: list[str], made: _Made, trained: bool) -> dict[str, Any]:
    """The values of dotted axes: a cell's own, else its recipe's where there is one."""
    values: dict[str, Any] = {}
    for name in names:
        if name in made.own:
            values[name] = made.own[name]
            continue
        if name.startswith("train.") and not trained:
            continue
        if name == EPOCHS and made.recipe.train.steps is not None:
            continue
        try:
            value = made.recipe.setting(name)
        except KeyError:
            continue
        if value is not None:
            values[name] = value
    return values


def _is_derived(value: Any) -> bool:
    return isinstance(value, dict) and MATCHING in value


def _length(own: Mapping[str, Any]) -> tuple[int, str]:
    """Orders spellings of one cell: the shortest first."""
    text = canonical_json(own)
    return len(text), text


def _inside(at: Any, number: int, location: tuple[str | int, ...]) -> str:
    return at(("grid", number, *location))
