"""Whether two graders agree on programs, and by what name each disagreement is explained.

Graders are of a family: `strict` and `lcb` are ours, `upstream` is LiveCodeBench's repository, and
`older` the package `nvidia-livecodebench`. They agree on a program where both pass it or neither does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.corpus import Case

REASONS = {
    "idiom": "LiveCodeBench runs a script again and again as a function, on a stand-in for stdin",
    "cheat": "LiveCodeBench compares in the program's own process",
    "replaced grader": "a program can replace LiveCodeBench's own functions, which ours does not have",
    "escape": "LiveCodeBench contains nothing",
    "missing import": "LiveCodeBench imports much before the program does",
    "state": "LiveCodeBench runs all tests in one process: state is carried between them",
    "return type": "LiveCodeBench compares Python values, strict their JSON",
    "time limit margin": "near a limit: strict counts CPU time, LiveCodeBench the clock",
    "waiting": "strict counts CPU time, LiveCodeBench the clock",
    "exit status": "LiveCodeBench takes any `sys.exit` for a good end",
    "comparison": "LiveCodeBench takes 0.50 for 0.5 only where the whole line is numbers",
}
PASSES = {
    "idiom": True,
    "state": True,
    "cheat": False,
    "replaced grader": False,
    "escape": False,
    "missing import": False,
}
"""Whether strict is the one that passes, where that is part of the reason."""
CONTAINED = ("escape", "replaced grader", "time limit margin")
"""What our `lcb` may differ in from upstream."""
OLDER = ("idiom", "time limit margin")
"""What the older package differs in from upstream: both go by the clock, at different moments."""


@dataclass(frozen=True)
class Disagreement:
    """One program that one grader passes and the other does not; `reason` is None if none is known."""

    case: str
    statuses: tuple[str, str]
    reason: str | None


@dataclass(frozen=True)
class Agreement:
    """Two graders on the same programs. `matrix` counts pairs of statuses."""

    pair: tuple[str, str]
    matrix: Counter[tuple[str, str]]
    kappa: float
    disagreements: list[Disagreement]

    @property
    def unexplained(self) -> list[Disagreement]:
        """Those without a reason."""
        return [found for found in self.disagreements if found.reason is None]

    def as_json(self) -> dict[str, Any]:
        """For a report."""
        return {
            "pair": self.pair,
            "programs": self.matrix.total(),
            "disagreements": len(self.disagreements),
            "kappa": round(self.kappa, 4),
            "by_reason": Counter(str(found.reason) for found in self.disagreements),
            "matrix": {f"{a} / {b}": count for (a, b), count in sorted(self.matrix.items())},
            "each": [[d.case, *d.statuses, d.reason] for d in self.disagreements],
        }


def agreement(
    pair: tuple[str, str],
    families: tuple[str, str],
    cases: Sequence[Case],
    statuses: tuple[Sequence[str], Sequence[str]],
) -> Agreement:
    """Compare what two graders said of the same programs, in the same order."""
    both = list(zip(*statuses, strict=True))
    found = [
        Disagreement(case.name, said, reason(case, families, said))
        for case, said in zip(cases, both, strict=True)
        if (said[0] == "passed") != (said[1] == "passed")
    ]
    kappa = cohen_kappa([(a == "passed", b == "passed") for a, b in both])
    return Agreement(pair, Counter(both), kappa, found)


def reason(case: Case, families: tuple[str, str], statuses: tuple[str, str]) -> str | None:
    """The name of why two graders differ on a program, None where nothing explains it.

    Which of the two passes it must be as the reason has it.
    """
    named = case.kind if case.kind in REASONS else NAMED.get(case.name)
    if named is None:
        return None
    if "strict" not in families:
        allowed = (OLDER if "older" in families else ()) + (CONTAINED if "lcb" in families else ())
        return named if named in allowed else None
    ours = statuses[families.index("strict")] == "passed"
    return named if PASSES.get(named, ours) == ours else None


NAMED = {"HumanEval/87/solution": "return type"}
"""Real programs, by the name of their case, and the reason that holds for each."""


def cohen_kappa(pairs: Sequence[tuple[bool, bool]]) -> float:
    """Cohen's kappa of two graders' verdicts: agreement beyond chance, 1 where they always agree.

    >>> cohen_kappa([(True, True), (False, False), (True, False), (False, False)])
    0.5
    """
    total = len(pairs)
    observed = sum(a == b for a, b in pairs) / total
    a, b = (sum(column) / total for column in zip(*pairs, strict=True))
    chance = a * b + (1 - a) * (1 - b)
    return 1.0 if chance == 1 else (observed - chance) / (1 - chance)
