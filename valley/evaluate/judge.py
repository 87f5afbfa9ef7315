"""The judge of a problem: from how a program ended on a test, and what it gave, to a status."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from valley.data.problems import Problem
from valley.errors import UserError
from valley.evaluate.compare import Comparison, comparison, same_text, same_value
from valley.evaluate.sandbox import Outcome


@dataclass(frozen=True)
class Judge:
    """A problem, its rule, and for a function the expected value of each test."""

    problem: Problem
    compare: Comparison
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
        compare = comparison(problem)
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
        return cls(problem, compare, values)

    def status(self, number: int, outcome: Outcome) -> str:
        """The status of test `number`; a limit that was hit explains whatever else went wrong."""
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
            stdout = outcome.stdout.decode(errors="replace")
            right = same_text(self.compare, self.problem.tests[number]["output"], stdout)
            return "passed" if right else "wrong_answer"
        if outcome.answer is None:
            return "runtime_error"
        try:
            value = json.loads(outcome.answer)
        except (ValueError, RecursionError):  # only where the program wrote it by itself
            return "runtime_error"
        right = same_value(self.compare, self.values[number], value)
        return "passed" if right else "wrong_answer"
