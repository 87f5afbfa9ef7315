"""Show where a sweep stands: of every cell and kind of job, what is done, running, queued or failed.

python sweeps/status.py [SWEEP or grid.yaml]       # the last launched where none is named
python sweeps/status.py --watch                    # again every 10 seconds, until nothing is live
python sweeps/status.py --where difficulty=hard    # some cells
python sweeps/status.py --logs CELL                # the end of the log of what failed or runs
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expected_end import expected_end
from status_table import status_text

from valley.command_line import add_root, add_where
from valley.errors import UserError, exit_on_user_error
from valley.forecast import Forecast
from valley.ledger import Ledger, all_submissions, find_sweep
from valley.logs import last_lines
from valley.picture import Picture, Row, picture
from valley.root_lock import launcher_at_work
from valley.spent import Spent, measured_against_estimated
from valley.state import knowledge
from valley.store import Store

WATCH_S = 10.0
CLEAR = "\x1b[H\x1b[J"
Chosen = Callable[[Mapping[str, Any]], bool]


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python sweeps/status.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sweep", nargs="?", help="a sweep's name, or its grid file")
    add_where(parser, "cells with these axes")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="print JSON instead of a table")
    what.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=WATCH_S,
        metavar="SECONDS",
        help=f"show it again every SECONDS (default: {WATCH_S:g}) until nothing runs or is queued",
    )
    what.add_argument(
        "--logs",
        metavar="CELL",
        help="print the end of the log of the cell's failed or running job; a part of the cell's "
        "name will do",
    )
    parser.add_argument(
        "--lines", type=int, default=30, metavar="N", help="lines of a log (default: 30)"
    )
    add_root(parser)
    options = parser.parse_args(arguments)
    if options.watch is not None and options.watch <= 0:
        parser.error("--watch: expected more than 0 seconds")
    if options.lines < 1:
        parser.error("--lines: expected 1 or more")
    return options


def main() -> int:
    """Print the table, JSON or a log."""
    options = parse(sys.argv[1:])
    where = _chosen(options.where)
    root = options.root.resolve()
    ledger = find_sweep(root, options.sweep)
    store = Store(root, read_only=True)
    if options.watch is not None:
        return _watch(ledger, store, where, options.watch)
    seen = _look(ledger, store, where)
    if options.logs is not None:
        return _print_logs(seen, options.logs, options.lines)
    if options.json:
        print(json.dumps(_as_json(ledger, store, seen)))
        return 0
    print(_text(ledger, store, seen))
    return 0


def _chosen(conditions: list[str]) -> Chosen | None:
    """Which cells are meant, by their axes; None is all of them."""
    if not conditions:
        return None
    from valley.where import Where  # with all of the settings' classes behind it

    return Where.parse(conditions).matches


def _all(axes: Mapping[str, Any]) -> bool:
    return True


def _look(ledger: Ledger, store: Store, where: Chosen | None) -> Picture:
    """Look at everything once: the store, at most one squeue, at most one sacct.

    Raises:
        UserError: there is no such cell.
    """
    store.refresh()
    known = knowledge(store, all_submissions(store.root))
    seen = picture(ledger.rows(), known, where or _all)
    for sentence in store.damaged:
        print(f"warning: {sentence}", file=sys.stderr)
    store.damaged.clear()
    if not seen.rows:
        raise UserError(
            f"no cell of sweep {ledger.folder.name} is meant; "
            + ("widen --where" if where else "its manifest is empty; launch it again")
        )
    return seen


def _sampling(seen: Picture) -> list[str]:
    """How far profiles are whose samples are drawn in rounds."""
    found = {row.profile: row.sampling for row in seen.rows if row.sampling is not None}
    lines = []
    for profile, told in found.items():
        said = f"profile {profile}: round {told['round']} of {told['of']} of its samples"
        if told["is_over"]:
            said += ", the last"
        elif all(row.state == "done" for row in seen.rows if row.profile == profile):
            said += "; every cell shown has it: once all cells do, a launch goes on, or says that sampling stops"
        lines.append(said)
    return lines


def _text(ledger: Ledger, store: Store, seen: Picture) -> str:
    text = status_text(
        ledger.folder.name,
        seen,
        lambda job: store.progress(job.ticket.kind, job.ticket.identity),
        expected_end(ledger, store, seen),
        _spent(store, seen),
        colour=sys.stdout.isatty(),
    )
    return "\n".join([text, *_sampling(seen)])


def _watch(ledger: Ledger, store: Store, where: Chosen | None, every_s: float) -> int:
    """Print the table until nothing runs or is queued and no launcher is at work, or Ctrl-C."""
    in_place = sys.stdout.isatty()
    # A shell that starts a job in the background has SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        while True:
            seen = _look(ledger, store, where)
            text = _text(ledger, store, seen)
            now = time.strftime("%H:%M:%S")
            if in_place:
                height = shutil.get_terminal_size().lines - 2
                text = CLEAR + "\n".join(text.splitlines()[:height])
            print(f"{text}\n{now}, every {every_s:g} s; Ctrl-C ends it", flush=True)
            if not seen.is_live and not launcher_at_work(store.root):
                return 0
            time.sleep(every_s)
    except KeyboardInterrupt:
        print()
        return 0


def _spent(store: Store, seen: Picture) -> dict[str, Spent]:
    """What finished jobs took against what was estimated at their launch, by kind."""
    return measured_against_estimated(
        store, (place for place, job in seen.jobs.items() if job.known.state == "done")
    )


def _as_json(ledger: Ledger, store: Store, seen: Picture) -> dict[str, Any]:
    """The picture as `docs/cluster.md` describes it."""
    end = expected_end(ledger, store, seen)
    return {
        "schema": "valley.status/1",
        "sweep": ledger.folder.name,
        "cells": [_row_as_json(store, row) for row in seen.rows],
        "kinds": {kind: dict(tally) for kind, tally in seen.totals.items()},
        "stuck": [
            {
                "kind": stuck.jobs[0].ticket.kind,
                "jobs": [job.ticket.label for job in stuck.jobs],
                "cells": stuck.cells,
                "state": stuck.known.state,
                "failure": stuck.known.failure,
                "reason": stuck.known.reason,
                "line": stuck.known.line,
                "action": stuck.known.remedy,
                "log": stuck.known.log,
            }
            for stuck in seen.stuck
        ],
        "expected_end": {"left_s": round(end.left_s), "lanes": end.lanes, "basis": end.basis}
        if isinstance(end, Forecast)
        else None,
        "measured_against_estimated": {
            kind: {**asdict(one), "ratio": one.ratio} for kind, one in _spent(store, seen).items()
        },
    }


def _row_as_json(store: Store, row: Row) -> dict[str, Any]:
    ticket, known = row.at.ticket, row.at.known
    value = {
        "cell": row.cell,
        "profile": row.profile,
        "axes": row.axes,
        "state": known.state,
        "kind": ticket.kind,
        "reason": known.reason,
        "log": known.log,
        "failure": known.failure,
        "line": known.line,
        "action": known.remedy,
        "jobs": {kind: dict(tally) for kind, tally in row.tallies.items()},
    }
    if row.sampling is not None:
        value["sampling"] = row.sampling
    if known.state == "running" and (far := store.progress(ticket.kind, ticket.identity)):
        value["progress"] = far
    return value


def _print_logs(seen: Picture, name: str, lines: int) -> int:
    """Print the ends of the logs of a cell's jobs that failed, were lost, or run.

    Raises:
        UserError: no such cell, several, or none of its jobs has a log to look at.
    """
    cells = list(dict.fromkeys(row.cell for row in seen.rows))
    found = [cell for cell in cells if cell == name] or [cell for cell in cells if name in cell]
    if len(found) != 1:
        shown = ", ".join((found or cells)[:8]) + (", …" if len(found or cells) > 8 else "")
        said = "several cells are called so" if found else "no cell is called so"
        raise UserError(f"--logs {name}: {said}: {shown}")
    jobs = {p: j for row in seen.rows if row.cell == found[0] for p, j in row.jobs.items()}
    chosen = [
        job
        for job in jobs.values()
        if job.known.state in ("failed", "lost", "running") and job.known.log
    ]
    if not chosen:
        raise UserError(
            f"--logs {name}: no job of {found[0]} has failed, is lost or runs; the job's folder "
            "below the store and the sweep's own folder hold what finished ones left"
        )
    for job in chosen:
        known = job.known
        why = f", {known.failure.replace('_', ' ')}" if known.failure else ""
        print(f"==> {job.ticket.kind} {job.ticket.label}: {known.state}{why}: {known.log}")
        text = last_lines(Path(known.log), lines, f"{job.ticket.kind} {job.ticket.label}")
        print("\n".join(text) if text else "(the log is empty, or is not there)")
    return 0


if __name__ == "__main__":
    exit_on_user_error(main, only_shows=True)
