"""A teacher's worked answer to a problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

DIFFICULTIES = ("easy", "medium", "hard")
CORRECTNESSES = ("correct", "incorrect", "unknown")


@dataclass(frozen=True)
class Trace:
    """One trace, as `valley.trace/1`.

    `thinking` is the text between `<think>` and `</think>`, or "" for a direct answer; `answer` is
    what follows. `correct` is what the grader said of the answer's program, None where none ran.
    """

    SCHEMA: ClassVar[str] = "valley.trace/1"

    id: str
    problem_id: str
    thinking: str
    answer: str
    correct: bool | None = None
    difficulty: str | None = None
    teacher: str = ""

    def __post_init__(self) -> None:
        if self.difficulty not in (None, *DIFFICULTIES):
            raise ValueError(
                f"trace {self.id!r}: difficulty {self.difficulty!r} found, one of {DIFFICULTIES} or "
                "null expected; map your source's labels to these"
            )
