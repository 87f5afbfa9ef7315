"""The check of one program: run on its problem's tests, up to the first that it does not pass."""

from __future__ import annotations

import logging

from valley.evaluate import lcb
from valley.evaluate.config import GradeConfig
from valley.evaluate.extract import extract
from valley.evaluate.judge import Judge
from valley.evaluate.runners import Runners
from valley.evaluate.samples import Sample, Verdict
from valley.evaluate.sandbox import Run, SandboxError

log = logging.getLogger(__name__)

WALL_MARGIN_S = 2.0
NOTE_CHARACTERS = 200
DECIMALS = 4
"""Of the seconds in a verdict: below a tenth of a millisecond there is only noise."""


def program_of(sample: Sample, config: GradeConfig) -> str | None:
    """The program in an answer by the rules of the mode; None where there is none."""
    if config.mode == "lcb":
        return lcb.extract_code(sample.text) or None
    return extract(sample.text, sample.finish_reason).code


def check(judge: Judge, code: str | None, config: GradeConfig, runner: Runners) -> Verdict:
    """The verdict on one program, by the mode of `config`; its index is 0."""
    if config.mode == "lcb":
        return lcb.check(
            judge.problem,
            code,
            config,
            runner,
            lambda code: _check_strictly(judge, code, config, runner).status == "passed",
        )
    if code is None:
        tests = len(judge.problem.tests)
        return Verdict(judge.problem.id, 0, "no_code", None, 0, tests, 0.0, 0.0)
    return _check_strictly(judge, code, config, runner)


def _check_strictly(judge: Judge, code: str, config: GradeConfig, runner: Runners) -> Verdict:
    problem = judge.problem
    status, failing, passed, note, cpu_s, wall_s = "passed", None, 0, "", 0.0, 0.0
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
            cpu_s += outcome.cpu_s
            wall_s += outcome.wall_s
            status = judge.status(number, outcome, runner.ask)
        except SandboxError as error:
            log.error("problem %s: not graded: %s", problem.id, error)
            status, note = "infrastructure_error", str(error)[:NOTE_CHARACTERS]
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
        round(cpu_s, DECIMALS),
        round(wall_s, DECIMALS),
        note,
    )
