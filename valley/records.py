"""JSON and JSON-lines files: written whole or not at all, read with the line of the first fault.

Every record carries `schema`, such as `valley.problem/1`, so that a file says what it holds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from valley.errors import UserError


class Record(Protocol):
    """A dataclass with a `SCHEMA` such as `valley.problem/1`."""

    SCHEMA: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


R = TypeVar("R", bound=Record)
GZIP = b"\x1f\x8b"
"""How a compressed file begins."""


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value that hashes are taken of. NaN and non-JSON types raise."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of `canonical_json(value)`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def parse_json(content: bytes) -> Any:
    """What `json.loads` gives, in half the time: results and lines are read by the hundred thousand.

    Raises:
        ValueError: as `json.loads`, in its words.
    """
    from pydantic_core import from_json

    try:
        return from_json(content)
    except ValueError:  # of half a surrogate pair too, which JSON and Python's texts may hold
        return json.loads(content)


def read_bytes(path: str) -> bytes:
    """What a file holds, with half the system calls of `open`: results are read by the hundred thousand.

    Raises:
        OSError: it cannot be read.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        parts = [os.read(file, 1 << 16)]
        while parts[-1]:
            parts.append(os.read(file, 1 << 20))
        return b"".join(parts)
    finally:
        os.close(file)


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Args:
        sync: return only when the content is on the disk. Without it a power cut may leave an empty
            file, and nothing else may.

    The temporary name stands in the same folder (a rename must not cross file systems) and carries
    the process id, since two hosts may write into one folder of a network file system.
    """
    _write(path, (text,), sync)


def _write(path: Path, parts: Iterable[str], sync: bool = True) -> None:
    with whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(parts)
        if sync:
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write a file under, which becomes `path` at the end, and is removed where that fails."""
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any, notes: Mapping[str, Any] | None = None) -> None:
    """Write one JSON value, indented, whole or not at all.

    Args:
        notes: further keys of an object, each on a line of its own below the others, and not
            indented: for what is large, and rarely read by a person.
    """
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    if notes:
        lines = (f"{json.dumps(name)}: {canonical_json(notes[name])}" for name in sorted(notes))
        text = ",\n ".join([text[:-2], *lines]) + "\n}"
    write_text(path, text + "\n")


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write dataclass records as JSON lines, each with its `schema`, whole or not at all."""
    _write(path, map(record_line, records))


def record_line(record: Record) -> str:
    """One record as a line of a JSON-lines file, with its end."""
    # `asdict` would copy a problem's tests, and take longer than all the rest.
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return json.dumps({"schema": record.SCHEMA, **values}, allow_nan=False, default=asdict) + "\n"


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, JSON object) of a JSON-lines file.

    Raises:
        UserError: the file is missing, or a line is not a JSON object.
    """
    for number, line in _byte_lines(path):
        yield number, _object(f"{path}, line {number}", line)


def read_objects(path: Path) -> list[dict[str, Any]]:
    """All lines of `read_lines` without their numbers, at two thirds of its time.

    Raises:
        UserError: as `read_lines`.
    """
    from pydantic_core import from_json

    try:
        with path.open("rb") as file:
            values = [from_json(line) for line in file]
    except (OSError, ValueError):
        values = [None]
    if all(type(value) is dict for value in values):
        return values
    return [value for _, value in read_lines(path)]


def read_records(path: Path, record_type: type[R]) -> list[R]:
    """Read a JSON-lines file of one record type.

    Raises:
        UserError: a line has another schema, lacks a field, has an unknown one, or one of another type.
    """
    return list(iterate_records(path, record_type))


def iterate_records(path: Path, record_type: type[R]) -> Iterator[R]:
    """As `read_records`, one record after another, for files that need not fit into memory."""
    for number, line in _byte_lines(path):
        yield parse_record(f"{path}, line {number}", line, record_type)


def iterate_places(path: Path, record_type: type[R]) -> Iterator[tuple[int, int, R]]:
    """As `iterate_records`, each with the byte that its line begins at, and the line's bytes."""
    offset = 0
    for number, line in _byte_lines(path):
        yield offset, len(line), parse_record(f"{path}, line {number}", line, record_type)
        offset += len(line)


def parse_record(where: str, line: bytes, record_type: type[R]) -> R:
    """One line of a JSON-lines file as a record.

    Raises:
        UserError: as for `read_records`; the message begins with `where`.
    """
    from valley.fields import check_fields  # pydantic is not for those who read other files

    value = _object(where, line)
    known = {f.name for f in fields(record_type)}
    schema = value.pop("schema", None)
    if schema != record_type.SCHEMA:
        raise UserError(f"{where}: {other_schema(schema, record_type.SCHEMA)}")
    if unknown := sorted(value.keys() - known):
        raise UserError(f"{where}: unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")
    check_fields(where, record_type, value)
    try:
        return record_type(**value)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def other_schema(found: Any, expected: str) -> str:
    """What is wrong with a record of another schema, or of none."""
    said = f"schema {found!r} found, {expected!r} expected"
    return f'{said}; each line needs "schema": "{expected}"' if found is None else said


def not_utf8(line: bytes, error: UnicodeDecodeError) -> str:
    """What is wrong with a file that has such a line, and what to do."""
    if line.startswith(GZIP):
        return "compressed by gzip; unpack it first, with gunzip"
    return f"not UTF-8 (byte {line[error.start]:#04x} at {error.start}); save the file as UTF-8"


def refuse_half_characters(where: str, text: str) -> None:
    """Refuse a text that has half a character (a lone surrogate), as JSON can spell it and UTF-8 cannot.

    Raises:
        UserError: it has one; names the place.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 20) : error.start + 20]
        raise UserError(
            f"{where}: half of a character (a lone surrogate) stands in {around!r}; leave the record out "
            "or repair its text"
        ) from error


def _byte_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        yield from enumerate(file, start=1)


def _object(where: str, line: bytes) -> dict[str, Any]:
    try:
        value = parse_json(line)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: {not_utf8(line, error)}") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg})") from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: found {line[:40].decode()!r}, expected an object")
    return value
