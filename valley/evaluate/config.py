"""What decides a verdict besides the problems and the samples: part of a grade job's identity."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class GradeConfig(BaseModel):
    """How programs are run and scored. CPU time and memory are limited by each problem itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["strict", "lcb"] = "strict"
    """`strict` runs a program as a contest does. `lcb` gives LiveCodeBench's own verdicts, with its
    faults, where a published number is to be matched: docs/grading.md."""
    sandbox: Literal["auto", "bwrap", "unshare", "rlimits"] = "auto"
    """What programs are isolated by: `auto` takes the strongest that works on this machine, and
    warns where that is `rlimits` only; a named one that does not work is an error."""
    wall_limit_factor: float = Field(4.0, ge=1, le=100)
    """A test may last this many times its CPU limit, plus two seconds, on the clock. CPU time
    decides; this only ends a program that sleeps or waits, also on a busy machine."""
    output_limit_kib: int = Field(16384, ge=1, le=1 << 20)
    """Most that one test may write to stdout, to stderr, or into any one file."""
    k: list[Annotated[int, Field(ge=1)]] = Field(default_factory=lambda: [1], min_length=1)
    """The k of each pass@k that is reported; none may exceed the samples per problem."""
