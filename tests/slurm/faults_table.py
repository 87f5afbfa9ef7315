"""The table of faults that `make faults` writes: what was done to a sweep, and how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from disturbed import DisturbedSweep

HEAD = """\
# Faults

Written by `make faults` on {day}: each fault is injected for real into a sweep on a private Slurm cluster
(22.05 or later, four virtual nodes on one machine), and `launch.py` is called again until every cell is
done. *Sound* means: every cell done, one accepted result for each job, no job ever at work twice at once
(each writes a beat ten times a second), nothing left in the queue, and every result equal to that of an
undisturbed sweep. `tests/slurm/test_faults.py` says how each is injected.

| fault | launches after it | seconds to the end | outcome |
|---|---|---|---|
"""


@dataclass
class Fault:
    """One fault, and what followed."""

    name: str
    started: float
    ended: float = 0.0
    launches: int | None = None
    """Launches after the fault; None where the test failed before that could be said."""
    sound: bool = False

    def __call__(self, sweep: DisturbedSweep, expected: dict[str, str], *arguments: str) -> None:
        """Launch until all is done, and hold what there is then against an undisturbed sweep."""
        self.launches = len(sweep.settle(*arguments))
        sweep.check_sound(expected)
        self.sound = True


def write_report(path: Path, faults: list[Fault]) -> None:
    """Write the table; faults that were injected several times share a row."""
    rows: dict[str, list[Fault]] = {}
    for fault in faults:
        rows.setdefault(fault.name, []).append(fault)
    lines = []
    for name, same in rows.items():
        counts = sorted({str(fault.launches) for fault in same})
        launches = counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        seconds = max(fault.ended - fault.started for fault in same)
        sound = sum(fault.sound for fault in same)
        times = f" ({sound} of {len(same)} times)" if len(same) > 1 else ""
        verdict = "sound" if sound == len(same) else "**NOT SOUND**"
        lines.append(f"| {name} | {launches} | {seconds:.0f} | {verdict}{times} |")
    path.write_text(HEAD.format(day=time.strftime("%d %B %Y")) + "\n".join(lines) + "\n")
