"""Gives each sample a verdict: extract its program, run it on the tests, compare, stop at a failure.

Programs run in sandboxes (`sandbox.py`), two per worker (`workers.py`, `runners.py`); what was expected
of them stays with the judge (`judge.py`), on this side. `grading.py` does it from file to file, and
resumes. As a command (`--help` tells the rest):

    python -m valley.evaluate.grade --problems problems.jsonl --samples samples.jsonl \\
        --out verdicts.jsonl --workers 2
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valley.data.problems import Problem
from valley.errors import UserError, exit_on_user_error
from valley.evaluate.check import check, program_of
from valley.evaluate.config import GradeConfig
from valley.evaluate.judge import Judge
from valley.evaluate.probe import find_isolation
from valley.evaluate.runners import Runners
from valley.evaluate.samples import Sample, Verdict
from valley.evaluate.workers import Judges, Workers

Report = Callable[[int, int], None]
"""Called with the samples done and their total, in the caller's thread."""


@dataclass(frozen=True)
class Program:
    """What is graded of a sample: its text, which may be long, is not held."""

    problem_id: str
    index: int
    code: str | None


def grade(
    problems: Sequence[Problem] | Mapping[str, Problem],
    samples: Iterable[Sample],
    config: GradeConfig,
    *,
    workers: int = 1,
    report: Report | None = None,
) -> list[Verdict]:
    """The verdicts of samples, in their order, the same for any number of workers.

    Raises:
        UserError: there are no samples, one has an unknown problem, a problem's tests or rule are
            not valid, or the sandbox that the config names does not work here.
    """
    known = by_id(problems)
    programs = programs_of(known, samples, config)
    verdicts: dict[int, Verdict] = {}

    def done(position: int, verdict: Verdict) -> None:
        verdicts[position] = verdict
        if report is not None:
            report(len(verdicts), len(programs))

    grade_programs(known, programs, config, done, workers=workers)
    return [verdicts[i] for i in range(len(programs))]


def by_id(problems: Sequence[Problem] | Mapping[str, Problem]) -> Mapping[str, Problem]:
    """Problems by their ids.

    Raises:
        UserError: two have the same.
    """
    if isinstance(problems, Mapping):
        return problems
    known: dict[str, Problem] = {}
    for problem in problems:
        if problem.id in known:
            raise UserError(f"problem {problem.id!r} is given twice")
        known[problem.id] = problem
    return known


def programs_of(
    known: Mapping[str, Problem],
    samples: Iterable[Sample],
    config: GradeConfig,
    path: Path | None = None,
) -> list[Program]:
    """The programs of samples, in their order.

    Args:
        path: the file whose lines the samples are, for messages.

    Raises:
        UserError: there are no samples, or one has an unknown problem.
    """
    programs = []
    for number, sample in enumerate(samples, start=1):
        if sample.problem_id not in known:
            where = f"{path}, line {number}: " if path else ""
            raise UserError(
                f"{where}sample {sample.index} is of problem {sample.problem_id!r}, which is not among the "
                f"{len(known)} problems given; grade with the problems that it was generated from"
            )
        programs.append(Program(sample.problem_id, sample.index, program_of(sample, config)))
    if not programs:
        where = f"{path}: " if path else ""
        raise UserError(f"{where}there are no samples to grade")
    return programs


def grade_programs(
    known: Mapping[str, Problem],
    programs: Sequence[Program],
    config: GradeConfig,
    done: Callable[[int, Verdict], None],
    *,
    workers: int = 1,
    where: Callable[[str], str] = lambda problem_id: "",
) -> None:
    """Grade programs, those of one problem after one another, so that few problems are held.

    Args:
        done: called in this thread with a program's position and its verdict, as each is finished.
        where: how a message on a problem begins.

    Raises:
        UserError: as for `grade`.
    """
    _check_workers(workers)
    first = {}
    for i, program in enumerate(programs):
        if program.problem_id not in first:
            first[program.problem_id] = i
            try:
                Judge.of(known[program.problem_id])  # raises now what is wrong with any of them
            except UserError as error:
                raise UserError(f"{where(program.problem_id)}{error}") from error
    order = sorted(range(len(programs)), key=lambda i: (first[programs[i].problem_id], i))
    judges = Judges(known, room=workers)

    def do(position: int, runner: Runners) -> Verdict:
        program = programs[position]
        verdict = check(judges.of(program.problem_id), program.code, config, runner)
        return replace(verdict, index=program.index)

    Workers(workers, find_isolation(config.sandbox), do, reuse=config.reuse).run(
        order, lambda place, verdict: done(order[place], verdict)
    )


def check_programs(
    programs: Sequence[tuple[Problem, str | None]],
    config: GradeConfig,
    *,
    workers: int = 1,
    report: Report | None = None,
) -> list[Verdict]:
    """The verdicts of (problem, source) pairs, in their order; a verdict's index is its position.

    A source of None (see `extract`) is `no_code`.

    Raises:
        UserError: as for `grade`.
    """
    _check_workers(workers)
    judges = {id(problem): Judge.of(problem) for problem, _ in programs}
    verdicts: dict[int, Verdict] = {}

    def do(position: int, runner: Runners) -> Verdict:
        problem, code = programs[position]
        return replace(check(judges[id(problem)], code, config, runner), index=position)

    def done(position: int, verdict: Verdict) -> None:
        verdicts[position] = verdict
        if report is not None:
            report(len(verdicts), len(programs))

    Workers(workers, find_isolation(config.sandbox), do, reuse=config.reuse).run(
        range(len(programs)), done
    )
    return [verdicts[i] for i in range(len(programs))]


def _check_workers(workers: int) -> None:
    if workers < 1:
        raise UserError(f"workers: {workers} found, at least 1 expected")


if __name__ == "__main__":
    from valley.evaluate.grade_command import main

    exit_on_user_error(main)
