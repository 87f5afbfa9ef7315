"""The cache of a sweep's table: what was read of each result file, beside what told that file then.

A result file is told by its size, its time of modification and its inode: a job writes it under another
name and renames it, so a file that was computed again, set aside or changed by hand is another one, and is
read again. The cache is one parquet file, replaced as a whole, so collectors that run at once do not disturb
each other: the last one's is kept. It only saves time: one that cannot be read is thrown away with a note.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from valley.records import whole
from valley.state import Ticket
from valley.store import Store

NAME = "results.cache"
VERSION = "valley.results_cache/1"
MARKS = ["mtime_ns", "size_bytes", "inode"]
"""What tells a file."""
LARGEST = 2**63 - 1
"""What a column holds; an inode has 64 bits."""
Mark = tuple[int, int, int]


@dataclass
class Cache:
    """Facts of result files: a row per file, by the folder that the manifest names."""

    path: Path
    facts: pd.DataFrame
    """Columns: `MARKS`, then facts. Index: folders."""
    note: str = ""
    """Why an earlier cache was thrown away; empty where it was not."""

    @classmethod
    def of(cls, sweep_folder: Path) -> Cache:
        """What an earlier collector left; empty where it left nothing that is valid."""
        path = sweep_folder / NAME
        empty = pd.DataFrame(columns=MARKS)
        try:
            return cls(path, _read(path))
        except FileNotFoundError:
            return cls(path, empty)
        except Exception as error:  # whatever a damaged file makes a parquet reader raise
            fault = str(error).partition("\n")[0][:200]
            return cls(path, empty, f"{path}: not used, and written anew ({fault})")

    def valid(self, marks: dict[str, Mark]) -> pd.DataFrame:
        """The facts of those files that are what they were."""
        if self.facts.empty:
            return self.facts
        at = rows_of(self.facts, marks)
        now = np.fromiter(chain.from_iterable(marks.values()), np.int64).reshape(-1, len(MARKS))
        then = self.facts[MARKS].to_numpy(dtype=np.int64)[at]
        same = (at >= 0) & (now == then).all(axis=1)
        kept = at[same]
        every = len(kept) == len(self.facts) and (kept == np.arange(len(kept))).all()
        return self.facts if every else self.facts.take(kept)

    def write(self, facts: pd.DataFrame) -> None:
        """Keep facts for the next time, where the folder can be written to."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pa.Table.from_pandas(facts.reset_index(names="place"), preserve_index=False)
            kept = {**(table.schema.metadata or {}), b"valley": VERSION.encode()}
            table = table.replace_schema_metadata(kept)
            with whole(self.path) as temporary:
                pq.write_table(table, temporary, write_page_checksum=True)
        except (OSError, ValueError, TypeError) as error:  # Arrow's errors are of these
            self.note = f"{self.path}: not written ({error}); the next time takes longer"


def _read(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        table = pq.read_table(
            pa.PythonFile(file, mode="r"), page_checksum_verification=True, memory_map=False
        )
    found = (table.schema.metadata or {}).get(b"valley", b"another file").decode()
    if found != VERSION:
        raise ValueError(f"{found} found, {VERSION} expected")
    places = table["place"].to_pylist()
    frame: pd.DataFrame = table.drop_columns("place").to_pandas()
    frame.index = pd.Index(places, dtype=object)
    if len(set(places)) < len(places) or frame[MARKS].isna().any(axis=None):
        raise ValueError("a folder is there twice, or a mark is missing")
    return frame


def rows_of(facts: pd.DataFrame, places: Iterable[str | None]) -> np.ndarray:
    """The row of each place, -1 where there is none: `Index.get_indexer` takes ten times as long."""
    rows = dict(zip(facts.index.tolist(), range(len(facts)), strict=True))
    return np.fromiter((rows.get(place, -1) for place in places), np.int64)


def marks_of(store: Store, places: Iterable[str]) -> dict[str, Mark]:
    """What tells the result file of each folder now; a folder without one is left out."""
    found = {}
    base = f"{store.path}/"
    lacking: dict[str, Container[str]] = {}
    for place in places:
        # Once a folder of a kind is not where the manifest says, its folders are listed.
        kind = place.partition("/")[0]
        if kind in lacking and place[-16:] not in lacking[kind]:
            continue
        try:
            status = os.stat(f"{base}{place}/result.json")
        except OSError:
            lacking[kind] = store.laid(kind)
            # Another sweep may have made the folder at the same time, under its own label.
            job = Ticket.of(place)
            if (other := store.place(job.kind, job.label, job.identity)) == place:
                continue
            try:
                status = os.stat(f"{base}{other}/result.json")
            except OSError:
                continue
        found[place] = (status.st_mtime_ns, status.st_size, status.st_ino & LARGEST)
    return found


def frame_of(rows: Mapping[str, Mapping[str, Any]], marks: Mapping[str, Mark]) -> pd.DataFrame:
    """Rows by name, and what tells each one's file, as a table: by columns, which is faster than by rows."""
    told = zip(*(marks[place] for place in rows), strict=True)
    columns: dict[str, Any] = dict(zip(MARKS, told, strict=True))
    names = {name: None for row in rows.values() for name in row}
    return pd.DataFrame(
        columns | {name: column(rows.values(), name) for name in names}, index=list(rows)
    )


def column(rows: Collection[Mapping[str, Any]], name: str) -> list[Any]:
    """One value of each row, None where a row has none."""
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name) for row in rows]
