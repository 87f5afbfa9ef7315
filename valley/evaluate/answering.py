"""The student that answers: its names, by which a set of samples is seen to be of the same weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from valley import model_folder
from valley.records import digest

NAMES = ("weights", "student")
"""Of the content of its model, and of its training's result, which says how long that took. Results of
earlier versions tell the second alone."""


def names_of(checkpoint: Path) -> dict[str, str]:
    """The names of the student in a job's folder."""
    result = (checkpoint / "result.json").read_bytes()
    return {
        "weights": digest(model_folder.content(str(checkpoint / "model"))),
        "student": hashlib.sha256(result).hexdigest(),
    }


def told_of(outcome: Mapping[str, Any]) -> dict[str, str]:
    """The names that a generation's outcome tells."""
    return {name: outcome[name] for name in NAMES if name in outcome}


def are_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two outcomes are of the same weights, by the first name that both tell; yes without one."""
    name = next((name for name in NAMES if name in one and name in other), None)
    return name is None or bool(one[name] == other[name])
