"""A custom checker: a program that a problem carries, which says whether an output is right.

`compare` is `{"rule": "checker", "program": "…"}`, the program's source in Python; `time_limit_s` (10,
CPU time) and `memory_limit_mib` (1024) may stand beside it. For each test it is run once, in a sandbox
in which no model's program ever ran. Its stdin is one line of JSON, an object with the texts

- `input`: the test's input,
- `expected`: the test's output,
- `actual`: what the program wrote, or for a function the JSON text of what it returned.

The first word that it writes to stdout is `accept` or `reject`. Anything else, such as an error, a limit
that it hit or no word at all, is a fault of the checker: the sample becomes an infrastructure error, and
is counted neither as right nor as wrong.

    import json, sys
    test = json.loads(sys.stdin.readline())
    a, b = map(int, test["actual"].split())
    print("accept" if a * b == int(test["input"]) else "reject")
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from valley.data.problems import Problem
from valley.errors import UserError
from valley.evaluate.sandbox import Outcome, Run, SandboxError

ACCEPT, REJECT = b"accept", b"reject"
OUTPUT_LIMIT_BYTES = 1 << 20
WALL_FACTOR, WALL_MARGIN_S = 6.0, 10.0
"""A wall limit far above the CPU limit: a loaded node must not fail the checker."""


@dataclass(frozen=True)
class Checker:
    """A problem's checker."""

    program: str
    time_limit_s: float = 10.0
    memory_limit_mib: int = 1024

    @classmethod
    def of(cls, problem: Problem) -> Checker | None:
        """A problem's checker; None where its rule is another.

        Raises:
            UserError: the program is no text, or a limit is no positive number.
        """
        given = dict(problem.compare)
        if given.pop("rule", None) != "checker":
            return None
        where = f"problem {problem.id!r}: compare"
        program = given.pop("program", None)
        if not isinstance(program, str) or not program.strip():
            raise UserError(f"{where}: `checker` needs `program`, the source of a Python program")
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise UserError(f"{where}: {name} must be a number above 0; {value!r} found")
        return cls(program, **given)

    def run(self, given: str, expected: str, actual: str) -> Run:
        """What the sandbox is to run for one test."""
        question = {"input": given, "expected": expected, "actual": actual}
        return Run(
            source=self.program,
            stdin=json.dumps(question) + "\n",
            function=None,
            cpu_limit_s=self.time_limit_s,
            wall_limit_s=self.time_limit_s * WALL_FACTOR + WALL_MARGIN_S,
            memory_limit_mib=int(self.memory_limit_mib),
            output_limit_bytes=OUTPUT_LIMIT_BYTES,
        )

    def accepts(self, outcome: Outcome) -> bool:
        """What the checker said.

        Raises:
            SandboxError: it failed, or said something else.
        """
        word = outcome.stdout.split(maxsplit=1)[:1]
        over = outcome.timed_out or outcome.cpu_s > self.time_limit_s or outcome.output_exceeded
        if over or outcome.exit_code != 0 or word not in ([ACCEPT], [REJECT]):
            end = "it hit a limit" if over else f"exit {outcome.exit_code}"
            raise SandboxError(
                f"the checker failed ({end}; it wrote {outcome.stdout[:40]!r}): "
                f"{outcome.stderr.strip()[-300:] or 'no message'}"
            )
        return word == [ACCEPT]
