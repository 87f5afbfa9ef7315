"""A sweep's cells indexed by what was trained, and checked to be comparable."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from collect import Collected
from results import Counts

from valley.errors import UserError
from valley.statistics import Cell, SeedNoise, seed_noise
from valley.sweep import NAMED_AXES
from valley.where import Where, spelled

STEPS_AXIS = "train.steps"
"""Cells with this axis beside cells without are twins with matched steps, never points of a curve."""

Rate = Callable[[Counts], np.ndarray]
"""What is scored of a cell's counts, shape [problems]."""


@dataclass(frozen=True)
class Arm:
    """What one or more seeds were trained on. `steps` is set for a matched-step twin only."""

    stage: int
    size: int
    difficulty: str
    correctness: str
    steps: int | None = None

    @property
    def subset(self) -> tuple[str, str]:
        """Which traces were drawn from."""
        return self.difficulty, self.correctness


@dataclass(frozen=True)
class View:
    """One profile's cells: the counts that exist by arm and seed, and the arms planned."""

    profile: str
    counts: dict[Arm, dict[int, Counts]]
    planned: dict[Arm, int]
    steps: dict[Arm, int]
    noise: SeedNoise | None

    def cell(self, arm: Arm) -> Cell | None:
        """The pass rates of an arm; None where no seed of it is there."""
        return cell_of(arm, self.counts.get(arm, {}), passed)

    def sizes(self, stage: int, subset: tuple[str, str]) -> list[Arm]:
        """The planned arms of a size curve, ascending, without baseline and twins."""
        found = (a for a in self.planned if (a.stage, a.subset, a.steps) == (stage, subset, None))
        return sorted((arm for arm in found if arm.size), key=lambda arm: arm.size)


def passed(counts: Counts) -> np.ndarray:
    """The pass rate."""
    return counts.passed / counts.samples


def cell_of(arm: Arm, seeds: dict[int, Counts], rate: Rate) -> Cell | None:
    """The rates of an arm over its seeds, in their order; None without a seed."""
    if not seeds:
        return None
    rates = np.stack([rate(seeds[seed]) for seed in sorted(seeds)])
    samples = min(int(counts.samples.min()) for counts in seeds.values())
    return Cell(rates, given=arm.size == 0, samples=samples)


def baseline_of(stage: int) -> Arm:
    """A stage's initial checkpoint."""
    return Arm(stage, 0, "all", "all")


def by_student(collected: Collected) -> dict[str, Collected]:
    """The sweep of each student, in the manifest's order, all else being equal.

    Raises:
        UserError: several values on a further axis; several problem sets.
    """
    _check_one_design(collected)
    students = dict.fromkeys(collected.table["student"])
    return {name: collected.where(Where.parse([f"student={name}"])) for name in students}


def asked_k(collected: Collected) -> tuple[int, ...]:
    """The k above 1 of which some result has a pass@k."""
    table = collected.table
    there = (name for name in table if table[name].notna().any())
    found = (re.fullmatch(r"pass@(\d+)", name) for name in there)
    return tuple(sorted(k for match in found if match and (k := int(match[1])) > 1))


def views_of(collected: Collected) -> dict[str, View]:
    """The profiles of one student's sweep, in the manifest's order."""
    table = collected.table
    twins = _has_twins(table)
    views = {}
    for profile in dict.fromkeys(table["profile"]):
        counts: dict[Arm, dict[int, Counts]] = {}
        planned: Counter[Arm] = Counter()
        steps: dict[Arm, int] = {}
        names: dict[tuple[Arm, int], str] = {}
        for row in table[table["profile"] == profile].to_dict("records"):
            matched = row[STEPS_AXIS] if twins and not pd.isna(row[STEPS_AXIS]) else None
            arm = Arm(
                int(row["stage"]),
                int(row["size"]),
                row["difficulty"],
                row["correctness"],
                None if matched is None else int(matched),
            )
            planned[arm] += 1
            if (key := (row["cell"], profile)) in collected.counts:
                seed = int(row["seed"])
                if (other := names.setdefault((arm, seed), row["cell"])) != row["cell"]:
                    raise UserError(
                        f"sweep {collected.sweep!r}: cells {other} and {row['cell']} are of one seed and "
                        "differ in none of the axes that a curve has; choose one with --where"
                    )
                counts.setdefault(arm, {})[seed] = collected.counts[key]
                steps[arm] = int(row["steps"])
        noise = noise_of(counts, passed)
        views[profile] = View(profile, counts, dict(planned), steps, noise)
    return views


def noise_of(counts: dict[Arm, dict[int, Counts]], rate: Rate) -> SeedNoise | None:
    """The noise of training seeds, pooled over every trained arm with several."""
    cells = (cell_of(arm, seeds, rate) for arm, seeds in counts.items())
    return seed_noise(cell for cell in cells if cell is not None and not cell.given)


def _has_twins(table: pd.DataFrame) -> bool:
    # Where every cell sets the steps, they are the recipe and not a control.
    trained = table[table["size"] > 0]
    return STEPS_AXIS in table and trained[STEPS_AXIS].isna().any()


def _check_one_design(collected: Collected) -> None:
    """Refuse to mix what cannot be one curve: several values on a further axis, several problem sets."""
    table = collected.table
    trained = [axes for axes in collected.cells.values() if axes["size"] > 0]
    for axis in collected.axes:
        if axis in NAMED_AXES or (axis == STEPS_AXIS and _has_twins(table)):
            continue
        values = list(dict.fromkeys(spelled(axes.get(axis)) for axes in trained))
        if len(values) > 1:
            raise UserError(
                f"sweep {collected.sweep!r}: axis {axis} has {len(values)} values "
                f"({', '.join(values)}), which are not one curve; choose with --where {axis}=VALUE"
            )
    if "problem_set" not in table:
        return
    digests = Counter(table["problem_set"].dropna())
    if len(digests) > 1:
        examples = (
            f"{digest[:12]} ({number} rows, such as "
            f"{table.loc[table['problem_set'] == digest, 'cell'].iloc[0]})"
            for digest, number in digests.most_common()
        )
        raise UserError(
            f"sweep {collected.sweep!r}: cells were graded on different problem sets, so they cannot "
            f"be paired: {'; '.join(examples)}; launch again with one set, or choose with --where"
        )


def main_curve(view: View) -> tuple[int, tuple[str, str]]:
    """The stage and the traces of the curve to test: the lowest trained stage, its longest curve."""
    lengths = Counter(
        (arm.stage, arm.subset) for arm in view.planned if arm.size and arm.steps is None
    )
    if not lengths:
        return min(arm.stage for arm in view.planned), ("all", "all")
    stage = min(stage for stage, _ in lengths)
    subsets = {subset: number for (s, subset), number in lengths.items() if s == stage}
    return stage, max(subsets, key=lambda s: (subsets[s], s == ("all", "all"), s))
