"""The pool: what students learn from, as the pool's job leaves it.

    problems.jsonl   problems of the kept traces
    traces.jsonl     the kept traces, each with its difficulty and whether it is correct
    index.parquet    a row per trace that the source yielded: `index.py`
    removed.jsonl    what was removed and why, where `data.clean` removes anything

1. What is to be removed is found: a pass over the problems, if any may be.
2. What the rules of difficulty and the duplicates need to know of all traces: a pass of its own, if any.
3. One pass over the traces gives each its labels and keeps the texts of lowest rank.
4. The problems of the kept traces are written, and the traces graded whose correctness is unknown.
5. Traces and index are written.

No step holds texts, but for the batch that is graded: memory is bounded for any number of rows.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from valley.data.candidates import Candidate, Reader, Wanted, counted, everything
from valley.data.cleaning import Cleaning
from valley.data.grading import Graded
from valley.data.index import NAME, Index
from valley.data.keeper import Keeper
from valley.data.labels import CorrectnessRule, DifficultyRule, Survey
from valley.data.problem_file import ProblemFile
from valley.data.problems import Problem
from valley.data.reading import HALF, Rules, read_traces
from valley.data.select import strata
from valley.data.selection_config import CleanConfig, CorrectnessConfig, DifficultyConfig
from valley.data.traces import Trace
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.records import digest, parse_record, record_line, refuse_half_characters

logger = logging.getLogger(__name__)

GRADED = "graded.jsonl"
Report = Callable[[int, int], None]
"""Is told how many traces are graded, and of how many."""


class PoolSettings(BaseModel):
    """What of a source's `pool_semantic()` decides how its traces are labelled and kept."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    data_seed: int = 0
    difficulty: DifficultyConfig | None = None
    """None: what the traces say themselves."""
    correctness: CorrectnessConfig = CorrectnessConfig()
    keep: int | None = None
    clean: CleanConfig = CleanConfig()


@dataclass
class ListReader:
    """Problems and traces that are held in memory, as a reader."""

    listed_problems: Collection[Problem]
    traces: list[Trace]

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield the wanted problems."""
        return (problem for problem in self.listed_problems if wanted(problem.id))

    def candidates(self) -> Iterator[Candidate]:
        """Yield the traces."""
        sources = {problem.id: problem.source for problem in self.listed_problems}
        for trace in self.traces:
            if trace.problem_id not in sources:
                raise UserError(
                    f"trace {trace.id}: its problem {trace.problem_id!r} is not in the pool"
                )
            yield Candidate(trace, None, None, None, sources[trace.problem_id], None)

    def counts(self) -> dict[str, int]:
        """Nothing is left out."""
        return {}


@dataclass
class PoolWriter:
    """Writes a pool into a folder."""

    folder: Path
    settings: PoolSettings
    grading: GradeConfig
    workers: int = 1
    all_problems: bool = False
    """Whether problems without a kept trace are written too."""
    report: Report = lambda done, count: None

    def write(self, reader: Reader, evaluation: Iterable[Problem] = ()) -> dict[str, Any]:
        """Read the source and write the pool; returns counts.

        Args:
            evaluation: the problems that students are asked, for decontamination.

        Raises:
            UserError: a trace has no problem or stands there twice, no row of the source became one, or
                the grader could not work.
        """
        clean = self.settings.clean
        survey = Survey.wanted(self.settings.difficulty, clean)
        if survey is not None:
            for candidate in reader.candidates():
                survey.see(candidate)
        cleaning = Cleaning(clean, reader, evaluation, survey)
        correctness = CorrectnessRule(self.settings.correctness)
        rules = Rules(
            DifficultyRule(self.settings.difficulty, survey),
            correctness,
            cleaning,
            self.settings.keep,
            self.settings.data_seed,
        )
        try:
            keeper = Keeper(
                self.settings.keep, read_traces(reader, rules, self.folder, self.workers)
            )
            index = keeper.index
            if len(set(index.ids)) < len(index):
                raise UserError(
                    f"trace {_twice(index.ids)!r} stands in the pool twice; leave one out"
                )
            if not len(index) and (counts := reader.counts()):
                raise UserError(f"the pool holds no trace{counted(counts)}")
            problems, written = self._write_problems(reader, keeper, cleaning)
            counts = reader.counts()
            graded = self._grade(keeper, correctness)
            traces = keeper.finish(self.folder / "traces.jsonl", _with_verdicts(index, graded))
        finally:
            for path in self.folder.glob("traces.spill*"):
                path.unlink()
        index.content = digest([written, traces])
        index.write(self.folder / NAME)
        (self.folder / GRADED).unlink(missing_ok=True)
        outcome: dict[str, Any] = {
            "pool_problems": problems,
            "pool_traces": len(index),
            "strata": strata(index),
            "digests": {"traces.jsonl": traces, "ids": digest(sorted(index.ids))},
        }
        if not index.kept.all():
            outcome["kept_traces"] = int(index.kept.sum())
        if clean.semantic():
            outcome["removed"] = cleaning.write(self.folder)
        if counts:
            outcome["read"] = counts
        return outcome

    def _write_problems(
        self, reader: Reader, keeper: Keeper, cleaning: Cleaning
    ) -> tuple[int, str]:
        """Write the problems that stay; their number, and the file's SHA-256."""
        index = keeper.index
        wanted = {index.problem.word(row) for row in keeper.rows()}
        written: set[str] = set()
        temporary, hasher = self.folder / "problems.tmp", hashlib.sha256()
        with temporary.open("wb") as file:
            chosen = everything if self.all_problems else wanted.__contains__
            for problem in reader.problems(chosen):
                if cleaning.keeps(problem):
                    written.add(problem.id)
                    line = record_line(problem).encode()
                    if HALF.search(line):
                        refuse_half_characters(f"problem {problem.id!a}", problem.statement)
                    hasher.update(line)
                    file.write(line)
        if lacking := sorted(name for name in wanted if name is not None and name not in written):
            raise UserError(f"problem {lacking[0]!r} of a trace is not in the pool")
        temporary.replace(self.folder / "problems.jsonl")
        return len(written), hasher.hexdigest()

    def _grade(self, keeper: Keeper, rule: CorrectnessRule) -> Mapping[str, bool | None]:
        """Have what is kept and unknown graded, if the grader is to decide."""
        index = keeper.index
        rows = [row for row in keeper.rows() if not index.is_graded(row)] if rule.grades else []
        if not rows:
            return {}
        graded = Graded(self.folder / GRADED)
        graded.run(
            (parse_record("traces.spill", line, Trace) for line in keeper.lines(rows)),
            ProblemFile(self.folder / "problems.jsonl"),
            self.grading,
            self.workers,
            lambda done: self.report(done, len(rows)),
        )
        for row in rows:
            if (correct := graded.verdicts[index.ids[row]]) is not None:
                index.grade(row, correct, rule.name)
        if untested := sum(graded.verdicts[index.ids[row]] is None for row in rows):
            logger.warning(
                "%d of %d traces stay of unknown correctness: their problems have no tests",
                untested,
                len(rows),
            )
        return graded.verdicts


def _with_verdicts(
    index: Index, verdicts: Mapping[str, bool | None]
) -> Callable[[int, bytes], bytes]:
    """Makes a kept trace's final line."""

    def change(row: int, line: bytes) -> bytes:
        if index.ids[row] not in verdicts:
            return line
        value = json.loads(line) | {"correct": verdicts[index.ids[row]]}
        return (json.dumps(value, allow_nan=False) + "\n").encode()

    return change


def _twice(ids: list[str]) -> str:
    seen: set[str] = set()
    return next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
