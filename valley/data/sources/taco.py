"""TACO: problems with tests and five labels of difficulty, to be evaluated on or to be learnt from.

What teaches is a file of traces that answer its problems by their ids (`taco/train/123` is row 123 of
`train`, from 0), as `valley.trace/1`; without one, the solutions that people wrote, which have no thought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from valley.data.candidates import Candidate, Wanted, everything
from valley.data.problems import Problem
from valley.data.sources import question_sets, shards
from valley.data.sources.question_sets import TACO, label, problem_id, solutions, told
from valley.data.traces import Trace
from valley.records import iterate_records

PEOPLE = "people"
"""The teacher of a solution that someone wrote."""


class TacoProblems:
    """The problems of a split that can be graded."""

    def __init__(
        self, paths: Sequence[Path], split: str, labels: Sequence[str] | None, limit: int | None
    ) -> None:
        """Read nothing yet.

        Args:
            labels: the difficulties that are taken; None is all.
            limit: the first so many; None is all.
        """
        self._paths, self._split = paths, split
        self._labels, self._limit = labels, limit
        self._counts: Counter[str] = Counter()
        self._unusable: Counter[str] = Counter()

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield the wanted problems that have tests, in the order of the rows."""
        self._counts.clear()
        self._unusable.clear()
        counts, unusable = self._counts, self._unusable
        seen: set[str] = set()
        for problem in question_sets.problems(TACO, self._split, self._paths, wanted, unusable):
            if self._labels is not None and problem.difficulty not in self._labels:
                counts["left out: another difficulty"] += 1
            elif not problem.tests:
                counts["left out: no usable tests"] += 1
            elif problem.statement in seen:
                counts["left out: the statement of an earlier row"] += 1
            else:
                seen.add(problem.statement)
                counts["problems"] += 1
                yield problem
            if counts["problems"] == self._limit:
                return

    def counts(self) -> dict[str, int]:
        """Problems, rows left out by reason, and why there are no usable tests."""
        return told(self._counts, self._unusable)


class TacoPool:
    """A split's problems, and traces that answer them."""

    def __init__(
        self, paths: Sequence[Path], split: str, traces: Path | None, solutions_per_problem: int
    ) -> None:
        self._paths, self._split = paths, split
        self._traces, self._most = traces, solutions_per_problem
        self._counts: Counter[str] = Counter()
        self._unusable: Counter[str] = Counter()

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield the wanted problems, in the order of the rows."""
        self._unusable.clear()
        yield from question_sets.problems(TACO, self._split, self._paths, wanted, self._unusable)

    def candidates(self) -> Iterator[Candidate]:
        """Yield the traces, each with its problem's label."""
        self._counts.clear()
        yield from self._solved() if self._traces is None else self._read(self._traces)

    def counts(self) -> dict[str, int]:
        """Rows, candidates, and what was left out by reason."""
        return told(self._counts, self._unusable)

    def _read(self, path: Path) -> Iterator[Candidate]:
        labels = {
            problem_id(TACO.name, self._split, index): label(row["difficulty"])
            for index, row in enumerate(self._rows(("question",), ("difficulty",)))
            if row["question"]
        }
        for trace in iterate_records(path, Trace):
            self._counts["rows"] += 1
            if trace.problem_id not in labels:
                self._counts["unresolved: no such problem"] += 1
                continue
            self._counts["candidates"] += 1
            yield self._candidate(trace, labels[trace.problem_id])

    def _solved(self) -> Iterator[Candidate]:
        for index, row in enumerate(self._rows(("question", "solutions"), ("difficulty",))):
            self._counts["rows"] += 1
            problem = problem_id(TACO.name, self._split, index)
            programs = solutions(row["solutions"]) if row["question"] else []
            if not programs:
                self._counts["left out: rows without a solution"] += 1
            for number, program in enumerate(programs[: self._most]):
                self._counts["candidates"] += 1
                answer = f"```python\n{program.strip()}\n```"
                trace = Trace(f"{problem}/{number}", problem, "", answer, teacher=PEOPLE)
                yield self._candidate(trace, label(row["difficulty"]))

    def _rows(self, columns: Sequence[str], optional: Sequence[str]) -> Iterator[dict[str, str]]:
        rows = question_sets.TEST_ROWS
        for batch in shards.read(self._paths, columns, optional, rows, texts=("question",)):
            yield from batch.rows()

    def _candidate(self, trace: Trace, stated: str | None) -> Candidate:
        return Candidate(
            trace,
            label=stated,
            pass_rate=None,
            judgement=None,
            source=f"{TACO.name}/{self._split}",
            question_id=trace.problem_id,
        )
