"""Orphans: arrays that a launcher submitted without living to write down their id.

An array's working folder is its submission's, which the journal named before sbatch was called; squeue
shows it, and accounting remembers it. What neither knows is taken for never submitted: without accounting
an array that ended before anyone looked is so too, and what it has finished is done all the same. So it is
with scripts that were only printed, which a person submits or not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from valley.cluster import slurm
from valley.ledger import Ledger, Submission
from valley.processes import runs_with

POLL_S = 0.2


def find_orphans(
    submissions: Iterable[Submission], queue: Mapping[tuple[str, int], slurm.Task]
) -> dict[str, str]:
    """Slurm's ids, by intent, of open submissions that did reach it; at most one sacct call."""
    lost = [s for s in submissions if s.is_open]
    folders = {task.folder: array for (array, _), task in sorted(queue.items())}
    found = {s.intent: folders[str(s.folder)] for s in lost if str(s.folder) in folders}
    # Of what was only printed accounting is not asked: it would be so at every look.
    missing = [s for s in lost if s.intent not in found and not s.printed]
    if missing:
        remembered = slurm.accounting_by_folder(min(s.at for s in missing))
        found |= {
            s.intent: remembered[str(s.folder)] for s in missing if str(s.folder) in remembered
        }
    return found


def settle(root: Path) -> None:
    """Write down what became of all open submissions below a root; its lock is held.

    An sbatch that outlived its launcher is waited for: what it submits is not in the queue yet.
    """
    ledgers = [Ledger(path.parent) for path in sorted(root.glob("sweeps/*/journal.jsonl"))]
    opened = [(ledger, s) for ledger in ledgers for s in ledger.submissions() if s.is_open]
    if not opened:
        return
    while any(runs_with(*slurm.SBATCH[1:], str(submission.script)) for _, submission in opened):
        time.sleep(POLL_S)
    found = find_orphans([submission for _, submission in opened], slurm.queue())
    for ledger, submission in opened:
        event = {"intent": submission.intent}
        if job_id := found.get(submission.intent):
            ledger.append({"event": "submitted", **event, "job_id": job_id})
        elif not submission.printed or not submission.folder.is_dir():
            ledger.append({"event": "void", **event})
