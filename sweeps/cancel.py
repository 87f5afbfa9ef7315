"""Cancel what a sweep has running or queued on Slurm.

    python sweeps/cancel.py SWEEP                            # all of it
    python sweeps/cancel.py SWEEP --where difficulty=hard    # some cells
    python sweeps/cancel.py SWEEP --dry-run                  # say what would be cancelled

What other cells need, also another sweep's, is kept. What was cancelled is new again: the next launch
submits it. A sweep that runs on this machine is stopped with Ctrl-C where it was launched.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from valley.cancelling import Choice, cancel, choose, live_elements, needed_by
from valley.command_line import add_root, add_where
from valley.errors import UserError, exit_on_user_error
from valley.ledger import Ledger, all_submissions, find_sweep
from valley.picture import Row, picture
from valley.places import Ticket
from valley.root_lock import launcher_here
from valley.state import Knowledge
from valley.store import Store
from valley.where import Where


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python sweeps/cancel.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sweep", help="a sweep's name, or its grid file")
    add_where(parser, "for cells with these axes")
    parser.add_argument("--dry-run", action="store_true", help="say what would be cancelled")
    add_root(parser)
    return parser.parse_args(arguments)


def main() -> int:
    """Choose, cancel, and say what was done."""
    options = parse(sys.argv[1:])
    where = Where.parse(options.where)
    root = options.root.resolve()
    ledger = find_sweep(root, options.sweep)
    store = Store(root, read_only=True)
    knowledge = Knowledge(store, all_submissions(root))
    rows = picture(ledger.rows(), knowledge.known).rows
    meant = [row for row in rows if where.matches(row.axes)]
    if not meant:
        raise UserError(f"no cell of sweep {ledger.folder.name} is meant; widen --where")
    jobs = {Ticket.of(place).identity for row in meant for place in row.jobs}
    if not where.conditions:
        # What cells that the grid no longer has left in the queue.
        jobs |= {i[:16] for s in ledger.submissions() for element in s.elements for i in element}
    beside = [row for row in rows if not where.matches(row.axes)]
    others = {"cells beside --where": beside, **_other_sweeps(ledger, knowledge)}
    choice = choose(live_elements(knowledge), jobs, needed_by(others))
    if not choice.cancelled and (here := _runs_here(meant, knowledge)):
        print(_said_of_this_machine(ledger.folder.name, here, launcher_here(root)))
        return 1
    if not options.dry_run:
        cancel(live.place for live in choice.cancelled)
    print(_said(ledger.folder.name, choice, options.dry_run))
    return 0


def _runs_here(rows: list[Row], knowledge: Knowledge) -> list[int]:
    """The processes of this machine that run jobs of these rows."""
    running = {
        Ticket.of(place).identity
        for row in rows
        for place, job in row.jobs.items()
        if job.known.state == "running"
    }
    places = [knowledge.places[name] for name in running & knowledge.places.keys()]
    processes = [p.submission.process for p in places if p.submission.cluster == "local"]
    return sorted({process["pid"] for process in processes if process})


def _said_of_this_machine(name: str, processes: list[int], launcher: int | None) -> str:
    if launcher is not None:
        said = f"process {launcher}), and Slurm has nothing of it; stop it with Ctrl-C where it was launched"
    else:
        listed = " ".join(map(str, processes))
        said = f"without its launcher), and Slurm has nothing of it; stop it with kill {listed}"
    return f"{name}: nothing cancelled: it runs on this machine ({said}"


def _other_sweeps(ledger: Ledger, knowledge: Knowledge) -> dict[str, list[Row]]:
    """The rows of the root's other sweeps. One whose manifest is damaged is named and passed over."""
    found = {}
    for path in sorted(ledger.folder.parent.glob("*/manifest.jsonl")):
        other = Ledger(path.parent)
        if other.folder == ledger.folder:
            continue
        try:
            found[f"sweep {other.folder.name}"] = picture(other.rows(), knowledge.known).rows
        except UserError as error:
            print(f"warning: {error}; what it needs is not known", file=sys.stderr)
    return found


def _said(name: str, choice: Choice, dry_run: bool) -> str:
    verb = "would cancel" if dry_run else "cancelled"
    lines = []
    if choice.cancelled:
        count, running = len(choice.cancelled), sum(live.is_running for live in choice.cancelled)
        lines.append(
            f"{name}: {verb} {count} elements ({running} running, {count - running} queued)"
        )
        lines += [f"  scancel {element}" for element in choice.names]
    else:
        lines.append(f"{name}: nothing to cancel: no element that these cells alone need is live")
    kept = Counter(whom for _, whom in choice.kept)
    lines += [f"kept: {n} elements that others need: {whom}" for whom, n in sorted(kept.items())]
    if choice.cancelled:
        lines.append("the next launch submits what is cancelled again")
    return "\n".join(lines)


if __name__ == "__main__":
    exit_on_user_error(main)
