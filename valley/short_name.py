"""Short names: what plain `squeue`, which shows 8 characters of a job's name, tells of a running job. Pure.

t1e10k.0     training, stage 1, easy traces, 10,000 of them, training seed 0
g2a512.1     generation, stage 2, all traces, 512, seed 1
v1hc30k.0    grading (verdicts), stage 1, hard and correct traces, 30,000, seed 0
p.pool       preparation of the pool; t0.less the first lessons of a tiny student
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LETTERS = {"prepare": "p", "train": "t", "generate": "g", "grade": "v"}
ARMS = {
    **{"all": "", "easy": "e", "medium": "m", "hard": "h"},
    **{"correct": "c", "incorrect": "i", "unknown": "u"},
}
UNITS = ((1_000_000, "m"), (1_000, "k"))


def cell_name(axes: Mapping[str, Any]) -> str:
    """What the jobs of a cell have in common: stage, arm, size and seed, such as `1e10k.0`."""
    # A letter in any case: `1128` would be stage 1 and size 128, or stage 11 and size 28.
    arm = ARMS[axes["difficulty"]] + ARMS[axes["correctness"]] or "a"
    return f"{axes['stage']}{arm}{_short_size(axes['size'])}.{axes['seed']}"


def _short_size(size: int) -> str:
    for unit, letter in UNITS:
        if size and size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)
