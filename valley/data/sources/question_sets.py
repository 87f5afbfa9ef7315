"""The data sets that OpenCodeReasoning took its questions from: one row, one problem.

    taco           BAAI/TACO              train, test
    apps           codeparrot/apps        train, test
    code_contests  deepmind/code_contests train, valid, test
    codeforces     open-r1/codeforces     train, test

A statement is put together as the authors of OpenCodeReasoning did, so that a trace answers the question
that its teacher was asked. A problem whose tests cannot be used has none: its traces can be learnt from
and not graded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.data.candidates import Wanted
from valley.data.problems import Problem
from valley.data.sources import shards
from valley.data.sources.encodings import (
    Tests,
    UnusableTests,
    memory_limit_mib,
    pair,
    parse_input_output,
    time_limit_s,
)

Row = Mapping[str, Any]
TEST_ROWS = 16
"""Rows that are held at once with their tests; one row's may be many megabytes."""


@dataclass(frozen=True)
class QuestionSet:
    """How to read one data set of questions."""

    name: str
    splits: tuple[str, ...]
    asked: tuple[str, ...]
    """The columns of the statement."""
    asked_if_there: tuple[str, ...]
    more: tuple[str, ...]
    """The columns of all else, which may be missing."""
    label: str
    """That of the difficulty, which is one of these."""
    statement: Callable[[Row], str | None]
    tests: Callable[[Row], Tests]
    fields: Callable[[Row], dict[str, Any]]


def problem_id(name: str, split: str, index: int) -> str:
    """What a row is called as a problem."""
    return f"{name}/{split}/{index}"


def stated(of: QuestionSet, paths: Sequence[Path]) -> Iterator[str | None]:
    """Yield of each row in order its label, "" where it states none; None where there is no statement."""
    for batch in shards.read(paths, of.asked, (*of.asked_if_there, of.label), texts=of.asked):
        for row in batch.rows():
            text = of.statement(row)
            yield (label(row[of.label]) or "") if text and text.strip() else None


def problems(
    of: QuestionSet,
    split: str,
    paths: Sequence[Path],
    wanted: Wanted,
    unusable: Counter[str],
) -> Iterator[Problem]:
    """Yield the problems of the rows that have a statement.

    Args:
        wanted: which ids.
        unusable: counts why problems have no tests, by set and reason.
    """
    index = -1
    columns = (*of.asked_if_there, *of.more)
    for batch in shards.read(
        paths, of.asked, columns, TEST_ROWS, texts=(*of.asked, "starter_code")
    ):
        for row in batch.rows():
            index += 1
            text, identity = of.statement(row), problem_id(of.name, split, index)
            if not text or not text.strip() or not wanted(identity):
                continue
            try:
                tests = of.tests(row)
            except UnusableTests as error:
                tests = Tests([])
                unusable[f"{of.name}/{split}: {error}"] += 1
            yield Problem(
                id=identity,
                source=f"{of.name}/{split}",
                statement=text,
                tests=tests.tests,
                kind="stdin" if tests.function is None else "function",
                function=tests.function,
                **of.fields(row),
            )


def label(value: Any) -> str | None:
    """A difficulty as the source states it; None where it states none."""
    text = "" if value is None else str(value).strip()
    return text if text and text.lower() not in ("none", "nan", "-") else None


def told(counts: Mapping[str, int], unusable: Mapping[str, int]) -> dict[str, int]:
    """What a source counted, with why problems have no tests (see `problems`), by name."""
    untested = {f"problems without tests: {why}": count for why, count in unusable.items()}
    return dict(sorted({**counts, **untested}.items()))


def _input_output(row: Row) -> Tests:
    return parse_input_output(row["input_output"])


def _taco_fields(row: Row) -> dict[str, Any]:
    return {
        "starter_code": row["starter_code"] or "",
        "time_limit_s": time_limit_s(row["time_limit"]),
        "memory_limit_mib": memory_limit_mib(row["memory_limit"]),
        "difficulty": label(row["difficulty"]),
        "date": label(row["date"]),
        "url": label(row["url"]),
    }


def _apps_fields(row: Row) -> dict[str, Any]:
    return {
        "starter_code": row["starter_code"] or "",
        "time_limit_s": time_limit_s(None),
        "difficulty": label(row["difficulty"]),
        "url": label(row["url"]),
    }


