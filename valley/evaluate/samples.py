"""What a student answered, and what the grader said of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from valley.errors import UserError
from valley.records import canonical_json

STATUSES = (
    "passed",
    "wrong_answer",
    "runtime_error",
    "time_limit",
    "memory_limit",
    "output_limit",
    "no_code",
    "syntax_error",
    "infrastructure_error",
)
CHEAT = "cheat"
"""How the note of a verdict begins that a program got by a trick and not by solving the problem."""
MEASURED = ("cpu_s", "wall_s")
"""The fields of a verdict that differ between two gradings of the same input."""


@dataclass(frozen=True)
class Sample:
    """One answer, as `valley.sample/1`. `text` includes what was prefilled, but not the prompt.

    A thought that the chat template opens counts as prefilled.
    """

    SCHEMA: ClassVar[str] = "valley.sample/1"

    problem_id: str
    index: int
    seed: int
    text: str
    finish_reason: str  # "stop" | "length"
    prompt_tokens: int
    completion_tokens: int
    resumed: bool = False
    """Whether it was made after a kill by a backend that may answer otherwise in another batch."""

    def __post_init__(self) -> None:
        if self.finish_reason not in ("stop", "length"):
            raise ValueError(f"finish_reason {self.finish_reason!r} found, stop or length expected")
        for name in ("index", "prompt_tokens", "completion_tokens"):
            if (value := getattr(self, name)) < 0:
                raise ValueError(f"{name}: found {value}; expected 0 or more")


def count_samples(samples: Sequence[Sample]) -> dict[str, int]:
    """How many samples there are, the tokens read and written for them, and what became of them.

    `prompts_too_long` are samples whose prompts left no room for a token; `truncated` counts them too.

    Raises:
        UserError: there is none, or not one token was generated: that is a fault, and no score of 0.
    """
    written = sum(sample.completion_tokens for sample in samples)
    if not written:
        raise UserError(
            f"no token was generated in {len(samples)} samples; look at the student's chat template "
            "and at the profile's max_tokens"
        )
    return {
        "samples": len(samples),
        "prompt_tokens": sum(sample.prompt_tokens for sample in samples),
        "completion_tokens": written,
        "truncated": sum(sample.finish_reason == "length" for sample in samples),
        "prompts_too_long": sum(not sample.completion_tokens for sample in samples),
        "resumed_samples": sum(sample.resumed for sample in samples),
    }


@dataclass(frozen=True)
class Verdict:
    """The grader's word on one sample, as `valley.verdict/1`.

    `first_failing_test` is the index from 0 of the first test that did not pass, None where all
    passed or none ran. `cpu_s` and `wall_s` are sums over the tests that ran. `note` says in a few
    words what the status alone does not.
    """

    SCHEMA: ClassVar[str] = "valley.verdict/1"

    problem_id: str
    index: int
    status: str
    first_failing_test: int | None
    passed_tests: int
    total_tests: int
    cpu_s: float
    wall_s: float
    note: str = ""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} found, one of {', '.join(STATUSES)} expected")


def verdicts_digest(verdicts: Iterable[Verdict]) -> str:
    """SHA-256 of verdicts in their order, without the times: equal gradings have equal digests."""
    hasher = hashlib.sha256()
    for verdict in verdicts:
        values = [v for name, v in asdict(verdict).items() if name not in MEASURED]
        hasher.update(canonical_json(values).encode() + b"\n")
    return hasher.hexdigest()
