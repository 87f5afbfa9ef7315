"""Logs: the end of a job's log, read without reading all of it."""

from __future__ import annotations

import os
from pathlib import Path

TAIL_BYTES = 32_768
JOB_BYTES = 4_194_304
MOST_RANKS = 64
STARTS = ": starts in "
"""What an element writes before it runs a job, so that of a shared log each has its own part."""


def tail(path: Path, size: int = TAIL_BYTES) -> str:
    """The last bytes of a file as text; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def last_lines(path: Path, count: int, job: str = "") -> list[str]:
    """The last lines of a log; none where it cannot be read.

    Args:
        job: kind and label of a job, whose own part is meant where it shares the log.
    """
    lines = tail(path, JOB_BYTES).splitlines()
    starts = [number for number, line in enumerate(lines) if STARTS in line]
    mine = [number for number in starts if f"{job}{STARTS}" in lines[number]]
    if job and mine:
        end = next((number for number in starts if number > mine[-1]), len(lines))
        lines = lines[mine[-1] : end]
    return lines[-count:]


def tail_of_last_job(log: Path) -> str:
    """What the job that was at work last left in the log of its element, all ranks together."""
    stem, found, suffix = log.name.rpartition("_0_log.")
    ranks = sorted(log.parent.glob(f"{stem}_*_log.{suffix}"))[:MOST_RANKS] if found else [log]
    return "\n".join(_since_start(tail(path)) for path in ranks)


def _since_start(text: str) -> str:
    return text.rpartition(STARTS)[2]
