"""Gather the results of a sweep into one tidy table: `python analysis/collect.py`.

A sweep's manifest says which cells there are and which jobs they consist of; the store says what each
job found. What is not there yet is listed with the reason, what is damaged is listed by name, and
neither is fatal.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from results import KINDS, Counts, Results, counts_of

from valley.errors import UserError, exit_on_user_error
from valley.records import write_text

CELL_SCHEMA = "valley.cell/1"
NAMED_AXES = ("student", "stage", "size", "difficulty", "correctness", "seed")
TRAIN_COLUMNS = ("examples", "tokens", "loss_first", "loss_last")

Key = tuple[str, str]
"""A cell and a profile, as the manifest names them."""


@dataclass(frozen=True)
class Collected:
    """What is known of a sweep.

    `table` has a row per (cell, profile) in the manifest's order: axes, `cell`, `profile`, `state`
    ("done", "missing", "damaged"), `steps`, then metrics and costs, NaN where not done. `missing` holds
    (cell, profile, reason), `damaged` one sentence per file or line that was left out.
    """

    sweep: str
    folder: Path
    axes: tuple[str, ...]
    table: pd.DataFrame
    counts: dict[Key, Counts]
    provenance: dict[Key, dict[str, dict[str, Any]]]
    missing: list[tuple[str, str, str]]
    damaged: list[str]

    def where(self, conditions: Mapping[str, str]) -> Collected:
        """Keep the cells whose axes have these values, and the baselines that lack the axis.

        Raises:
            UserError: the sweep has no such axis, or no cell has the value.
        """
        kept = pd.Series(True, index=self.table.index)
        for axis, wanted in conditions.items():
            if axis not in self.axes:
                raise UserError(
                    f"--where {axis}={wanted}: no axis {axis!r} in sweep {self.sweep!r}; "
                    f"its axes: {', '.join(self.axes)}"
                )
            column = self.table[axis]
            matches = column.map(lambda value, wanted=wanted: _spelled(value) == wanted)
            if not matches.any():
                found = ", ".join(sorted({_spelled(v) for v in column.dropna()}))
                raise UserError(f"--where {axis}={wanted}: no such cell; values found: {found}")
            kept &= matches | (column.isna() & (self.table["size"] == 0))
        table = self.table[kept].reset_index(drop=True)
        keys = set(zip(table["cell"], table["profile"], strict=True))
        return replace(
            self,
            table=table,
            counts={key: value for key, value in self.counts.items() if key in keys},
            provenance={key: value for key, value in self.provenance.items() if key in keys},
            missing=[row for row in self.missing if row[:2] in keys],
        )


def _spelled(value: Any) -> str:
    # pandas turns a column of integers with gaps into floats; the user writes 1280, not 1280.0.
    return f"{value:g}" if isinstance(value, float) else str(value)


def find_sweep(root: Path, name: str | None) -> Path:
    """The folder of a sweep: the named one, else the one launched last.

    Raises:
        UserError: there is none, or none of that name.
    """
    base = root / "sweeps"
    found = sorted(path.parent for path in base.glob("*/manifest.jsonl"))
    if not found:
        raise UserError(
            f"no sweep under {base}; launch one with `python sweeps/launch.py grid.yaml`, "
            "or name another root with --root or VALLEY_ROOT"
        )
    if name is not None:
        for folder in found:
            if folder.name == name:
                return folder
        names = ", ".join(folder.name for folder in found)
        raise UserError(f"--sweep {name}: not under {base}; found: {names}")
    return max(found, key=_last_launch_ns)


def _last_launch_ns(folder: Path) -> int:
    files = [folder / name for name in ("journal.jsonl", "manifest.jsonl")]
    return max(file.stat().st_mtime_ns for file in files if file.exists())


def collect(root: Path, sweep: str | None = None) -> Collected:
    """Read a sweep's manifest and all results that exist. Nothing is written or renamed.

    Raises:
        UserError: no such sweep, or its manifest names no cell.
    """
    folder = find_sweep(root, sweep)
    damaged: list[str] = []
    lines = {
        (line["cell"], line["profile"]): line
        for line in _manifest(folder / "manifest.jsonl", damaged)
    }
    if not lines:
        raise UserError(
            f"{folder / 'manifest.jsonl'}: names no cell; launch the sweep again to rewrite it"
        )
    reader = Results(root / "store", damaged)
    rows: list[dict[str, Any]] = []
    counts: dict[Key, Counts] = {}
    provenance: dict[Key, dict[str, dict[str, Any]]] = {}
    missing: list[tuple[str, str, str]] = []
    for key, line in lines.items():
        jobs = {kind: line["jobs"].get(kind) for kind in KINDS}
        results = {kind: reader.result(jobs[kind]) for kind in KINDS}
        row = {**line["axes"], "cell": key[0], "profile": key[1]}
        grade = results["grade"]
        if grade is None:
            reason = reader.reason(jobs)
            missing.append((*key, reason))
            rows.append({**row, "state": "damaged" if "damaged" in reason else "missing"})
            continue
        counts[key] = counts_of(grade["outcome"])
        provenance[key] = {kind: r["provenance"] for kind, r in results.items() if r is not None}
        rows.append({**row, "state": "done", "steps": line.get("steps"), **_measured(results)})
    axes = _axes(lines.values())
    table = pd.DataFrame(rows)
    first = [*axes, "cell", "profile", "state"]
    table = table[first + [column for column in table.columns if column not in first]]
    return Collected(folder.name, folder, axes, table, counts, provenance, missing, damaged)


def _axes(lines: Any) -> tuple[str, ...]:
    found = {axis for line in lines for axis in line["axes"]}
    return (*NAMED_AXES, *sorted(found - set(NAMED_AXES)))


def _manifest(path: Path, damaged: list[str]) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
            if line["schema"] != CELL_SCHEMA:
                raise ValueError(f"schema {line['schema']!r} found, {CELL_SCHEMA!r} expected")
            if lacking := [axis for axis in NAMED_AXES if axis not in line["axes"]]:
                raise ValueError(f"axis {lacking[0]!r} is missing")
            line["cell"], line["profile"], line["jobs"]["grade"]
        except (ValueError, KeyError, TypeError) as error:
            damaged.append(f"{path}, line {number}: {type(error).__name__}: {error}")
        else:
            yield line


def _measured(results: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    grade, train = results["grade"], results["train"]
    assert grade is not None
    values = dict(grade["outcome"]["metrics"])
    values["problem_set"] = grade["outcome"]["problem_set"]["digest"]
    values["snapshot"] = grade["provenance"].get("snapshot")
    if train is not None:
        values |= {f"train_{name}": train["outcome"].get(name) for name in TRAIN_COLUMNS}
    for kind, result in results.items():
        if result is not None:
            values[f"{kind}_wall_s"] = result["cost"].get("wall_s")
    return values


def sweep_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which every analysis script finds its sweep."""
    root = os.environ.get("VALLEY_ROOT", "runs")
    parser.add_argument("--sweep", metavar="NAME", help="default: the one launched last")
    parser.add_argument(
        "--root", type=Path, default=Path(root), help="default: VALLEY_ROOT or runs"
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="AXIS=VALUE",
        help="only cells with this value, for any axis; may be repeated",
    )


def collect_from(options: argparse.Namespace) -> Collected:
    """What `sweep_options` asked for.

    Raises:
        UserError: no such sweep, axis or value.
    """
    conditions = {}
    for text in options.where:
        axis, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--where {text}: expected AXIS=VALUE, such as --where size=1024")
        conditions[axis] = value
    collected = collect(options.root, options.sweep)
    return collected.where(conditions) if conditions else collected


def write_table(collected: Collected, path: Path) -> None:
    """Write the table as CSV, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, collected.table.to_csv(index=False))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def main() -> int:
    """Write `results.csv` and say what is in it."""
    parser = argparse.ArgumentParser(description="Gather a sweep's results into one table.")
    sweep_options(parser)
    parser.add_argument("--out", type=Path, help="default: results.csv in the sweep's folder")
    options = parser.parse_args()
    collected = collect_from(options)
    path = options.out or collected.folder / "results.csv"
    write_table(collected, path)
    for sentence in collected.damaged:
        print(f"left out: {sentence}")
    for reason, number in Counter(reason for _, _, reason in collected.missing).most_common():
        print(f"missing: {number} x {reason}")
    print(f"{path}: {len(collected.counts)} of {len(collected.table)} rows measured")
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
