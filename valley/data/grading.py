"""Grading of traces: whether a teacher's program passes its problem's tests.

A large pool is graded in batches, and what is graded is written down after each: a job that was stopped
goes on behind the last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from valley.data.problems import Problem
from valley.data.render import response
from valley.data.traces import Trace
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import grade
from valley.evaluate.samples import Sample

BATCH_TRACES = 4096
BATCH_CHARACTERS = 128 << 20
"""A batch ends once its texts and tests are as long as this."""


def grade_traces(
    problems: Sequence[Problem], traces: Sequence[Trace], config: GradeConfig, workers: int
) -> list[Trace]:
    """Say of each trace of unknown correctness whether its program passes its problem's tests.

    Where the problem has no tests, it stays unknown.

    Raises:
        UserError: a trace's problem is missing, or the grader could not do its work.
    """
    known = {problem.id: bool(problem.tests) for problem in problems}
    for trace in traces:
        if trace.problem_id not in known:
            raise UserError(
                f"trace {trace.id}: its problem {trace.problem_id!r} is not in the pool"
            )
    unknown = [
        i for i, trace in enumerate(traces) if trace.correct is None and known[trace.problem_id]
    ]
    if not unknown:
        return list(traces)
    samples = (
        Sample(
            traces[i].problem_id, i, 0, response(traces[i].thinking, traces[i].answer), "stop", 0, 0
        )
        for i in unknown
    )
    graded = list(traces)
    for index, verdict in zip(
        unknown, grade(problems, samples, config, workers=workers), strict=True
    ):
        if verdict.status == "infrastructure_error":
            raise UserError(
                f"trace {traces[index].id}: the grader could not run its program; see the log above"
            )
        graded[index] = replace(traces[index], correct=verdict.status == "passed")
    return graded


class Graded:
    """The verdicts on a pool's traces so far, in a file that they are appended to."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier attempt left, up to a line that was cut off or is damaged."""
        self._path = path
        self.verdicts: dict[str, bool | None] = {}
        whole = 0
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    verdict = _verdict(line)
                    # A machine that went down may have left anything from here on.
                    if verdict is None:
                        break
                    self.verdicts.update([verdict])
                    whole += len(line)
            with path.open("r+b") as file:
                file.truncate(whole)

    def run(
        self,
        traces: Iterable[Trace],
        problems: Mapping[str, Problem],
        config: GradeConfig,
        workers: int,
        report: Callable[[int], None],
    ) -> None:
        """Grade what is not graded yet.

        Args:
            problems: may be read from a file as they are asked for.
            report: is told how many traces have a verdict.

        Raises:
            UserError: as of `grade_traces`; the batches before are written down.
        """
        fresh = (trace for trace in traces if trace.id not in self.verdicts)
        for asked, batch in _batches(fresh, problems):
            graded = grade_traces(asked, batch, config, workers)
            with self._path.open("a", encoding="utf-8") as file:
                for trace in graded:
                    self.verdicts[trace.id] = trace.correct
                    file.write(json.dumps({"id": trace.id, "correct": trace.correct}) + "\n")
            report(len(self.verdicts))


def _verdict(line: bytes) -> tuple[str, bool | None] | None:
    """A trace's id and whether it is correct; None where the line does not say so."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    match said:
        case {"id": str(name), "correct": bool() | None as correct} if line.endswith(b"\n"):
            return name, correct
    return None


def _batches(
    traces: Iterable[Trace], problems: Mapping[str, Problem]
) -> Iterator[tuple[list[Problem], list[Trace]]]:
    batch: list[Trace] = []
    asked: dict[str, Problem] = {}
    size = 0
    for trace in traces:
        batch.append(trace)
        size += len(trace.thinking) + len(trace.answer)
        if trace.problem_id not in asked:
            problem = asked[trace.problem_id] = problems[trace.problem_id]
            size += sum(len(test["input"]) + len(test["output"]) for test in problem.tests)
        if len(batch) == BATCH_TRACES or size >= BATCH_CHARACTERS:
            yield list(asked.values()), batch
            batch, asked, size = [], {}, 0
    if batch:
        yield list(asked.values()), batch
