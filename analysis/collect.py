"""Gather the results of a sweep into one tidy table: `python analysis/collect.py`.

A sweep's manifest says which cells there are and which jobs they consist of; the store says what each
job found. What is not there yet is listed with the reason, a damaged result is listed by name, and
neither is fatal.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from results import Counts, Results, counted_rounds, counts_of

from valley.errors import UserError, exit_on_user_error
from valley.ledger import find_sweep
from valley.records import write_text
from valley.store import Store
from valley.sweep import NAMED_AXES
from valley.where import Where

TRAIN_COLUMNS = ("examples", "tokens", "loss_first", "loss_last")
STATUS, PLOT = "sweeps/status.py", "analysis/plot_valley.py"

Key = tuple[str, str]
"""A cell and a profile, as the manifest names them."""


@dataclass(frozen=True)
class Collected:
    """What is known of a sweep.

    `table` has a row per (cell, profile) in the manifest's order: axes, `cell`, `profile`, `state`
    ("done", "missing", "damaged"), `steps`, then metrics and costs, NaN where not done. `missing` holds
    (cell, profile, reason), `damaged` one sentence per result that was left out. `cells` holds each
    row's axes as the manifest spells them: a table of numbers with gaps cannot.
    """

    sweep: str
    folder: Path
    axes: tuple[str, ...]
    cells: dict[Key, dict[str, Any]]
    table: pd.DataFrame
    counts: dict[Key, Counts]
    provenance: dict[Key, dict[str, dict[str, Any]]]
    missing: list[tuple[str, str, str]]
    damaged: list[str]

    def where(self, conditions: Where) -> Collected:
        """Keep the cells that meet all conditions, and the baselines that lack a condition's axis.

        Raises:
            UserError: the sweep has no such axis, or no cell meets them.
        """
        keys = set(self.cells)
        for condition in conditions.conditions:
            axis = condition.axis
            if axis not in self.axes:
                raise UserError(
                    f"--where {condition}: no axis {axis!r} in sweep {self.sweep!r}; "
                    f"its axes: {', '.join(self.axes)}"
                )
            met = {key for key, axes in self.cells.items() if condition.holds(axes)}
            if not met:
                found = dict.fromkeys(c[axis] for c in self._by_size() if axis in c)
                raise UserError(
                    f"--where {condition}: no such cell; values found: {', '.join(map(str, found))}"
                )
            keys &= met | {k for k, c in self.cells.items() if c["size"] == 0 and axis not in c}
        if not keys:
            raise UserError(f"--where {conditions}: no cell meets all of these")
        kept = [key in keys for key in zip(self.table["cell"], self.table["profile"], strict=True)]
        return replace(
            self,
            cells={key: axes for key, axes in self.cells.items() if key in keys},
            table=self.table[kept].reset_index(drop=True),
            counts={key: value for key, value in self.counts.items() if key in keys},
            provenance={key: value for key, value in self.provenance.items() if key in keys},
            missing=[row for row in self.missing if row[:2] in keys],
        )

    def _by_size(self) -> list[dict[str, Any]]:
        return sorted(self.cells.values(), key=lambda axes: axes["size"])


def collect(root: Path, sweep: str | None = None) -> Collected:
    """Read a sweep's manifest and all results that exist. Nothing is written or renamed.

    Args:
        root: The folder that holds `store` and `sweeps`.
        sweep: A sweep's name or grid file; the one launched last where it is None.

    Raises:
        UserError: no such sweep, or its manifest is damaged or empty.
    """
    ledger = find_sweep(root, sweep)
    lines = {(line["cell"], line["profile"]): line for line in ledger.rows()}
    if not lines:
        raise UserError(f"{ledger.manifest}: names no cell; launch the sweep again to rewrite it")
    store = Store(root, read_only=True)
    reader = Results(store)
    lines = counted_rounds(lines, reader)
    rows: list[dict[str, Any]] = []
    counts: dict[Key, Counts] = {}
    provenance: dict[Key, dict[str, dict[str, Any]]] = {}
    missing: list[tuple[str, str, str]] = []
    for key, line in lines.items():
        own = {kind: place for kind, place in line["jobs"].items() if place is not None}
        row = {**line["axes"], "cell": key[0], "profile": key[1]}
        if reader.result(own["grade"]) is None:
            state, reason = reader.why_none([*line["before"], *own.values()])
            missing.append((*key, reason))
            rows.append({**row, "state": state})
            continue
        found = {kind: reader.result(place) for kind, place in own.items()}
        results = {kind: result for kind, result in found.items() if result is not None}
        counts[key] = counts_of(results["grade"]["outcome"])
        provenance[key] = {kind: _provenance(result) for kind, result in results.items()}
        rows.append({**row, "state": "done", "steps": line["steps"], **_measured(results)})
    others = {axis for line in lines.values() for axis in line["axes"]} - set(NAMED_AXES)
    axes = (*NAMED_AXES, *sorted(others))
    table = pd.DataFrame(rows)
    first = [*axes, "cell", "profile", "state"]
    table = table[first + [column for column in table.columns if column not in first]]
    return Collected(
        sweep=ledger.folder.name,
        folder=ledger.folder,
        axes=axes,
        cells={key: line["axes"] for key, line in lines.items()},
        table=table,
        counts=counts,
        provenance=provenance,
        missing=missing,
        damaged=store.damaged,
    )


def _provenance(result: dict[str, Any]) -> dict[str, Any]:
    """Where a result comes from; of a generation also what decoded."""
    backend = result["outcome"].get("backend")
    return result["provenance"] if backend is None else result["provenance"] | {"backend": backend}


def _measured(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    grade = results["grade"]
    values = dict(grade["outcome"]["metrics"])
    values["problem_set"] = grade["outcome"]["problem_set"]["digest"]
    values["snapshot"] = grade["provenance"].get("snapshot")
    if "train" in results:
        outcome = results["train"]["outcome"]
        values |= {f"train_{name}": outcome.get(name) for name in TRAIN_COLUMNS}
    return values | {f"{kind}_wall_s": r["cost"].get("wall_s") for kind, r in results.items()}


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Make a folder, and turn what goes wrong there into a message.

    Raises:
        UserError: the folder or a file in it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from error


def write_table(collected: Collected) -> Path:
    """Write the table to the one place where it stands, `results.csv` in the sweep's folder.

    Raises:
        UserError: the file cannot be written.
    """
    path = collected.folder / "results.csv"
    with writable(path.parent):
        write_text(path, collected.table.to_csv(index=False))
    return path


def sweep_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which every analysis script finds its sweep: its name alone, or `--sweep`."""
    named = parser.add_mutually_exclusive_group()
    named.add_argument(
        "sweep",
        nargs="?",
        # Where it is absent, `--sweep` may have been given.
        default=argparse.SUPPRESS,
        help="a sweep's name, or its grid file; default: the one launched last",
    )
    named.add_argument("--sweep", metavar="NAME", help="the same")
    parser.add_argument(
        "--root", type=Path, default=_default_root(), help="default: VALLEY_ROOT or runs"
    )


def _default_root() -> Path:
    return Path(os.environ.get("VALLEY_ROOT", "runs"))


def next_line(script: str, options: argparse.Namespace) -> str:
    """The `next:` line that runs another script on the same sweep and root."""
    words = ["python", script]
    if options.sweep is not None:
        words += [options.sweep] if script == STATUS else ["--sweep", options.sweep]
    if options.root != _default_root():
        words += ["--root", str(options.root)]
    return f"next: {shlex.join(words)}"


def main() -> int:
    """Write `results.csv` and say what is in it."""
    parser = argparse.ArgumentParser(
        prog="python analysis/collect.py", description="Gather a sweep's results into one table."
    )
    sweep_options(parser)
    options = parser.parse_args()
    collected = collect(options.root, options.sweep)
    path = write_table(collected)
    for sentence in collected.damaged:
        print(f"left out: {sentence}")
    for reason, number in Counter(reason for _, _, reason in collected.missing).most_common():
        print(f"missing: {number} x {reason}")
    print(f"{path}: {len(collected.counts)} of {len(collected.table)} rows measured")
    print(next_line(STATUS if collected.missing else PLOT, options))
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
