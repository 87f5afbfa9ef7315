"""A cell's recipe: the grid's sections after the cell's dotted axes have been applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from valley.axes import MATCHING, RECIPE_SECTIONS, STEPS, At
from valley.cluster.config import Resources
from valley.data.chat import ChatConfig
from valley.data.config import DataConfig
from valley.data.pack import accumulation
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.profiles import GenerateConfig
from valley.records import canonical_json
from valley.train.config import TrainConfig
from valley.train.deepspeed_keys import deepspeed_config
from valley.validation import Location, validate


@dataclass(frozen=True)
class Recipe:
    """The settings of a cell, after its axes have been applied."""

    data: DataConfig
    chat: ChatConfig
    train: TrainConfig
    generate: GenerateConfig
    grade: GradeConfig

    def setting(self, name: str) -> Any:
        """The value of a dotted setting.

        Raises:
            KeyError: there is none of this name.
        """
        section, *rest = name.split(".")
        value = getattr(self, section).model_dump(mode="json")
        for part in rest:
            if not isinstance(value, dict):
                raise KeyError(name)
            value = value[part]
        return value


class Recipes:
    """The recipes of a sweep, each distinct one made and checked once.

    Recipes that agree in a section share its object, so that a hundred thousand of them cost no more
    than the few hundred sections they are put together from.
    """

    def __init__(self, base: Recipe, train: Resources, at: Callable[[Location], str]) -> None:
        """Start from the sections as they stand in the grid file.

        Equal recipes are one object, however their settings were spelled.

        Args:
            train: what a training runs on.
            at: says where a location in the grid file stands.
        """
        self._base = base
        self._train = train
        self._at = at
        self._recipes: dict[str, Recipe] = {}
        self._sections: dict[str, Any] = {}
        self._distinct: dict[Any, Any] = {
            (name, getattr(base, name).model_dump_json()): getattr(base, name)
            for name in RECIPE_SECTIONS
        }

    def of(self, overrides: Mapping[str, Any], at: At) -> Recipe:
        """The recipe with some settings replaced.

        Args:
            overrides: new values by dotted name, such as `train.learning_rate`.
            at: says where an axis stands; without a name, where the block of all of them does.

        Raises:
            UserError: names the axis or setting, what was found and what is allowed.
        """
        key = canonical_json(overrides)
        if key not in self._recipes:
            sections = {name: self._section(name, overrides, at) for name in RECIPE_SECTIONS}
            recipe = Recipe(**sections)
            if "train.epochs" in overrides and recipe.train.steps is not None:
                raise UserError(
                    f"{at('train.epochs')}: of no effect where train.steps is set; leave one out"
                )

            def origin(name: str) -> str:
                return at(name) if name in overrides else self._at(tuple(name.split(".")))

            _check_recipe(recipe, self._train, origin)
            parts = tuple(id(section) for section in sections.values())
            self._recipes[key] = self._distinct.setdefault(parts, recipe)
        return self._recipes[key]

    def _section(self, section: str, overrides: Mapping[str, Any], at: At) -> Any:
        base = getattr(self._base, section)
        mine = {n: v for n, v in overrides.items() if n.startswith(f"{section}.")}
        if not mine:
            return base
        key = canonical_json(mine)
        if key not in self._sections:
            made = _vary(section, base, mine, at)
            self._sections[key] = self._distinct.setdefault((section, made.model_dump_json()), made)
        return self._sections[key]


def matched_steps(train: TrainConfig, matching_size: int, size: int, at: At) -> int | None:
    """The optimizer steps that a set of `matching_size` traces gets by the epochs; None if as many as `size`.

    It is what `train.steps: {matching_size: …}` stands for.

    Raises:
        UserError: the recipe does not go by epochs.
    """
    if train.steps is not None:
        raise UserError(
            f"{at(STEPS)}: {MATCHING} counts steps by train.epochs, and train.steps is set to "
            f"{train.steps}; set train.epochs instead"
        )
    steps = train.total_steps(matching_size)
    return None if steps == train.total_steps(size) else steps


def _vary(section: str, base: BaseModel, overrides: Mapping[str, Any], at: At) -> BaseModel:
    """A section with some of its settings replaced."""
    values = base.model_dump(mode="json")
    for name, value in overrides.items():
        target: Any = values
        *parents, last = name.split(".")[1:]
        for parent in parents:
            target = target.get(parent) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            raise UserError(f"{at(name)}: {'.'.join((section, *parents))} holds no settings")
        target[last] = value

    def whose(location: Location) -> str:
        # The key at fault is an axis, or lies inside the value of one.
        key = ".".join(map(str, (section, *location)))
        for name in overrides:
            if f"{key}.".startswith(f"{name}."):
                return f"{at(name)}{key.removeprefix(name)}"
        return f"{at()}: {key}"

    return validate(type(base), values, whose)


def _check_recipe(recipe: Recipe, resources: Resources, at: Callable[[str], str]) -> None:
    """Refuse sections that contradict one another."""
    k = max(recipe.grade.k)
    for name, profile in recipe.generate.profiles.items():
        first = profile.up_to(1).samples
        if k > first:
            inside = f" in each of {profile.rounds} rounds" if profile.rounds > 1 else ""
            raise UserError(
                f"{at('grade.k')}: pass@{k} needs {k} samples, and the profile {name!r} draws "
                f"{first}{inside}; raise generate.profiles.{name}.samples or lower k"
            )
    try:
        recipe.data.check()
    except UserError as error:
        raise UserError(f"{at('data')}: {error}") from error
    check_training(recipe.train, resources.ranks, lambda key: at(f"train.{key}"))
    if resources.raised_execution:
        _check_raised(recipe.train, resources, lambda: at("resources.train.on_out_of_memory"))


def _check_raised(train: TrainConfig, resources: Resources, at: Callable[[], str]) -> None:
    """Refuse what a training that has run out of memory could not be run with."""
    more = resources.raised_execution
    raised = validate(TrainConfig, {**train.model_dump(mode="json"), **more}, lambda _: at())
    if "micro_batch_size" in more and raised.micro_batch_tokens is not None:
        raise UserError(
            f"{at()}: micro_batch_size is of no effect where micro_batch_tokens is set; give "
            "micro_batch_tokens instead"
        )
    check_training(raised, resources.ranks, lambda _: at())


def check_training(train: TrainConfig, ranks: int, at: Callable[[str], str]) -> None:
    """Refuse a batch that cannot be shared out among the ranks, and raw keys that contradict settings.

    Args:
        at: says where a setting of the training stands.

    Raises:
        UserError: says where the setting comes from, and what is wrong.
    """
    key = "batch_size"
    try:
        steps = accumulation(
            train.batch_size, train.micro_batch_size, ranks, train.micro_batch_tokens
        )
        key = "deepspeed"
        deepspeed_config(train, steps, ranks)
    except UserError as error:
        place, said = at(key), str(error)
        if place.endswith(".deepspeed") and said.startswith("train.deepspeed."):
            raise UserError(f"{place}{said.removeprefix('train.deepspeed')}") from error
        raise UserError(f"{place}: {said}") from error
