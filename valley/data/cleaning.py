"""Cleaning: what leaves the pool before anything is selected, and the list of it.

`removed.jsonl` has a line per removal: `problem_id` or `trace_id`, `removed` (`contaminated`,
`special_judge`, `duplicate`), and why.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from valley.data.candidates import Reader
from valley.data.contamination import Removal, contaminated
from valley.data.flags import flags_of
from valley.data.labels import Survey
from valley.data.problems import Problem
from valley.data.selection_config import CleanConfig
from valley.data.traces import Trace
from valley.records import write_text

NAME = "removed.jsonl"
SPECIAL_JUDGE = "special_judge"


class Cleaning:
    """Which problems and traces are removed, and why."""

    def __init__(
        self,
        config: CleanConfig,
        reader: Reader,
        evaluation: Iterable[Problem],
        survey: Survey | None,
    ) -> None:
        """Find what is to be removed; this reads the problems, if any of them may be.

        Args:
            evaluation: the problems that students are asked; read for decontamination only.
            survey: of all candidates, where duplicates are removed.
        """
        self._config = config
        self._special: set[str] = set()
        self._contaminated: dict[str, Removal] = {}
        self._duplicates: dict[str, str] = {}
        problems = self._looked_at(reader)
        if config.decontaminate is not None:
            self._contaminated = contaminated(problems, evaluation, config.decontaminate)
        elif config.special_judge == "drop":
            deque(problems, maxlen=0)
        if survey is not None and survey.duplicates is not None:
            self._duplicates = survey.duplicates.found()
        self.traces: Counter[str] = Counter()
        """Traces that were removed, by the problem's id."""

    def _looked_at(self, reader: Reader) -> Iterator[Problem]:
        drop = self._config.special_judge == "drop"
        for problem in reader.problems():
            if drop and SPECIAL_JUDGE in flags_of(problem):
                self._special.add(problem.id)
            yield problem

    def keeps(self, problem: Problem) -> bool:
        """Whether a problem stays."""
        return problem.id not in self._contaminated and problem.id not in self._special

    def reason(self, trace: Trace) -> str | None:
        """Why a trace is removed, None if it stays; and counts it."""
        found = None
        if trace.problem_id in self._contaminated:
            found = "contaminated"
        elif trace.problem_id in self._special:
            found = SPECIAL_JUDGE
        elif trace.id in self._duplicates:
            return "duplicate"
        if found:
            self.traces[trace.problem_id] += 1
        return found

    def duplicate_of(self, trace: Trace) -> str | None:
        """The id of the trace that stays in its stead."""
        return self._duplicates.get(trace.id)

    def write(self, folder: Path) -> dict[str, int]:
        """Write the list of removals; returns how many problems and traces there are of each reason."""
        lines: list[dict[str, Any]] = [removal.said() for removal in self._contaminated.values()]
        only_special = sorted(self._special - self._contaminated.keys())
        lines += [{"removed": SPECIAL_JUDGE, "problem_id": name} for name in only_special]
        for line in lines:
            line["traces"] = self.traces[line["problem_id"]]
        lines += [
            {"removed": "duplicate", "trace_id": name, "duplicate_of": self._duplicates[name]}
            for name in sorted(self._duplicates)
        ]
        write_text(folder / NAME, "".join(json.dumps(line) + "\n" for line in lines))
        return {
            "contaminated_problems": len(self._contaminated),
            "special_judge_problems": len(only_special),
            "duplicate_traces": len(self._duplicates),
        }
