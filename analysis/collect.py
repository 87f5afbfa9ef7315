"""Gather the results of a sweep into one tidy table: `python analysis/collect.py`.

A sweep's manifest says which cells there are and which jobs they consist of; the store says what each
job found. What is not there yet is listed with the reason, a damaged result is listed by name, and
neither is fatal.
"""

from __future__ import annotations

import argparse
import gc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from cache import MARKS, NO_MARK, Cache, frame_of, marks_of, rows_of
from frame_files import write_frame
from manifest import LACKING, Manifest
from results import Counts, Key, Later, Lazily, Results

from valley.command_line import PLOT, STATUS, add_root, next_line
from valley.errors import UserError, exit_on_user_error
from valley.ledger import Ledger, find_sweep
from valley.store import Store
from valley.sweep import NAMED_AXES
from valley.where import Where, spelled

V = TypeVar("V")


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
    cells: Mapping[Key, dict[str, Any]]
    table: pd.DataFrame
    counts: Mapping[Key, Counts]
    provenance: Mapping[Key, dict[str, dict[str, Any]]]
    missing: list[tuple[str, str, str]]
    damaged: list[str]
    places: Mapping[Key, dict[str, str]] = field(default_factory=dict)
    """The folders of each row's jobs below the store, by kind."""
    note: str = ""
    """Why the cache could not be used or written; empty where it could."""

    def where(self, conditions: Where) -> Collected:
        """Keep the cells that meet all conditions, and the baselines that lack a condition's axis.

        Raises:
            UserError: the sweep has no such axis, or no cell meets them.
        """
        if not conditions.conditions:
            return self
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
                found = dict.fromkeys(spelled(c[axis]) for c in self._by_size() if axis in c)
                raise UserError(
                    f"--where {condition}: no such cell; values found: {', '.join(found)}"
                )
            keys &= met | {k for k, c in self.cells.items() if c["size"] == 0 and axis not in c}
        if not keys:
            raise UserError(f"--where {conditions}: no cell meets all of these")
        kept = [key in keys for key in zip(self.table["cell"], self.table["profile"], strict=True)]
        return replace(
            self,
            cells={key: axes for key, axes in self.cells.items() if key in keys},
            table=self.table[kept].reset_index(drop=True),
            counts=_only(self.counts, keys),
            provenance=_only(self.provenance, keys),
            missing=[row for row in self.missing if row[:2] in keys],
            places={key: places for key, places in self.places.items() if key in keys},
        )

    def _by_size(self) -> list[dict[str, Any]]:
        return sorted(self.cells.values(), key=lambda axes: axes["size"])


def _only(known: Mapping[Key, V], keys: set[Key]) -> Mapping[Key, V]:
    if isinstance(known, Lazily):
        return known.only(keys)
    return {key: value for key, value in known.items() if key in keys}


def collect(root: Path, sweep: str | None = None) -> Collected:
    """Read a sweep's manifest and all results that exist. Only the cache is written, nothing renamed.

    Args:
        root: The folder that holds `store` and `sweeps`.
        sweep: A sweep's name or grid file; the one launched last where it is None.

    Raises:
        UserError: no such sweep, or its manifest is damaged or empty.
    """
    ledger = find_sweep(root, sweep)
    with _without_garbage_collection():
        return _collect(ledger, Store(root, read_only=True))


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Of a million dicts that stay, the search for what may go takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _collect(ledger: Ledger, store: Store) -> Collected:
    reader = Results(store)
    manifest = Manifest.of(ledger, reader)
    places, own = manifest.all_folders()
    cache = Cache.of(ledger.folder)
    facts = _facts(cache, store, reader, places)
    rows = np.append(rows_of(facts, places), LACKING)  # of what lacks a folder, the last
    measured = rows[own["grade"]] >= 0
    missing = []
    states = ["done"] * len(manifest)
    for row in np.flatnonzero(~measured).tolist():
        before = manifest.before.values[manifest.before.codes[row]]
        states[row], reason = reader.why_none([*before, *manifest.folders_of(row).values()])
        missing.append((*manifest.keys[row], reason))
    axes = (*NAMED_AXES, *sorted(manifest.axes.keys() - set(NAMED_AXES)))
    steps = manifest.steps.series()
    known = {
        **{axis: manifest.axes[axis].series() for axis in axes},
        "cell": manifest.cells,
        "profile": manifest.profiles.series(),
        "state": states,
        "steps": steps if measured.all() else steps.where(measured),
    }
    columns = [pd.DataFrame(known)]
    for kind, names in _names_by_kind(facts).items():
        found = facts[names].reset_index(drop=True)
        columns.append(_taken(found, np.where(measured, rows[own[kind]], LACKING)))
    folders = Later(manifest.folders)
    told = Later(lambda: {key: folders[key] for key in compress(manifest.keys, measured)})
    return Collected(
        sweep=ledger.folder.name,
        folder=ledger.folder,
        axes=axes,
        cells=Later(manifest.axes_of_cells),
        table=pd.concat(columns, axis=1),
        counts=Lazily(told, reader.counts),
        provenance=Lazily(told, reader.provenance),
        missing=missing,
        damaged=store.damaged,
        places=folders,
        note="; ".join(filter(None, (manifest.note, cache.note))),
    )


