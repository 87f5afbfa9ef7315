"""Stints: how often a job was begun, where, and what ended each time.

They stand in `stints.jsonl` in the job's folder, oldest first, and tell how often it has been stopped
at its time limit. The first rank writes them.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from valley.cluster import slurm
from valley.disk import set_aside
from valley.errors import UserError
from valley.records import read_records, write_records

Why = Literal["", "done", "failed", "time_limit", "terminated", "preempted", "killed"]


@dataclass(frozen=True)
class Stint:
    """One process, or set of ranks, at work on a job: from one beginning to whatever ended it."""

    SCHEMA: ClassVar[str] = "valley.stint/1"

    number: int
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
    gained: bool = True
    """Whether the job itself got further; told of one that was stopped at its time limit."""


def read_stints(folder: Path) -> list[Stint]:
    """The stints at the job in this folder, oldest first. A damaged file is set aside."""
    path = folder / "stints.jsonl"
    if not path.is_file():
        return []
    try:
        return read_records(path, Stint)
    except UserError:
        set_aside(path)
        return []


def begin_stint(folder: Path) -> None:
    """Write down that a job begins here and now, and what the last stint must have ended by."""
    stints = read_stints(folder)
    task = slurm.this_task()
    if stints and stints[-1].why in ("", "terminated"):
        last = stints[-1]
        again = bool(task) and last.slurm == task
        why: Why = "killed" if not last.why else "preempted" if again else "terminated"
        stints[-1] = replace(last, why=why)
    stints.append(Stint(len(stints) + 1, socket.gethostname(), task, time.time()))
    write_records(folder / "stints.jsonl", stints)


def end_stint(folder: Path, why: Why, *, gained: bool = True) -> None:
    """Write down why the stint at work ended."""
    stints = read_stints(folder)
    if stints:
        stints[-1] = replace(stints[-1], ended=time.time(), why=why, gained=gained)
        write_records(folder / "stints.jsonl", stints)


def time_outs(folder: Path) -> int:
    """How often the job was stopped at its time limit since it was last done (for a rebuild), or failed."""
    count = 0
    for stint in reversed(read_stints(folder)):
        if stint.why in ("failed", "done"):
            break
        count += stint.why == "time_limit"
    return count


def gained_before(folder: Path) -> bool:
    """Whether the stint before the one at work got further until its time limit stopped it."""
    before = read_stints(folder)[-2:-1]
    return any(stint.why == "time_limit" and stint.gained for stint in before)
