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
    lcb_timeout_s: int = Field(6, ge=1, le=1000)
    """Seconds that one test may last on the clock in mode `lcb`, where a problem's own limit does
    not count: LiveCodeBench's `--timeout`."""
    sandbox: Literal["auto", "bwrap", "unshare", "rlimits"] = "auto"
    """What programs are isolated by: `auto` takes the strongest that works on this machine and
    offers namespaces, and is an error where none does; `rlimits` does without namespaces."""
    reuse: bool = True
    """Whether a worker runs all its programs in one sandbox, with a new process for each test and
    all that it left removed; else each program has a sandbox of its own, which costs about as much
    as three small tests where a nursery can be had (`nursery.py`), else as twenty."""
    wall_limit_factor: float = Field(4.0, ge=1, le=100)
    """A test may last this many times its CPU limit, plus two seconds, on the clock. CPU time
    decides; this only ends a program that sleeps or waits, also on a busy machine."""
    output_limit_kib: int = Field(16384, ge=1, le=1 << 20)
    """Most that one test may write to stdout, to stderr, or into any one file."""
    k: list[Annotated[int, Field(ge=1)]] = Field(default_factory=lambda: [1], min_length=1)
    """The k of each pass@k that is reported; none may exceed the samples per problem."""
