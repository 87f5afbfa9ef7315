"""Attempts: how often a job was tried before and what ended each try, in `attempts.jsonl` of its folder.

A line is added when an attempt is over: by the launch that submits the job again, before it is laid
anew and the traces of the attempt go. The retries that a job has had after failures of one class are
so the lines with that class, without the one of the attempt that failed last (a launcher that was
killed in between may have written it already).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

ATTEMPT_SCHEMA = "valley.attempt/1"
ATTEMPTS = "attempts.jsonl"


def read_attempts(folder: Path) -> list[dict[str, Any]]:
    """The attempts before the present one, oldest first. A half-written line is passed over."""
    try:
        text = (folder / ATTEMPTS).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    attempts = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and value.get("schema") == ATTEMPT_SCHEMA:
            attempts.append(value)
    return attempts


def retries(folder: Path, place: str) -> Counter[str]:
    """How often the job was tried again, by what had failed it.

    Args:
        place: the present attempt, which is no earlier one.
    """
    earlier = [attempt for attempt in read_attempts(folder) if attempt.get("place") != place]
    return Counter(str(attempt.get("why")) for attempt in earlier)


def note_attempt(folder: Path, place: str, why: str) -> None:
    """Write down an attempt that failed, unless it was written down before.

    Args:
        place: the attempt: its submission and its element, such as `1125-101500-train1-tiny-3fa9c1/4`.
        why: the class of the failure, or `lost`.
    """
    if any(attempt.get("place") == place for attempt in read_attempts(folder)):
        return
    left = _left_by_it(folder)
    value = {
        "schema": ATTEMPT_SCHEMA,
        "began": left.get("began"),
        "ended": left.get("ended"),
        "why": why,
        "host": left.get("host"),
        "place": place,
    }
    folder.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
    with (folder / ATTEMPTS).open("ab+") as file:
        # A launcher that died in the midst of a line left it open; close it before going on.
        torn = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
        file.write((b"\n" if torn else b"") + json.dumps(value).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _left_by_it(folder: Path) -> dict[str, Any]:
    """When and where the attempt ran, as far as it could say."""
    for name in ("failed.json", "running.json"):
        try:
            value = json.loads((folder / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            continue
        if isinstance(value, dict):
            return value
    return {}
