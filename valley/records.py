"""JSON and JSON-lines files: written whole or not at all, read with the line of the first fault.

Every record carries `schema`, such as `valley.problem/1`, so that a file says what it holds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from valley.errors import UserError


class Record(Protocol):
    """A dataclass with a `SCHEMA` such as `valley.problem/1`."""

    SCHEMA: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


R = TypeVar("R", bound=Record)


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value that hashes are taken of. NaN and non-JSON types raise."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of `canonical_json(value)`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Args:
        sync: return only when the content is on the disk. Without it a power cut may leave an empty
            file, and nothing else may.

    The temporary name stands in the same folder (a rename must not cross file systems) and carries
    the process id, since two hosts may write into one folder of a network file system.
    """
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    lines = (json.dumps({"schema": r.SCHEMA, **asdict(r)}, allow_nan=False) for r in records)
    write_text(path, "".join(line + "\n" for line in lines))


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, JSON object) of a JSON-lines file.

    Raises:
        UserError: the file is missing, or a line is not a JSON object.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                value = json.loads(line)
            except UnicodeDecodeError as error:
                raise UserError(f"{path}, line {number}: not UTF-8 ({error.reason})") from error
            except json.JSONDecodeError as error:
                raise UserError(f"{path}, line {number}: not JSON ({error.msg})") from error
            if not isinstance(value, dict):
                raise UserError(
                    f"{path}, line {number}: found {line[:40].decode()!r}, expected an object"
                )
            yield number, value


def read_records(path: Path, record_type: type[R]) -> list[R]:
    """Read a JSON-lines file of one record type.

    Raises:
        UserError: a line has another schema, lacks a field or has an unknown one.
    """
    return list(stream_records(path, record_type))


def stream_records(path: Path, record_type: type[R]) -> Iterator[R]:
    """Yield the records that `read_records` lists, one by one.

    Raises:
        UserError: as for `read_records`, at the line that is at fault.
    """
    known = {f.name for f in fields(record_type)}
    for number, value in read_lines(path):
        schema = value.pop("schema", None)
        if schema != record_type.SCHEMA:
            raise UserError(
                f"{path}, line {number}: schema {schema!r} found, {record_type.SCHEMA!r} expected"
            )
        if unknown := sorted(value.keys() - known):
            raise UserError(
                f"{path}, line {number}: unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}"
            )
        try:
            yield record_type(**value)
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}, line {number}: {error}") from error
