"""Sampling in rounds: how many rounds of a profile's samples a sweep is to draw, by what is graded.

A profile's `rounds` divide its samples. All cells of the sweep draw the same number of rounds, so that n
is equal for all problems and for both sides of every contrast: a round is planned when every cell has
the one before, and none after every cell's 95 % interval of pass@1 is `until_interval` wide or narrower,
once each problem has `DECIDING_SAMPLES`.
The interval is the one over problems that plots have, of each cell by itself: noise of training seeds,
which more samples do not lessen, is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from valley.errors import UserError
from valley.evaluate.profiles import DECIDING_SAMPLES, Profile
from valley.job import Trail
from valley.store import Store
from valley.sweep import Cell, Sweep
from valley.trail import trail


@dataclass(frozen=True)
class Drawing:
    """How far one profile's samples are drawn."""

    profile: str
    number: int
    """Rounds planned."""
    of: int
    until: float | None
    """The width that ends sampling, where one may after these rounds."""
    is_graded: bool = False
    """Whether every cell has all planned rounds."""
    widest: float | None = None
    """The widest interval after them, where it decides."""

    @property
    def is_narrow(self) -> bool:
        """Whether sampling stops early."""
        return self.until is not None and self.widest is not None and self.widest <= self.until

    @property
    def is_over(self) -> bool:
        """Whether no round is to follow those that are planned."""
        return self.number == self.of or self.is_narrow

    def as_json(self) -> dict[str, Any]:
        """For a manifest."""
        return {"round": self.number, "of": self.of, "is_over": self.is_over}

    @property
    def sentence(self) -> str:
        """How it stands."""
        if self.is_narrow and self.number < self.of:
            return (
                f"profile {self.profile!r}: sampling stopped after {self.number} of {self.of} rounds: widest "
                f"95 % interval of pass@1 {self.widest:.3g} <= {self.until:g}"
            )
        if self.is_over and self.is_graded:
            return f"profile {self.profile!r}: all {self.of} rounds of its samples are drawn"
        said = f"profile {self.profile!r}: round {self.number} of {self.of} of its samples"
        if self.is_over:
            return f"{said}, the last"
        unless = (
            ""
            if self.until is None
            else f" and some 95 % interval of pass@1 is wider than {self.until:g}"
        )
        return f"{said}; the next begins when every cell has it{unless}"


@dataclass(frozen=True)
class DrawnRounds:
    """A sweep's trail as far as its samples are to be drawn as things stand now."""

    sweep: Sweep
    cells: list[Cell]
    store: Store
    whole: Trail
    drawings: list[Drawing]
    """How far each profile is that is drawn in rounds."""

    @classmethod
    def of(cls, sweep: Sweep, cells: list[Cell], store: Store) -> DrawnRounds:
        """By what is graded now.

        Raises:
            UserError: cells draw a profile of one name in different rounds.
        """
        profiles = _in_rounds(cells)
        numbers = dict.fromkeys(profiles, 1)
        while True:
            whole = trail(sweep, cells, numbers)
            drawings = [_drawing(n, numbers[n], p, whole, store) for n, p in profiles.items()]
            further = [d.profile for d in drawings if d.is_graded and not d.is_over]
            if not further:
                return cls(sweep, cells, store, whole, drawings)
            for name in further:
                numbers[name] += 1

    @cached_property
    def most(self) -> Trail:
        """The trail of all rounds that may come, for prices; `whole` itself where that is no more."""
        if all(drawing.is_over for drawing in self.drawings):
            return self.whole
        most = {d.profile: d.number if d.is_over else d.of for d in self.drawings}
        return trail(self.sweep, self.cells, most)

    @property
    def sampling(self) -> dict[str, dict[str, Any]]:
        """How far each profile is, for a manifest."""
        return {drawing.profile: drawing.as_json() for drawing in self.drawings}


def _in_rounds(cells: list[Cell]) -> dict[str, Profile]:
    """The profiles that are drawn in several rounds, by name."""
    found: dict[str, Profile] = {}
    for config in {id(c.recipe.generate): c.recipe.generate for c in cells}.values():
        for name, profile in config.profiles.items():
            other = found.setdefault(name, profile)
            if max(other.rounds, profile.rounds) > 1 and _drawn(other) != _drawn(profile):
                raise UserError(
                    f"generate.profiles.{name}: cells draw {_drawn(other)} and {_drawn(profile)}; let samples, "
                    "rounds and until_interval be the same in all cells, or give the profiles different names"
                )
    return {name: profile for name, profile in found.items() if profile.rounds > 1}


def _drawn(profile: Profile) -> str:
    said = f"{profile.samples} samples in {profile.rounds} rounds"
    return f"{said} until {profile.until_interval:g}" if profile.until_interval else said


def _drawing(name: str, number: int, profile: Profile, whole: Trail, store: Store) -> Drawing:
    of = profile.rounds
    is_enough = number * profile.samples_a_round >= DECIDING_SAMPLES
    until = profile.until_interval if is_enough else None
    graded: list[dict[str, Any]] = []
    for row in whole.rows:
        if row.profile == name:
            result = store.result("grade", row.grade.identity)
            if result is None:
                return Drawing(name, number, of, until)
            graded.append(result)
    decides = until is not None and number < of
    return Drawing(name, number, of, until, True, _widest(graded) if decides else None)


def _widest(graded: list[dict[str, Any]]) -> float:
    """The widest 95 % interval of the pass@1 of cells with these results.

    Raises:
        UserError: a result has no counts.
    """
    # NumPy comes with these, which a launch without rounds does without.
    from valley.evaluate.per_problem import arrays
    from valley.statistics import wilson

    def width(result: dict[str, Any]) -> float:
        try:
            counts = arrays(result["outcome"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"grade {result['identity'][:16]}: its result has no counts per problem "
                f"({type(error).__name__}: {error}); remove its folder and launch again"
            ) from error
        low, high = wilson(counts["passed"] / counts["samples"])
        return high - low

    return max(width(result) for result in graded)
