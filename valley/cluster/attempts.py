"""Attempts: how often a job was begun, where, and why each attempt ended.

They stand in `attempts.jsonl` in the job's folder, oldest first, and tell how often it has been stopped
at its time limit. The first rank writes them.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from valley.cluster import slurm
from valley.errors import UserError
from valley.records import read_records, write_records
from valley.store import set_aside

Why = Literal["", "done", "failed", "time_limit", "terminated", "preempted", "killed"]


@dataclass(frozen=True)
class Attempt:
    """One beginning of a job."""

    SCHEMA: ClassVar[str] = "valley.attempt/1"

    attempt: int
    """Counted from 1."""
    host: str
    slurm: str
    """Slurm's name of the array element, such as `123_4`; empty on one machine."""
    began: float
    """Seconds since the epoch, as is `ended`, which is null where no one was left to write it."""
    ended: float | None = None
    why: Why = ""
    """Empty while it is at work. `terminated` is a SIGTERM whose sender is not known; it becomes
    `preempted` when Slurm begins the same element again. `killed` had no time to say anything."""


def read_attempts(folder: Path) -> list[Attempt]:
    """The attempts at the job in this folder, oldest first. A damaged file is set aside."""
    path = folder / "attempts.jsonl"
    if not path.is_file():
        return []
    try:
        return read_records(path, Attempt)
    except UserError:
        set_aside(path)
        return []


def begin_attempt(folder: Path) -> None:
    """Write down that a job begins here and now, and what the last attempt must have ended by."""
    attempts = read_attempts(folder)
    task = slurm.this_task()
    if attempts and attempts[-1].why in ("", "terminated"):
        last = attempts[-1]
        again = bool(task) and last.slurm == task
        why: Why = "killed" if not last.why else "preempted" if again else "terminated"
        attempts[-1] = replace(last, why=why)
    attempts.append(Attempt(len(attempts) + 1, socket.gethostname(), task, time.time()))
    write_records(folder / "attempts.jsonl", attempts)


def end_attempt(folder: Path, why: Why) -> None:
    """Write down why the attempt at work ended."""
    attempts = read_attempts(folder)
    if attempts:
        attempts[-1] = replace(attempts[-1], ended=time.time(), why=why)
        write_records(folder / "attempts.jsonl", attempts)


def time_outs(folder: Path) -> int:
    """How often the job was stopped at its time limit since it failed last."""
    count = 0
    for attempt in reversed(read_attempts(folder)):
        if attempt.why == "failed":
            break
        count += attempt.why == "time_limit"
    return count
