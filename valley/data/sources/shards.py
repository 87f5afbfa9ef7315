"""The shards of a data set: the Parquet, Arrow or JSON-lines files that its rows stand in, one after another.

Rows are streamed; nothing holds more than one batch. Shards are known by `digest`: each one's name, size
and, since the real ones are dozens of gigabytes that every launch would have to read, not all of its
bytes: a Parquet file's footer (which holds each column's sizes and offsets) and eight blocks spread
evenly over the file; all bytes of a small file. A file that was cut, exchanged or written anew differs;
one in which somebody changed a few bytes in place may not.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from valley.data.sources.ahead import ahead
from valley.errors import UserError
from valley.records import digest as digest_of

BATCH_ROWS = 256
BATCHES_AHEAD = 4
"""As many as a row group of 1,000 rows makes: the next is decoded while this one is used."""
WHOLE_BYTES = 16 << 20
SAMPLED_BLOCKS, BLOCK_BYTES = 8, 1 << 16
NUMBERED = re.compile(r"(?P<head>.*)-(?P<number>\d{5})-of-(?P<total>\d{5})(?P<tail>\..*)")
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
LINES = (".jsonl", ".jsonl.gz")
SUFFIXES = (".parquet", ".arrow", *LINES)


@dataclass(frozen=True)
class Batch:
    """Some rows of a shard, by column."""

    path: Path
    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows one by one."""
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, values, strict=True))


def choose(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The names that the first pattern with any match fits, in order; a `*` stays within a folder.

    >>> choose(["README.md", "data/train-1.parquet", "old/train-1.parquet"], ["train/*", "data/train-*"])
    ['data/train-1.parquet']
    """
    names = sorted(names)
    for pattern in patterns:
        depth = len(PurePosixPath(pattern).parts)
        chosen = [
            name
            for name in names
            if len(PurePosixPath(name).parts) == depth and PurePosixPath(name).match(pattern)
        ]
        if chosen:
            return chosen
    return []


def find(where: str, root: Path, patterns: Sequence[str], needed: bool = True) -> list[Path]:
    """The shards below a folder, in the order of their names; or the one file that `root` is.

    Args:
        where: the setting that names the folder, for messages.
        needed: whether it is an error if the folder holds none.

    Raises:
        UserError: the folder or a shard is missing, or none is of a known format.
    """
    if root.is_file():
        paths = [root]
    elif root.is_dir():
        names = [
            path.relative_to(root).as_posix()
            for pattern in patterns
            for path in root.glob(pattern)
            if path.is_file()
        ]
        paths = [root / name for name in choose(set(names), patterns)]
    else:
        raise UserError(f"{where}: {root} is missing; expected a folder with {_listed(patterns)}")
    if not paths and needed:
        raise UserError(
            f"{where}: {root} holds none of the files expected: {_listed(patterns)}; give the path of "
            "the data set's own folder, or name its files by `files`"
        )
    for path in paths:
        if not path.name.endswith(SUFFIXES):
            raise UserError(f"{where}: {path}: expected a file of {', '.join(SUFFIXES)}")
    _check_numbers(where, paths)
    return paths


def _listed(patterns: Sequence[str]) -> str:
    return " or ".join(patterns)


def _check_numbers(where: str, paths: Sequence[Path]) -> None:
    """Refuse shards of which one is missing: their names say how many there are."""
    there = set(paths)
    for path in paths:
        if match := NUMBERED.fullmatch(path.name):
            head, total, tail = match["head"], match["total"], match["tail"]
            for number in range(int(total)):
                other = path.with_name(f"{head}-{number:05d}-of-{total}{tail}")
                if other not in there:
                    raise UserError(
                        f"{where}: {other} is missing; {path.name} says that there are {int(total)}"
                    )


def digest(root: Path, paths: Sequence[Path]) -> str:
    """What the shards hold, in 64 hexadecimal digits; see the head of this module.

    Raises:
        UserError: one cannot be read.
    """
    base = root if root.is_dir() else root.parent
    return digest_of([[path.relative_to(base).as_posix(), *_looked_at(path)] for path in paths])


def _looked_at(path: Path) -> list[Any]:
    with _readable(path):
        stat = path.stat()
        return [stat.st_size, _sampled(path, stat.st_size, stat.st_mtime_ns)]


@functools.lru_cache(maxsize=4096)
def _sampled(path: Path, size: int, mtime_ns: int) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        if size <= WHOLE_BYTES:
            return hashlib.file_digest(file, "sha256").hexdigest()
        step = (size - BLOCK_BYTES) // (SAMPLED_BLOCKS - 1)
        for block in range(SAMPLED_BLOCKS):
            hasher.update(os.pread(file.fileno(), BLOCK_BYTES, block * step))
        if path.name.endswith(".parquet"):
            tail = os.pread(file.fileno(), 8, size - 8)
            footer = int.from_bytes(tail[:4], "little")
            if tail[4:] == b"PAR1" and footer < size - 8:
                hasher.update(os.pread(file.fileno(), footer, size - 8 - footer))
    return hasher.hexdigest()


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
        with _readable(path):
            total += pq.read_metadata(path).num_rows
    return total


def columns_of(path: Path) -> list[str]:
    """The columns of a shard; of JSON lines, those of the first row.

    Raises:
        UserError: it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _readable(path):
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
) -> Iterator[Batch]:
    """Yield the rows of shards, in order.

    Args:
        columns: those that must be there.
        optional: those that may be missing, which are then None.

    Raises:
        UserError: a shard is damaged or lacks a column; names both.
    """
    batches = _read(paths, columns, optional, batch_rows)
    if batch_rows >= BATCH_ROWS:  # rows are small: decoding takes as long as much of what follows
        batches = ahead(batches, BATCHES_AHEAD)
    for path, values in batches:
        with _readable(path):
            batch = Batch(path, _lists(values, columns, optional))
        yield batch


def _read(
    paths: Sequence[Path], columns: Sequence[str], optional: Sequence[str], batch_rows: int
) -> Iterator[tuple[Path, Any]]:
    """The batches of shards, as their libraries hold them."""
    for path in paths:
        reader = _read_lines if path.name.endswith(LINES) else _read_arrow
        with _readable(path):
            for values in reader(path, columns, optional, batch_rows):
                yield path, values


def _read_arrow(
    path: Path, columns: Sequence[str], optional: Sequence[str], batch_rows: int
) -> Iterator[Any]:
    """The batches of a Parquet file, or of the Arrow stream that `datasets` writes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.name.endswith(".parquet"):
        with pq.ParquetFile(path) as parquet:
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


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Tell what cannot be read of a file in one sentence."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except (OSError, EOFError, ValueError) as error:  # pyarrow's own errors are of these too
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} is damaged, or not of the format that its name says ({first[:200]}); "
            "fetch it again"
        ) from error
