"""Caches beside a sweep's table, and the one of what was read of each result file and what told that file then.

A result file is told by its size, its time of modification and its inode: a job writes it under another
name and renames it, so a file that was computed again, set aside or changed by hand is another one, and is
read again. A cache is one parquet file, replaced as a whole, so collectors that run at once do not disturb
each other: the last one's is kept. It only saves time: one that cannot be read is thrown away with a note.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from valley.records import whole
from valley.state import Ticket
from valley.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "results.cache"
VERSION = "valley.results_cache/2"
MARKS = ["mtime_ns", "size_bytes", "inode"]
"""What tells a file."""
LARGEST = 2**63 - 1
"""What a column holds; an inode has 64 bits."""
Mark = tuple[int, int, int]
NO_MARK: Mark = (-1, -1, -1)
"""Of no file."""


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
            return cls(path, _facts(kept_table(path, VERSION)[0]))
        except FileNotFoundError:
            return cls(path, empty)
        except Exception as error:  # whatever a damaged file makes a parquet reader raise
            return cls(path, empty, not_used(path, error))

    def valid(self, places: list[str], marks: np.ndarray) -> pd.DataFrame:
        """The facts of those files that are what they were, in the order of their places."""
        if self.facts.empty:
            return self.facts
        at = rows_of(self.facts, places)
        then = self.facts[MARKS].to_numpy(dtype=np.int64)[at]
        kept = at[(at >= 0) & (marks == then).all(axis=1)]
        every = len(kept) == len(self.facts) and (kept == np.arange(len(kept))).all()
        return self.facts if every else self.facts.take(kept)

    def write(self, facts: pd.DataFrame) -> None:
        """Keep facts for the next time, where the folder can be written to."""
        self.note = keep_table(self.path, VERSION, facts.reset_index(names="place")) or self.note


def _facts(table: pa.Table) -> pd.DataFrame:
    places = table["place"].to_pylist()
    frame: pd.DataFrame = table.drop_columns("place").to_pandas()
    frame.index = pd.Index(places, dtype=object)
    if len(set(places)) < len(places) or frame[MARKS].isna().any(axis=None):
        raise ValueError("a folder is there twice, or a mark is missing")
    return frame


def kept_table(path: Path, version: str) -> tuple[pa.Table, dict[str, Any]]:
    """What `keep_table` left: the table and the notes.

    Raises:
        FileNotFoundError: nothing.
        Exception: it is damaged, or of another version; whatever a parquet reader raises.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        table = pq.read_table(
            pa.PythonFile(file, mode="r"), page_checksum_verification=True, memory_map=False
        )
    metadata = table.schema.metadata or {}
    found = metadata.get(b"valley", b"another file").decode()
    if found != version:
        raise ValueError(f"{found} found, {version} expected")
    return table, json.loads(metadata[b"notes"])


def keep_table(
    path: Path, version: str, columns: pd.DataFrame | dict[str, Any], notes: Any = None
) -> str:
    """Keep columns and notes (JSON) for the next time.

    Returns:
        Why they could not be, where the folder cannot be written to; else nothing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pa.table(columns)
        kept = {b"valley": version.encode(), b"notes": json.dumps(notes).encode()}
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **kept})
        with whole(path) as temporary:
            pq.write_table(table, temporary, write_page_checksum=True)
    except (OSError, ValueError, TypeError) as error:  # Arrow's errors are of these
        return f"{path}: not written ({error}); the next time takes longer"
    return ""


def not_used(path: Path, error: Exception) -> str:
    """The note on a cache that is damaged."""
    fault = str(error).partition("\n")[0][:200]
    return f"{path}: not used, and written anew ({fault})"


def rows_of(facts: pd.DataFrame, places: Collection[str]) -> np.ndarray:
    """The row of each place, -1 where there is none: `Index.get_indexer` takes ten times as long."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.large_string()
    found = pc.index_in(pa.array(places, texts), pa.array(facts.index.tolist(), texts))
    return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def mark_of(path: str | Path) -> Mark | None:
    """What tells a file now; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino & LARGEST


def marks_of(store: Store, places: list[str]) -> np.ndarray:
    """What tells the result file of each folder now, [places, 3]; `NO_MARK` where there is none."""
    base = f"{store.path}/"
    found = []
    lacking: dict[str, Container[str]] = {}
    for place in places:
        # Once a folder of a kind is not where the manifest says, its folders are listed.
        kind = place.partition("/")[0]
        if kind in lacking and place[-16:] not in lacking[kind]:
            found.append(NO_MARK)
            continue
        mark = mark_of(f"{base}{place}/result.json")
        if mark is None:
            lacking[kind] = store.laid(kind)
            # Another sweep may have made the folder at the same time, under its own label.
            job = Ticket.of(place)
            if (other := store.place(job.kind, job.label, job.identity)) != place:
                mark = mark_of(f"{base}{other}/result.json")
        found.append(mark or NO_MARK)
    return np.fromiter(chain.from_iterable(found), np.int64).reshape(-1, len(MARKS))


def frame_of(rows: Mapping[str, Mapping[str, Any]], marks: np.ndarray) -> pd.DataFrame:
    """Rows by name, and what tells each one's file, as a table: by columns, which is faster than by rows."""
    columns: dict[str, Any] = dict(zip(MARKS, marks.T, strict=True))
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
