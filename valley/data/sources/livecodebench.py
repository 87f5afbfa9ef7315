"""LiveCodeBench's code_generation_lite, out of its JSON-lines files.

A release is the union of the files up to its own: `test.jsonl` is release v1, and each of `test2.jsonl` …
`test6.jsonl` adds what a later release added. Private tests are JSON, or a pickle of it, packed; such a
pickle is read as plain data or refused (see `plain_pickle`). The published loading script is not used: it
is not run by `datasets` any more, and would be someone else's program.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from valley.data.candidates import Wanted, everything
from valley.data.problems import Problem
from valley.data.sources import plain_pickle, shards
from valley.errors import UserError

RELEASES = {"v1": 400, "v2": 511, "v3": 612, "v4": 713, "v5": 880, "v6": 1055}
"""The number of problems in each release."""
TIME_LIMIT_S = 6.0
"""What LiveCodeBench's own runner gives each test."""
COLUMNS = (
    *("question_title", "question_content", "platform", "question_id", "contest_date"),
    *("starter_code", "difficulty", "public_test_cases", "private_test_cases", "metadata"),
)
TEXTS = ("question_content", "platform", "question_id", "starter_code")


def file_names(release: str) -> list[str]:
    """A release's files, in the order of the releases."""
    numbers = range(1, int(release.removeprefix("v")) + 1)
    return [f"test{number if number > 1 else ''}.jsonl" for number in numbers]


class LiveCodeBench:
    """The problems of a release, and of a window of time."""

    def __init__(self, paths: Sequence[Path], since: str | None, until: str | None) -> None:
        """Read nothing yet.

        Args:
            since, until: days as `2024-08-01`, both included; None is open.
        """
        self._paths = paths
        self._since = since or ""
        self._until = until or "9999"
        self._counts: Counter[str] = Counter()

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield the wanted problems, in the order of the files."""
        self._counts.clear()
        seen: set[str] = set()
        for batch in shards.read(self._paths, COLUMNS, batch_rows=1, texts=TEXTS):
            for row in batch.rows():
                self._counts["rows"] += 1
                where = f"{batch.path}, question {row['question_id']}"
                day = _day(where, row["contest_date"])
                if not self._since <= day <= self._until:
                    self._counts["left out: outside the window"] += 1
                elif row["question_id"] in seen:
                    self._counts["left out: stands in an earlier file too"] += 1
                elif wanted(row["question_id"]):
                    seen.add(row["question_id"])
                    self._counts["problems"] += 1
                    self._counts[f"problems of {row['platform']}"] += 1
                    yield _problem(where, row, day)

    def counts(self) -> dict[str, int]:
        """Problems by platform, and rows left out by reason."""
        return dict(sorted(self._counts.items()))


def _day(where: str, text: Any) -> str:
    try:
        return datetime.fromisoformat(text).date().isoformat()
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where}: contest_date {text!r} found; expected a day such as 2024-08-31T00:00:00"
        ) from error


def _problem(where: str, row: dict[str, Any], day: str) -> Problem:
    public = _cases(where, "public_test_cases", _json(where, "public_test_cases", row))
    private = _cases(where, "private_test_cases", _private(where, row["private_test_cases"]))
    if not (isinstance(row["question_content"], str) and row["question_content"].strip()):
        raise UserError(f"{where}: question_content is empty; expected the statement")
    kinds = {case["testtype"] for case in (*public, *private)}
    if len(kinds) != 1 or not kinds <= {"stdin", "functional"}:
        raise UserError(
            f"{where}: testtype {', '.join(sorted(map(str, kinds))) or 'none'} found; expected stdin "
            "or functional, the same for all tests"
        )
    function = None
    if kinds == {"functional"}:
        metadata = _json(where, "metadata", row)
        function = metadata.get("func_name") if isinstance(metadata, dict) else None
        if not isinstance(function, str) or not function.isidentifier():
            raise UserError(f"{where}: metadata names no function (`func_name`) to be called")
    return Problem(
        id=str(row["question_id"]),
        source=f"livecodebench/{row['platform']}",
        statement=row["question_content"],
        starter_code=row["starter_code"] or "",
        kind="stdin" if function is None else "function",
        function=function,
        tests=[{"input": case["input"], "output": case["output"]} for case in (*public, *private)],
        time_limit_s=TIME_LIMIT_S,
        difficulty=row["difficulty"],
        date=day,
        platform=row["platform"],
        url=_page(row),
    )


def _page(row: dict[str, Any]) -> str | None:
    """A LeetCode problem's page, which goes by its title; at the other judges its id is enough."""
    if row["platform"] != "leetcode":
        return None
    slug = re.sub(r"[^a-z0-9]+", "-", str(row["question_title"]).lower()).strip("-")
    return f"https://leetcode.com/problems/{slug}"


def _json(where: str, column: str, row: dict[str, Any]) -> Any:
    try:
        return json.loads(row[column])
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: {column} is not JSON ({error})") from error


def _private(where: str, text: Any) -> Any:
    """Private tests: JSON, or base64 of a zlib of a pickle of JSON."""
    if not isinstance(text, str):
        raise UserError(f"{where}: private_test_cases is no text")
    if text.lstrip().startswith(("[", "{")):
        return _json(where, "private_test_cases", {"private_test_cases": text})
    try:
        packed = base64.b64decode(text.encode(), validate=True)
        value = plain_pickle.loads(plain_pickle.decompress(packed))
        return json.loads(value) if isinstance(value, str) else value
    except (plain_pickle.NotPlainError, binascii.Error, ValueError, RecursionError) as error:
        raise UserError(
            f"{where}: private_test_cases is refused: {error}; fetch the file from "
            "livecodebench/code_generation_lite again"
        ) from error


def _cases(where: str, column: str, cases: Any) -> list[dict[str, str]]:
    keys = ("input", "output", "testtype")
    for case in cases if isinstance(cases, list) else [None]:
        if not isinstance(case, dict) or not all(isinstance(case.get(key), str) for key in keys):
            raise UserError(
                f"{where}: {column} holds {str(case)[:40]!r}; expected a list of mappings with the "
                f"texts {', '.join(keys)}"
            )
    return list(cases)
