"""A programming problem with its test cases."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, GetPydanticSchema

from valley.records import digest

KINDS = ("stdin", "function")


class Case(BaseModel):
    """What a test in a file must hold; what else it may hold is not looked at."""

    input: str
    output: str


Tests = Annotated[list[dict[str, str]], GetPydanticSchema(lambda _, handler: handler(list[Case]))]
"""Plain mappings, but checked as test cases where a file is read (`fields.py`)."""


@dataclass(frozen=True)
class Problem:
    """One problem, as `valley.problem/1`.

    For `stdin` problems a test is `{"input": text on stdin, "output": text expected on stdout}`.
    For `function` problems a test's input is one JSON value per line per argument, its output one
    JSON value, and `function` names what is called. A problem without tests can be learnt from and not
    graded.
    """

    SCHEMA: ClassVar[str] = "valley.problem/1"

    id: str
    source: str
    statement: str
    tests: Tests
    kind: str = "stdin"
    starter_code: str = ""
    function: str | None = None
    time_limit_s: float = 6.0
    memory_limit_mib: int = 1024
    difficulty: str | None = None
    date: str | None = None
    # Such as `leetcode`; scores are told by it, as by difficulty and by the month of `date`.
    platform: str | None = None
    # Its page at the judge, by which decontamination knows it.
    url: str | None = None
    # How outputs are compared: {"rule": "token"}, and the rest in `valley/evaluate/compare.py`.
    compare: dict[str, Any] = field(default_factory=lambda: {"rule": "token"})
    # Why its verdicts are in doubt, such as `special_judge`; see `flags.py`, which adds what is known.
    flags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"problem {self.id!r}: kind {self.kind!r} found, one of {KINDS} expected"
            )
        if (self.kind == "function") != (self.function is not None):
            raise ValueError(f"problem {self.id!r}: `function` must be set for kind function only")
        if not 0 < self.time_limit_s < math.inf:
            raise ValueError(f"time_limit_s: found {self.time_limit_s}; expected a number above 0")
        if self.memory_limit_mib < 1:
            raise ValueError(f"memory_limit_mib: found {self.memory_limit_mib}; expected 1 or more")


def problem_set_digest(problem_ids: Iterable[str]) -> str:
    """Digest of the ids in their order: what per-problem counts refer to."""
    return digest(list(problem_ids))
