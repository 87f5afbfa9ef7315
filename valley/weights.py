"""Weights: whether a finished job's checkpoint is still there, and how it is removed.

That a job is done (`result.json`) and that its weights are there are separate facts. The weights of a
job that makes any are there if `model/` is and `pruned.json` is not:

1. Pruning writes `pruned.json`, then removes `model/`. Killed in between, the weights count as pruned,
   whatever is left of them, and the next pruning removes the rest.
2. A rebuild runs the job once more although its result is there: an element passes over a job only
   if it has a result and lacks no weights. `result.json` stays until a new one takes its place, and
   `pruned.json` until after that; killed in between, the job runs once more.

So nobody takes a checkpoint that is half removed or half written for a whole one.
"""

from __future__ import annotations

import calendar
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from valley.processes import this_process
from valley.records import write_json

MARKER = "pruned.json"
PRUNED_SCHEMA = "valley.pruned/1"


def makes_weights(result: Mapping[str, Any]) -> bool:
    """Whether the job of this result left a checkpoint: a training, or a prepared student."""
    return isinstance(result["outcome"], dict) and "model" in result["outcome"]


def lacks_weights(folder: Path, result: Mapping[str, Any]) -> bool:
    """Whether a job that is done left weights that are no longer there."""
    if not makes_weights(result):
        return False
    return (folder / MARKER).exists() or not (folder / result["outcome"]["model"]).is_dir()


def gone_since(folder: Path, result: Mapping[str, Any]) -> float:
    """When weights were pruned, in seconds since the epoch.

    Of weights that someone removed by hand no more is known than when they were made.
    """
    try:
        return float(json.loads((folder / MARKER).read_text(encoding="utf-8"))["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return _finished_at(result)


def mark_removed_by_hand(folder: Path, result: Mapping[str, Any]) -> None:
    """Mark weights that are gone without a marker, before they are rebuilt."""
    if lacks_weights(folder, result) and not (folder / MARKER).exists():
        _mark(folder, _finished_at(result), "hand")


def remove_weights(folder: Path, result: Mapping[str, Any], by: str) -> None:
    """Remove a checkpoint, and leave word of it first.

    Args:
        by: the command that removes it.

    Raises:
        OSError: not all of it could be removed; it counts as pruned.
    """
    if not (folder / MARKER).exists():
        _mark(folder, time.time(), by)
    shutil.rmtree(folder / result["outcome"]["model"])


def forget_pruning(folder: Path) -> None:
    """Say that the weights are there again: the last thing that a rebuild does."""
    (folder / MARKER).unlink(missing_ok=True)


def size_bytes(folder: Path) -> int:
    """The size of all files in a folder; 0 if it is not there."""
    return sum(
        (Path(base) / name).lstat().st_size for base, _, names in os.walk(folder) for name in names
    )


def _mark(folder: Path, at: float, by: str) -> None:
    who = this_process()
    write_json(folder / MARKER, {"schema": PRUNED_SCHEMA, "at": at, "by": by, "host": who["host"]})


def _finished_at(result: Mapping[str, Any]) -> float:
    try:
        said = result["provenance"]["finished_at"]
        return float(calendar.timegm(time.strptime(said, "%Y-%m-%dT%H:%M:%SZ")))
    except (KeyError, TypeError, ValueError):
        return 0.0
