"""The judge of a problem: from how a program ended on a test, and what it gave, to a status."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from valley.data.problems import Problem
from valley.errors import UserError
from valley.evaluate.checker import Checker
from valley.evaluate.compare import Comparison, comparison, same_text, same_value
from valley.evaluate.sandbox import Outcome, Run

Ask = Callable[[Run, Callable[[Outcome], bool]], bool]
"""Runs a checker, and reads its outcome; raises `SandboxError` where it failed."""


@dataclass(frozen=True)
class Judge:
    """A problem, its rule, its checker if it has one, and for a function each test's value."""

    problem: Problem
    compare: Comparison
    checker: Checker | None
    values: list[Any]

    @classmethod
    def of(cls, problem: Problem) -> Judge:
        """Read a problem's rule and tests.

        Raises:
            UserError: it has no tests; its rule, its function's name or a test of its function is not
                valid.
        """
        if not problem.tests:
            raise UserError(
                f"problem {problem.id!r}: no tests; a problem without tests cannot be graded"
            )
        compare, checker = comparison(problem), Checker.of(problem)
        values = []
        if problem.function is not None:
            if not problem.function.isidentifier():
                raise UserError(f"problem {problem.id!r}: {problem.function!r} names no function")
            for number, test in enumerate(problem.tests):
                try:
                    for line in test["input"].split("\n"):
                        if line.strip():
                            json.loads(line)
                    values.append(json.loads(test["output"]))
                except ValueError as error:
                    raise UserError(
                        f"problem {problem.id!r}, test {number}: a function's arguments must be one "
                        f"JSON value per line and its output one JSON value ({error})"
                    ) from error
        return cls(problem, compare, checker, values)

    def status(self, number: int, outcome: Outcome, ask: Ask) -> str:
        """The status of test `number`; a limit that was hit explains whatever else went wrong.

        Raises:
            SandboxError: the problem's checker failed.
        """
        if outcome.output_exceeded:
            return "output_limit"
        if outcome.timed_out or outcome.cpu_s > self.problem.time_limit_s:
            return "time_limit"
        if outcome.memory_exceeded:
            return "memory_limit"
        if outcome.syntax_error:
            return "syntax_error"
        if outcome.exit_code != 0:
            return "runtime_error"
        if self.problem.kind == "stdin":
            actual = outcome.stdout.decode(errors="replace")
        else:
            actual = (outcome.answer or b"").decode(errors="replace")
            try:
                value = json.loads(actual)
            except (ValueError, RecursionError):  # none, or one that the program wrote by itself
                return "runtime_error"
        test = self.problem.tests[number]
        if self.checker is not None:
            run = self.checker.run(test["input"], test["output"], actual)
            right = ask(run, self.checker.accepts)
        elif self.problem.kind == "stdin":
            right = same_text(self.compare, test["output"], actual)
        else:
            right = same_value(self.compare, self.values[number], value)
        return "passed" if right else "wrong_answer"
