"""Problems and traces in this project's own formats, streamed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from valley.data.candidates import Candidate, Wanted, everything
from valley.data.problems import Problem
from valley.data.traces import Trace
from valley.records import iterate_records


class OwnProblems:
    """A file of `valley.problem/1` records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts: Counter[str] = Counter()

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield the wanted problems, in the order of the lines."""
        self._counts.clear()
        for problem in iterate_records(self._path, Problem):
            self._counts["rows"] += 1
            if wanted(problem.id):
                self._counts["problems"] += 1
                yield problem

    def counts(self) -> dict[str, int]:
        """Lines, and the problems that were wanted."""
        return dict(self._counts)


class OwnPool:
    """A file of problems, and one of `valley.trace/1` records that answer them."""

    def __init__(self, problems: Path, traces: Path) -> None:
        self._problems = OwnProblems(problems)
        self._traces = traces
        self._counts: Counter[str] = Counter()

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield the wanted problems, in the order of the lines."""
        yield from self._problems.problems(wanted)

    def candidates(self) -> Iterator[Candidate]:
        """Yield the traces whose problem is there, each with its problem's difficulty as the label."""
        self._counts.clear()
        known = {problem.id: (problem.difficulty, problem.source) for problem in self.problems()}
        for trace in iterate_records(self._traces, Trace):
            self._counts["rows"] += 1
            if trace.problem_id not in known:
                self._counts["unresolved: no such problem"] += 1
                continue
            self._counts["candidates"] += 1
            label, source = known[trace.problem_id]
            yield Candidate(trace, label, None, None, source, trace.problem_id)

    def counts(self) -> dict[str, int]:
        """Lines of traces, candidates, and those without a problem."""
        return dict(self._counts)
