"""Cancel what a sweep has running or queued on Slurm.

    python sweeps/cancel.py SWEEP [--dry-run]

A sweep that runs on this machine is stopped with Ctrl-C where it was launched.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from valley.cluster import slurm
from valley.errors import exit_on_user_error
from valley.ledger import find_sweep


def main() -> int:
    """Cancel the sweep's arrays that Slurm still knows as live."""
    parser = argparse.ArgumentParser(
        prog="python sweeps/cancel.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sweep", help="a sweep's name, or its grid file")
    parser.add_argument("--dry-run", action="store_true", help="say what would be cancelled")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get("VALLEY_ROOT", "runs")),
        help="where results are kept (default: runs, or VALLEY_ROOT)",
    )
    options = parser.parse_args()
    ledger = find_sweep(options.root.resolve(), options.sweep)
    mine = {s.job_id for s in ledger.submissions() if s.cluster == "slurm" and s.job_id}
    tasks = slurm.queue() if mine else {}
    live = [
        (array, index)
        for (array, index), task in sorted(tasks.items())
        if array in mine and task.state not in slurm.ENDED
    ]
    arrays = sorted({array for array, _ in live})
    if not options.dry_run:
        slurm.cancel(arrays)
    verb = "would cancel" if options.dry_run else "cancelled"
    print(f"{ledger.folder.name}: {verb} {len(live)} elements of {len(arrays)} arrays")
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
