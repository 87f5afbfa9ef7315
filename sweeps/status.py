"""Show where every cell of a sweep stands: its state, why, and where its log is.

python sweeps/status.py [SWEEP or grid.yaml]    # the last launched where none is named
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from valley.errors import exit_on_user_error
from valley.ledger import Ledger, all_submissions, find_sweep
from valley.measured import measured_against_estimated
from valley.state import Ticket, knowledge
from valley.store import Store

# A cell is as far as its first job that is not done.
STYLES = {"done": "green", "running": "cyan", "pending": "yellow", "failed": "red", "lost": "red"}


def main() -> int:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(
        prog="python sweeps/status.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sweep", nargs="?", help="a sweep's name, or its grid file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get("VALLEY_ROOT", "runs")),
        help="where results are kept (default: runs, or VALLEY_ROOT)",
    )
    options = parser.parse_args()
    root = options.root.resolve()
    ledger = find_sweep(root, options.sweep)
    store = Store(root, read_only=True)
    cells = cell_states(ledger, store)
    for sentence in store.damaged:
        print(f"warning: {sentence}", file=sys.stderr)
    spent = measured_against_estimated(store, _places(ledger))
    if options.json:
        told = {kind: {**asdict(one), "ratio": one.ratio} for kind, one in spent.items()}
        status = {"schema": "valley.status/1", "sweep": ledger.folder.name, "cells": cells}
        print(json.dumps({**status, "measured_against_estimated": told}))
        return 0
    _print_table(ledger.folder.name, cells)
    for kind, one in spent.items():
        times = f" ({one.ratio:.2g} times that)" if one.ratio else ""
        print(
            f"{kind}: {one.jobs} finished jobs took {one.measured_h:.2f} h, and "
            f"{one.estimated_h:.2f} h were estimated{times}"
        )
    return 0


def _places(ledger: Ledger) -> list[str]:
    """The folders of all jobs of a sweep."""
    rows = list(ledger.rows())
    own = (place for row in rows for place in row["jobs"].values() if place is not None)
    return [*(place for row in rows for place in row["before"]), *own]


def cell_states(ledger: Ledger, store: Store) -> list[dict[str, Any]]:
    """One row per cell and profile: its state, the job it waits at, why, and that job's log."""
    known = knowledge(store, all_submissions(store.root))
    rows = []
    for line in ledger.rows():
        row = {"cell": line["cell"], "profile": line["profile"], "axes": line["axes"]}
        own = [place for place in line["jobs"].values() if place is not None]
        # A graded cell is done, whatever has become of what it was made from.
        places = own[-1:] if known(Ticket.of(own[-1])).state == "done" else [*line["before"], *own]
        for place in places:
            ticket = Ticket.of(place)
            said = known(ticket)
            row |= {
                "state": said.state,
                "kind": ticket.kind,
                "reason": said.reason,
                "log": said.log,
            }
            if said.state == "running" and (
                progress := store.progress(ticket.kind, ticket.identity)
            ):
                row["progress"] = progress
            if said.state != "done":
                break
        rows.append(row)
    return rows


def _print_table(name: str, cells: list[dict[str, Any]]) -> None:
    console = Console(soft_wrap=True) if not sys.stdout.isatty() else Console()
    table = Table(title=f"sweep {name}", box=None, pad_edge=False, header_style="bold")
    for column in ("cell", "profile", "state", "at", "reason"):
        table.add_column(column, no_wrap=column != "reason")
    for cell in cells:
        state = "waiting" if cell["state"] == "new" else cell["state"]
        progress = cell.get("progress", {})
        reason = cell["reason"]
        if progress:
            loss = f", loss {progress['loss']:.3f}" if "loss" in progress else ""
            reason += f", step {progress['step']} of {progress['steps']}{loss}"
        at = "" if state == "done" else cell["kind"]
        style = STYLES.get(state, "")
        table.add_row(
            cell["cell"], cell["profile"], f"[{style}]{state}[/]" if style else state, at, reason
        )
    console.print(table)
    logs = {
        cell["log"]: cell
        for cell in cells
        if cell["log"] and cell["state"] in ("failed", "lost", "running")
    }
    for log, cell in logs.items():
        console.print(f"{cell['state']}: {cell['cell']} {cell['kind']}: log {log}")
    counts = Counter("waiting" if cell["state"] == "new" else cell["state"] for cell in cells)
    summary = ", ".join(f"{n} {state}" for state, n in counts.most_common())
    console.print(f"{len(cells)} rows (cell x profile): {summary}")


if __name__ == "__main__":
    exit_on_user_error(main)
