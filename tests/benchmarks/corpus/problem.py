"""A problem of our own: a program that solves it, a slip in that program, and inputs out of a seed.

What is expected of a test is what the program gives. It is a plain script that reads by `input()` and
writes by `print()`, or a file with one function.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from valley.data.problems import Problem

TIME_LIMIT_S = 2.0
LARGE_BYTES = 100_000


@dataclass(frozen=True)
class Own:
    """One problem.

    `slip` is a part of the program and what stands in its place in the wrong variant. `make` takes a
    generator and a size, and gives the text of one input, or the list of a function's arguments.
    `scales` says that inputs of 100 KB can be made and are solved within the limit.
    """

    name: str
    program: str
    slip: tuple[str, str]
    make: Callable[[random.Random, int], Any]
    function: str | None = None
    scales: bool = False

    @property
    def wrong(self) -> str:
        """The program with its slip."""
        assert self.program.count(self.slip[0]) == 1, (self.name, self.slip)
        return self.program.replace(*self.slip)


def small(own: Own, count: int) -> Problem:
    """The problem with `count` tests of a few bytes to a few hundred."""
    return _problem(own, [1 + number * 7 // count * 2 for number in range(count)], "small")


def large(own: Own, count: int) -> Problem:
    """The problem with `count` tests of about 100 KB."""
    trial = len(own.make(random.Random(own.name), 1000))
    size = LARGE_BYTES * 1000 // trial
    return _problem(own, [size] * count, "large")


def _problem(own: Own, sizes: list[int], label: str) -> Problem:
    rng = random.Random(f"{own.name} {len(sizes)} {label}")
    solve = _function(own) if own.function else _script(own)
    return Problem(
        id=f"{own.name}/{label}{len(sizes)}",
        source="own",
        statement="",
        tests=[solve(own.make(rng, size)) for size in sizes],
        kind="function" if own.function else "stdin",
        function=own.function,
        time_limit_s=TIME_LIMIT_S,
    )


def _script(own: Own) -> Callable[[str], dict[str, str]]:
    code = compile(own.program, own.name, "exec")

    def solve(text: str) -> dict[str, str]:
        stdin, stdout = sys.stdin, io.StringIO()
        sys.stdin = io.StringIO(text)
        try:
            with contextlib.redirect_stdout(stdout):
                exec(code, {"__name__": "__main__"})
        finally:
            sys.stdin = stdin
        return {"input": text, "output": stdout.getvalue()}

    return solve


def _function(own: Own) -> Callable[[list[Any]], dict[str, str]]:
    names: dict[str, Any] = {}
    exec(own.program, names)

    def solve(arguments: list[Any]) -> dict[str, str]:
        answer = names[own.function](*copy.deepcopy(arguments))
        return {"input": "\n".join(map(json.dumps, arguments)), "output": json.dumps(answer)}

    return solve
