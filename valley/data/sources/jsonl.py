"""Problems and traces out of files of this project's own formats.

A file is known by its content. Planning reads it once, as bytes, to hash it and to see that it can be
what it is said to be; the prepare job reads every record, and that the content is still the same.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valley.data.problem_file import ProblemFile
from valley.data.problems import Problem
from valley.data.traces import Trace
from valley.errors import UserError
from valley.records import iterate_records, not_utf8, other_schema

BACKSLASH = ord("\\")
WORD = re.compile(rb'\s*:\s*("\w*"|\w+)')
TRACES = ("traces", "pool.traces")
SCHEMAS = {"evaluation": Problem.SCHEMA, "problems": Problem.SCHEMA} | dict.fromkeys(
    TRACES, Trace.SCHEMA
)


@dataclass(frozen=True)
class Content:
    """What planning knows of a file."""

    sha256: str
    records: int
    """Number of lines."""
    labels: Mapping[tuple[str | None, str | None], int] = field(default_factory=dict)
    """Of traces, how many have which difficulty and `correct`, each None where it is null."""

    def at_most(self, difficulty: str, correctness: str, settled: bool = True) -> int:
        """The most traces that an arm can hold once the unknown ones are graded.

        Args:
            settled: whether a trace without a difficulty is in no arm but `all`.
        """
        levels = {difficulty} if settled else {difficulty, None}
        verdicts = {"correct": ("true", None), "incorrect": ("false", None), "unknown": (None,)}
        return sum(
            count
            for (level, correct), count in self.labels.items()
            if (difficulty == "all" or level in levels)
            and (correctness == "all" or correct in verdicts[correctness])
        )


def look(role: str, path: Path) -> Content:
    """Hash a file and look at its first record. A file that did not change is read once a process.

    Args:
        role: `evaluation`, `problems`, `traces` or `pool.traces`: the setting that names the file.

    Raises:
        UserError: it is missing, empty, not UTF-8, has an empty line, or starts with another record.
    """
    try:
        stat = path.stat()
        return _look(role, path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise UserError(f"data.{role}: {path} cannot be read ({error.strerror})") from error


@functools.lru_cache(maxsize=64)
def _look(role: str, path: Path, size_bytes: int, mtime_ns: int) -> Content:
    where = f"data.{role}: {path}"
    hasher = hashlib.sha256()
    records = 0
    labels: Counter[tuple[str | None, str | None]] = Counter()
    with path.open("rb") as file:
        for line in file:
            records += 1
            hasher.update(line)
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                said = not_utf8(line, error)
                raise UserError(f"{where}, line {records}: {said}") from error
            if not text.strip():
                raise UserError(f"{where}, line {records}: empty; expected one record a line")
            if records == 1:
                _check_first(where, text, SCHEMAS[role])
            if role in TRACES:
                labels[_word(line, b'"difficulty"'), _word(line, b'"correct"')] += 1
    if not records:
        raise UserError(f"{where} is empty; expected {SCHEMAS[role]} records, one a line")
    return Content(hasher.hexdigest(), records, labels)


def _word(line: bytes, key: bytes) -> str | None:
    """A word that a line's object holds under a key, without reading its texts; None for null or none.

    Inside of a text each quotation mark has a backslash before it, and a key has none.
    """
    start = line.find(key)
    while start > 0 and line[start - 1] == BACKSLASH:
        start = line.find(key, start + 1)
    if start < 0 or (found := WORD.match(line, start + len(key))) is None:
        return None
    word = found[1].decode().strip('"')
    return None if word == "null" else word


def _check_first(where: str, line: str, schema: str) -> None:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}, line 1: not JSON ({error})") from error
    found = record.get("schema") if isinstance(record, dict) else None
    if found != schema:
        raise UserError(f"{where}, line 1: {other_schema(found, schema)}")


def read_evaluation(config: dict[str, Any], paths: dict[str, str]) -> Collection[Problem]:
    """The evaluation problems, each of which can be graded; see `sources.read_evaluation`."""
    from valley.evaluate.judge import Judge  # planning looks at the files too, and grades nothing

    return ProblemFile(_unchanged("evaluation", config, paths), Judge.of).values()


def read_pool(
    config: dict[str, Any], paths: dict[str, str]
) -> tuple[Collection[Problem], list[Trace], list[tuple[str, str]]]:
    """The pool's problems and traces, and no lessons; see `sources.read_pool`."""
    problems = ProblemFile(_unchanged("problems", config, paths))
    return problems.values(), _traces(_unchanged("traces", config, paths), problems), []


def _traces(path: Path, problems: ProblemFile) -> list[Trace]:
    """The traces of a file, each of one of the problems.

    Raises:
        UserError: one is of another problem, or has the id of one before; names the line.
    """
    traces = []
    lines: dict[str, int] = {}
    for number, trace in enumerate(iterate_records(path, Trace), start=1):
        where = f"{path}, line {number}: trace {trace.id}"
        if trace.problem_id not in problems:
            raise UserError(
                f"{where}: its problem {trace.problem_id!r} is not in the pool: no line of "
                f"{problems.path} has this id; add the problem, or leave the trace out"
            )
        if (first := lines.setdefault(trace.id, number)) != number:
            raise UserError(
                f"{where}: line {first} has a trace of this id too; give it another, or leave one out"
            )
        traces.append(trace)
    return traces


def _unchanged(role: str, config: dict[str, Any], paths: dict[str, str]) -> Path:
    path = Path(paths[role])
    if look(role, path).sha256 != config[role]:
        raise UserError(
            f"data.{role}: {path} has changed since the job was planned; launch the sweep again"
        )
    return path