def _facts(cache: Cache, store: Store, reader: Results, places: list[str]) -> pd.DataFrame:
    """What each valid result says, by its folder: remembered, or read and then remembered."""
    marks = marks_of(store, places)
    valid = cache.valid(places, marks)
    unknown = rows_of(valid, places) < 0
    rows = {}
    for at in np.flatnonzero(unknown & (marks != NO_MARK).all(axis=1)).tolist():
        if (found := reader.facts(places[at])) is not None:
            rows[at] = found
    if not rows:
        return valid
    new = frame_of({places[at]: found for at, found in rows.items()}, marks[list(rows)])
    facts = new if valid.empty else pd.concat([valid, new])
    if not valid.empty:
        in_order = rows_of(facts, places)
        facts = facts.take(in_order[in_order >= 0])
    cache.write(facts)
    return facts


def _taken(facts: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Those rows of facts, empty ones for `LACKING`."""
    if len(rows) == len(facts) and (rows == np.arange(len(rows))).all():
        return facts
    return facts.reindex(rows).reset_index(drop=True)


def _names_by_kind(facts: pd.DataFrame) -> dict[str, list[str]]:
    """Whose columns are whose: a grade's metrics go by their own names."""
    found: dict[str, list[str]] = {"grade": [], "train": [], "generate": []}
    for name in facts.columns:
        kind = name.partition("_")[0]
        if name not in MARKS:
            found[kind if kind in found else "grade"].append(name)
    return {kind: names for kind, names in found.items() if names}


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

    Returns:
        Its path; `results.parquet` stands beside it.

    Raises:
        UserError: a file cannot be written.
    """
    path = collected.folder / "results.csv"
    with writable(path.parent):
        write_frame(collected.table, path)
    return path


def _several(root: Path, names: list[str], out: Path | None) -> int:
    """Write one table of several sweeps and say what is in it."""
    from several_sweeps import together

    sweeps = [collect(root, name) for name in names]
    table = together(sweeps)
    path = out or root / "results.csv"
    with writable(path.parent):
        write_frame(table, path)
    _say_left_out(sweeps)
    print(f"{path}: {(table['state'] == 'done').sum()} of {len(table)} rows measured")
    return 0


def _say_left_out(sweeps: list[Collected]) -> None:
    for sentence in dict.fromkeys(sentence for one in sweeps for sentence in one.damaged):
        print(f"left out: {sentence}")
    for one in sweeps:
        if one.note:
            print(f"note: {one.note}")


def main() -> int:
    """Write `results.csv` and say what is in it."""
    parser = argparse.ArgumentParser(
        prog="python analysis/collect.py", description="Gather a sweep's results into one table."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="sweep",
        help="sweeps by name or grid file, several for one table of all; default: the one launched last",
    )
    parser.add_argument("--sweep", action="append", default=[], metavar="NAME", help="the same")
    add_root(parser)
    parser.add_argument(
        "--out",
        type=Path,
        help="of several sweeps: the table's file; default: results.csv in --root",
    )
    options = parser.parse_args()
    names = [*options.names, *options.sweep]
    options.sweep = names[0] if names else None
    if len(names) > 1:
        return _several(options.root, names, options.out)
    if options.out is not None:
        parser.error("--out is for the table of several sweeps")
    collected = collect(options.root, options.sweep)
    path = write_table(collected)
    _say_left_out([collected])
    for reason, number in Counter(reason for _, _, reason in collected.missing).most_common():
        print(f"missing: {number} x {reason}")
    measured = (collected.table["state"] == "done").sum()
    print(f"{path}: {measured} of {len(collected.table)} rows measured")
    script = STATUS if collected.missing else PLOT
    print(next_line(script, options.sweep, options.root))
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