def _contest_tests(row: Row) -> Tests:
    if row["input_file"] or row["output_file"]:
        raise UnusableTests("reads or writes a file")
    inputs: list[Any] = []
    outputs: list[Any] = []
    for name in ("public_tests", "private_tests", "generated_tests"):
        inputs += (row[name] or {}).get("input") or []
        outputs += (row[name] or {}).get("output") or []
    return pair(inputs, outputs)


def _contest_fields(row: Row) -> dict[str, Any]:
    limit = row["time_limit"] or {}
    seconds = (limit.get("seconds") or 0) + (limit.get("nanos") or 0) / 1e9
    return {
        "time_limit_s": time_limit_s(seconds),
        "memory_limit_mib": memory_limit_mib(f"{row['memory_limit_bytes'] or 0} bytes"),
        "difficulty": label(row["difficulty"]),
        "url": _at_codeforces(row["cf_contest_id"], row["cf_index"]),
    }


def _codeforces_statement(row: Row) -> str | None:
    if not row["description"]:
        return None
    text = row["description"]
    for title, part in (("Input", row["input_format"]), ("Output", row["output_format"])):
        if part:
            text += f"\n\n{title}\n\n{part}"
    if row["examples"]:
        text += "\n\nExamples"
        for example in row["examples"]:
            for title, key in (("Input", "input"), ("Output", "output")):
                if example.get(key) is not None:
                    text += f"\n\n{title}\n\n{example[key]}"
    if row["note"]:
        text += f"\n\nNote\n\n{row['note']}"
    return str(text)


def _codeforces_tests(row: Row) -> Tests:
    if row["input_mode"] not in (None, "", "stdio"):
        raise UnusableTests("reads or writes a file")
    if row["interaction_format"]:
        raise UnusableTests("interactive")
    if row["generated_checker"]:
        raise UnusableTests("needs a special judge")
    tests = [*(row["examples"] or []), *(row["official_tests"] or [])]
    return pair([test.get("input") for test in tests], [test.get("output") for test in tests])


def _codeforces_fields(row: Row) -> dict[str, Any]:
    return {
        "time_limit_s": time_limit_s(row["time_limit"]),
        "memory_limit_mib": memory_limit_mib(row["memory_limit"]),
        "difficulty": label(row["rating"]),
        "url": _at_codeforces(*str(row["id"] or "").split("/")[:2]),
        "flags": ["special_judge"] if row["generated_checker"] else [],
    }


def _at_codeforces(contest: Any, index: Any = None) -> str | None:
    """A problem's page, by which decontamination knows it."""
    if not contest or not index:
        return None
    return f"https://codeforces.com/problemset/problem/{contest}/{index}"


TACO = QuestionSet(
    "taco",
    ("train", "test"),
    ("question",),
    (),
    (
        *("input_output", "difficulty", "starter_code"),
        *("time_limit", "memory_limit", "date", "url"),
    ),
    "difficulty",
    lambda row: row["question"],
    _input_output,
    _taco_fields,
)
SETS = {
    of.name: of
    for of in (
        TACO,
        QuestionSet(
            "apps",
            ("train", "test"),
            ("question",),
            (),
            ("input_output", "difficulty", "starter_code", "url"),
            "difficulty",
            lambda row: row["question"],
            _input_output,
            _apps_fields,
        ),
        QuestionSet(
            "code_contests",
            ("train", "valid", "test"),
            ("description",),
            (),
            (
                *("public_tests", "private_tests", "generated_tests", "difficulty"),
                *("time_limit", "memory_limit_bytes", "input_file", "output_file"),
                *("cf_contest_id", "cf_index"),
            ),
            "difficulty",
            lambda row: row["description"],
            _contest_tests,
            _contest_fields,
        ),
        QuestionSet(
            "codeforces",
            ("train", "test"),
            ("description",),
            ("input_format", "output_format", "examples", "note"),
            (
                *("official_tests", "input_mode", "interaction_format", "generated_checker"),
                *("time_limit", "memory_limit", "rating", "id"),
            ),
            "rating",
            _codeforces_statement,
            _codeforces_tests,
            _codeforces_fields,
        ),
    )
}
CALLED = {"open-r1/codeforces": "codeforces", "code-contests": "code_contests"}
"""What rows of OpenCodeReasoning call a set, where it is not the name above."""


def solutions(text: str | None) -> list[str]:
    """The programs in a row's `solutions`, a list written as JSON."""
    try:
        value = json.loads(text) if isinstance(text, str) and text.strip() else text
    except (ValueError, RecursionError):
        return []
    return [program for program in value or [] if isinstance(program, str) and program.strip()]
