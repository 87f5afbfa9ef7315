"""The rows of a data set, out of its shards: Parquet, Arrow or JSON-lines files, one after another.

Rows are streamed; nothing holds more than a few batches.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import reprlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.data.sources.ahead import ahead
from valley.data.sources.shard_files import LINES, readable
from valley.errors import UserError

BATCH_ROWS = 256
BATCHES_AHEAD = 4
"""As many as a row group of 1,000 rows makes: the next is decoded while this one is used."""
READ_BYTES = 1 << 20
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


@dataclass(frozen=True)
class Batch:
    """Some rows of a shard, by column."""

    path: Path
    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def utf8(self) -> bool:
        """Whether texts came as UTF-8: of JSON, which may spell half characters, they did not."""
        return not self.path.name.endswith(LINES)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows one by one."""
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, values, strict=True))


def count(paths: Sequence[Path]) -> int | None:
    """How many rows the shards hold by their footers; None where only reading them would tell.

    Raises:
        UserError: a Parquet file is damaged.
    """
    if not all(path.name.endswith(".parquet") for path in paths):
        return None
    import pyarrow.parquet as pq

    total = 0
    for path in paths:
        with readable(path):
            total += pq.read_metadata(path).num_rows
    return total


def columns_of(path: Path) -> list[str]:
    """The columns of a shard; of JSON lines, those of the first row.

    Raises:
        UserError: it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with readable(path):
        if path.name.endswith(LINES):
            with _opened(path) as lines:
                return list(_row(path, 1, next(lines, b"{}"), ()))
        if path.name.endswith(".parquet"):
            return list(pq.read_schema(path).names)
        with pa.OSFile(str(path)) as file:
            return list(pa.ipc.open_stream(file).schema.names)


def read(
    paths: Sequence[Path],
    columns: Sequence[str],
    optional: Sequence[str] = (),
    batch_rows: int = BATCH_ROWS,
    texts: Collection[str] = (),
) -> Iterator[Batch]:
    """Yield the rows of shards, in order.

    Args:
        columns: those that must be there.
        optional: those that may be missing, which are then None.
        texts: those that hold text where they hold anything.

    Raises:
        UserError: a shard is damaged, lacks a column, or holds something else than text in one of
            `texts`; names both.
    """
    batches = _read(paths, columns, optional, batch_rows)
    if batch_rows >= BATCH_ROWS:  # rows are small: decoding takes as long as much of what follows
        batches = ahead(batches, BATCHES_AHEAD)
    for path, values in batches:
        with readable(path):
            batch = Batch(path, _lists(values, columns, optional))
        _check_texts(batch, texts)
        yield batch


def _read(
    paths: Sequence[Path], columns: Sequence[str], optional: Sequence[str], batch_rows: int
) -> Iterator[tuple[Path, Any]]:
    """The batches of shards, as their libraries hold them."""
    for path in paths:
        reader = _read_lines if path.name.endswith(LINES) else _read_arrow
        with readable(path):
            for values in reader(path, columns, optional, batch_rows):
                yield path, values


def _read_arrow(
    path: Path, columns: Sequence[str], optional: Sequence[str], batch_rows: int
) -> Iterator[Any]:
    """The batches of a Parquet file, or of the Arrow stream that `datasets` writes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.name.endswith(".parquet"):
        # Else the file's wanted columns are fetched ahead as a whole: hundreds of MiB of long texts.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES) as parquet:
            wanted = _present(path, parquet.schema_arrow.names, columns, optional)
            yield from parquet.iter_batches(batch_rows, columns=wanted)
        return
    _check_end(path)
    # Mapped: of columns that are not wanted, a problem's tests say, not a byte is read.
    with pa.memory_map(str(path)) as file:
        stream = pa.ipc.open_stream(file)
        wanted = _present(path, stream.schema.names, columns, optional)
        for whole in stream:
            for start in range(0, whole.num_rows, batch_rows):
                yield whole.select(wanted).slice(start, batch_rows)


def _lists(batch: Any, columns: Sequence[str], optional: Sequence[str]) -> dict[str, list[Any]]:
    """The columns of a batch as lists; one that is missing holds None."""
    if isinstance(batch, dict):
        return batch
    there = batch.schema.names
    return {
        name: batch.column(name).to_pylist() if name in there else [None] * batch.num_rows
        for name in (*columns, *optional)
    }


def _check_texts(batch: Batch, texts: Collection[str]) -> None:
    for name in texts:
        values = batch.columns.get(name, ())
        wrong = next((value for value in values if not isinstance(value, str | None)), None)
        if wrong is not None:
            raise UserError(
                f"{batch.path}: column {name!r} holds {reprlib.repr(wrong)}, and should hold text; "
                "are they the file and the column that were meant?"
            )


def _check_end(path: Path) -> None:
    """Refuse a stream without its end: cut between two batches it could be read as a whole one."""
    with path.open("rb") as file:
        file.seek(-len(END_OF_STREAM), os.SEEK_END)
        if file.read() != END_OF_STREAM:
            raise EOFError("the stream has no end; it was cut")


def _present(
    path: Path, names: Sequence[str], columns: Sequence[str], optional: Sequence[str]
) -> list[str]:
    for column in columns:
        if column not in names:
            raise _missing(f"{path}", column, names)
    return [*columns, *(name for name in optional if name in names)]


def _missing(where: str, column: str, names: Iterable[str]) -> UserError:
    return UserError(f"{where}: column {column!r} is missing; there are: {', '.join(names)}")


def _read_lines(
    path: Path, columns: Sequence[str], optional: Sequence[str], batch_rows: int
) -> Iterator[dict[str, list[Any]]]:
    """The batches of a JSON-lines file; a line is read only so far as its columns are wanted."""
    with _opened(path) as file:
        lines = enumerate(file, start=1)
        if path.stat().st_size == 0:
            raise EOFError("it is empty")
        while batch := list(itertools.islice(lines, batch_rows)):
            rows = [_row(path, number, line, columns) for number, line in batch if line.strip()]
            if rows:
                yield {name: [row.get(name) for row in rows] for name in (*columns, *optional)}


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")


def _row(path: Path, number: int, line: bytes, columns: Sequence[str]) -> dict[str, Any]:
    where = f"{path}, line {number}"
    try:
        row = json.loads(line)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 ({error.reason}); the file is damaged") from error
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); the file is damaged or cut") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: found {str(row)[:40]!r}, expected an object")
    for column in columns:
        if column not in row:
            raise _missing(where, column, row)
    return row
