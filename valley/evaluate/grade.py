"""Gives each sample a verdict: extract its program, run it on the tests, compare, stop at a failure.

Programs run in sandboxes (`sandbox.py`), one per worker; what was expected of them stays with the
judge (`judge.py`), on this side.
Works alone:

    python -m valley.evaluate.grade --problems problems.jsonl --samples samples.jsonl \\
        --out verdicts.jsonl --workers 2
"""

from __future__ import annotations

import argparse
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import get_args

from valley.data.problems import Problem
from valley.errors import UserError, exit_on_user_error
from valley.evaluate.config import GradeConfig
from valley.evaluate.extract import extract
from valley.evaluate.judge import Judge
from valley.evaluate.runner import Runner
from valley.evaluate.samples import Sample, Verdict
from valley.evaluate.sandbox import Run, SandboxError, find_isolation
from valley.records import read_records, write_records

log = logging.getLogger(__name__)

WALL_MARGIN_S = 2.0

Report = Callable[[int, int], None]
"""Called with the samples done and their total, in the caller's thread."""


def grade(
    problems: Sequence[Problem],
    samples: Sequence[Sample],
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
    if not samples:
        raise UserError("there are no samples to grade")
    known: dict[str, Problem] = {}
    for problem in problems:
        if problem.id in known:
            raise UserError(f"problem {problem.id!r} is given twice")
        known[problem.id] = problem
    programs = []
    for sample in samples:
        if sample.problem_id not in known:
            raise UserError(
                f"sample {sample.index} is of problem {sample.problem_id!r}, which is not among the "
                f"{len(known)} problems given; grade with the problems that it was generated from"
            )
        code = extract(sample.text, sample.finish_reason).code
        programs.append((known[sample.problem_id], code))
    verdicts = check_programs(programs, config, workers=workers, report=report)
    return [replace(v, index=s.index) for v, s in zip(verdicts, samples, strict=True)]


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
    if workers < 1:
        raise UserError(f"workers: {workers} found, at least 1 expected")
    judges = {id(problem): Judge.of(problem) for problem, _ in programs}
    isolation = find_isolation(config.sandbox)
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for i in range(len(programs)):
        todo.put(i)
    done: queue.SimpleQueue[tuple[int, Verdict] | BaseException] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        try:
            with closing(Runner(isolation, renews=not config.reuse)) as runner:
                while not stop.is_set():
                    i = todo.get_nowait()
                    problem, code = programs[i]
                    verdict = _check(judges[id(problem)], code, config, runner)
                    done.put((i, replace(verdict, index=i)))
                    if not config.reuse:
                        runner.renew()
        except queue.Empty:
            return
        except BaseException as error:  # raised again in the caller's thread
            done.put(error)

    threads = [threading.Thread(target=work) for _ in range(min(workers, len(programs)))]
    verdicts: dict[int, Verdict] = {}
    try:
        for thread in threads:
            thread.start()
        for count in range(1, len(programs) + 1):
            item = done.get()
            if isinstance(item, BaseException):
                raise item
            verdicts[item[0]] = item[1]
            if report is not None:
                report(count, len(programs))
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    return [verdicts[i] for i in range(len(programs))]


def _check(judge: Judge, code: str | None, config: GradeConfig, runner: Runner) -> Verdict:
    """Run one program on its tests up to the first that it fails. The verdict's index is 0."""
    problem = judge.problem
    status, failing, passed, cpu_s, wall_s = "passed", None, 0, 0.0, 0.0
    if code is None:
        status = "no_code"
    else:
        for number, test in enumerate(problem.tests):
            run = Run(
                source=code,
                stdin=test["input"],
                function=problem.function,
                cpu_limit_s=problem.time_limit_s,
                wall_limit_s=problem.time_limit_s * config.wall_limit_factor + WALL_MARGIN_S,
                memory_limit_mib=problem.memory_limit_mib,
                output_limit_bytes=config.output_limit_kib << 10,
            )
            try:
                outcome = runner.run(run)
            except SandboxError as error:
                log.error("problem %s: not graded: %s", problem.id, error)
                status, failing = "infrastructure_error", number
                break
            cpu_s += outcome.cpu_s
            wall_s += outcome.wall_s
            status = judge.status(number, outcome)
            if status != "passed":
                failing = number
                break
            passed += 1
    return Verdict(
        problem.id,
        0,
        status,
        failing,
        passed,
        len(problem.tests),
        round(cpu_s, 6),
        round(wall_s, 6),
    )


def main() -> int:
    """The command line."""
    sandboxes = get_args(GradeConfig.model_fields["sandbox"].annotation)
    parser = argparse.ArgumentParser(
        prog="python -m valley.evaluate.grade",
        description="Grade samples: run the program in each on its problem's tests.",
        epilog="example: python -m valley.evaluate.grade --problems problems.jsonl "
        "--samples samples.jsonl --out verdicts.jsonl --workers 2",
    )
    parser.add_argument("--problems", type=Path, required=True, help="JSON lines, valley.problem/1")
    parser.add_argument("--samples", type=Path, required=True, help="JSON lines, valley.sample/1")
    parser.add_argument("--out", type=Path, required=True, help="verdicts, valley.verdict/1")
    parser.add_argument("--workers", type=int, default=1, help="sandboxes at work at once (1)")
    parser.add_argument("--sandbox", choices=sandboxes, default="auto", help="isolation (auto)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    problems = read_records(arguments.problems, Problem)
    samples = read_records(arguments.samples, Sample)
    config = GradeConfig(sandbox=arguments.sandbox)
    started = time.monotonic()
    verdicts = grade(problems, samples, config, workers=arguments.workers)
    wall_s = time.monotonic() - started
    write_records(arguments.out, verdicts)
    counts = Counter(verdict.status for verdict in verdicts)
    print(
        f"graded {len(verdicts)} samples of {len({v.problem_id for v in verdicts})} problems in "
        f"{wall_s:.1f} s (isolation {find_isolation(config.sandbox).layers}): "
        + ", ".join(f"{count} {status}" for status, count in counts.most_common())
    )
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
