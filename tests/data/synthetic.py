"""Real data sets in miniature: files of their schemas with made-up rows, for tests and benchmarks.

    python tests/data/synthetic.py FOLDER --rows 100000 --row-bytes 52000

writes below FOLDER an OpenCodeReasoning-2 (`ocr2`) at its full length, and the question sets that its rows
refer to (`taco`, `apps`, `code_contests`, `codeforces`). The same arguments give the same rows. Nothing
holds more than a thousand rows.
"""

from __future__ import annotations

import argparse
import base64
import json
import pickle
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 1000
TACO_LABELS = ("EASY", "MEDIUM", "MEDIUM_HARD", "HARD", "VERY_HARD", "UNKNOWN_DIFFICULTY")
OCR2_COLUMNS = (
    *("question", "r1_generation", "qwq_critique", "solution", "judgement", "pass_rate", "source"),
    *("license", "dataset", "split", "difficulty", "index", "id", "question_id"),
)
SETS = ("taco", "apps", "code_contests", "open-r1/codeforces")
TESTS = {"input": ["1 2\n", "3 4\n"], "output": ["3\n", "7\n"]}
PROGRAM = "print(sum(map(int, input().split())))\n"
WRONG_PROGRAM = "print(0)\n"


def write_parquet(path: Path, rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> Path:
    """One Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """One file of JSON lines, not escaped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def write_stream(path: Path, rows: list[dict[str, Any]]) -> Path:
    """One Arrow stream, as the package `datasets` writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=3)
    return path


def taco_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of BAAI/TACO that adds two numbers."""
    return {
        "question": f"Add the two numbers of a line, however far apart (№ {number}).",
        "solutions": json.dumps([PROGRAM, "import sys\n" + PROGRAM]),
        "starter_code": "",
        "input_output": json.dumps({"inputs": TESTS["input"], "outputs": TESTS["output"]}),
        "difficulty": TACO_LABELS[number % len(TACO_LABELS)],
        "raw_tags": "['math']",
        "name": None,
        "source": "codeforces",
        "tags": "['Mathematics']",
        "skill_types": "[]",
        "url": f"https://codeforces.com/problemset/problem/{number}/A",
        "Expected Auxiliary Space": None,
        "time_limit": "2.0 seconds",
        "date": "2019-12-31",
        "picture_num": "0",
        "memory_limit": "256.0 megabytes",
        "Expected Time Complexity": None,
    } | changes


def apps_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of codeparrot/apps."""
    return {
        "problem_id": number,
        "question": f"Add two numbers; APPS, number {number}.",
        "solutions": json.dumps([PROGRAM]),
        "input_output": json.dumps({"inputs": TESTS["input"], "outputs": TESTS["output"]}),
        "difficulty": ("introductory", "interview", "competition")[number % 3],
        "url": f"https://example.org/{number}",
        "starter_code": "",
    } | changes


def contest_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of deepmind/code_contests."""
    none: dict[str, list[str]] = {"input": [], "output": []}
    return {
        "name": f"{number}_A. Sum",
        "description": f"Add two numbers; CodeContests, number {number}.",
        "public_tests": TESTS,
        "private_tests": {"input": ["5 6\n"], "output": ["11\n"]},
        "generated_tests": none,
        "source": 2,
        "difficulty": number % 7,
        "time_limit": {"seconds": 5, "nanos": 500_000_000},
        "memory_limit_bytes": 2 << 30,
        "input_file": "",
        "output_file": "",
    } | changes


def codeforces_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of open-r1/codeforces."""
    return {
        "id": f"{number}/A",
        "title": "Sum",
        "description": f"Add two numbers; Codeforces, number {number}.",
        "input_format": "Two numbers.",
        "output_format": "Their sum.",
        "interaction_format": None,
        "note": "No trick.",
        "examples": [{"input": "1 2", "output": "3"}],
        "official_tests": [{"input": "3 4", "output": "7"}],
        "official_tests_complete": True,
        "input_mode": "stdio",
        "generated_checker": None,
        "time_limit": 2.0,
        "memory_limit": 256.0,
        "rating": 800 + number,
    } | changes


def write_questions(folder: Path, rows: int = 20) -> dict[str, Path]:
    """The four question sets, each as one of the ways in which they are published; their folders."""
    names = ("taco", "apps", "code_contests", "codeforces")
    taco, apps, contests, codeforces = (folder / name for name in names)
    half = rows // 2
    for split, count in (("train", rows), ("test", rows // 4 or 1)):
        made = [taco_row(number) for number in range(count)]
        write_stream(taco / split / "data-00000-of-00001.arrow", made)
        write_lines(apps / f"{split}.jsonl", [apps_row(number) for number in range(count)])
        write_parquet(
            codeforces / "data" / f"{split}-00000-of-00001.parquet",
            [codeforces_row(number) for number in range(count)],
        )
    made = [contest_row(number) for number in range(rows)]
    for shard, part in enumerate((made[:half], made[half:])):
        write_parquet(contests / "data" / f"train-{shard:05d}-of-00002.parquet", part)
    return {name: folder / name for name in names}


def places(folders: dict[str, Path]) -> dict[str, dict[str, str]]:
    """What `questions` in a grid says of such folders."""
    return {name: {"path": str(path)} for name, path in folders.items()}


def ocr2_row(number: int, length: int = 200, questions: int = 20) -> dict[str, Any]:
    """A row of nvidia/OpenCodeReasoning-2; every column is text.

    A fifth of the rows is wrong. Of three rows two have a pass rate.
    """
    wrong = number % 5 == 0
    thought = _text(number, max(1, length - 120))
    program = WRONG_PROGRAM if wrong else PROGRAM
    name, index = SETS[number % len(SETS)], number // len(SETS) % questions
    return {
        "question": "-",
        "r1_generation": f"<think>\n{thought}\n</think>\n\n```python\n{program}```\n",
        "qwq_critique": f"<judgement>{'wrong' if wrong else 'right'}</judgement>",
        "solution": f"```python\n{program}```",
        "judgement": "wrong" if wrong else "right",
        "pass_rate": "-1" if number % 3 == 0 else ("0.0" if wrong else "1.0"),
        "source": "codeforces",
        "license": "cc-by-4.0",
        "dataset": name,
        "split": "train",
        "difficulty": _label(name, index),
        "index": str(index),
        "id": f"{number:032x}",
        "question_id": f"{number % questions:032x}",
    }


def _label(name: str, index: int) -> str:
    """What a question set states of one of its rows."""
    makers = {"taco": taco_row, "apps": apps_row, "code_contests": contest_row}
    return str(makers[name](index)["difficulty"] if name in makers else 800 + index)


def write_ocr2(
    folder: Path,
    rows: int = 200,
    row_bytes: int = 200,
    shards: int = 2,
    questions: int = 20,
    change: Callable[[dict[str, Any]], Any] = lambda row: None,
) -> Path:
    """An OpenCodeReasoning-2, python, in the present layout; returns its folder.

    Args:
        row_bytes: about how long each generation is.
        questions: how many rows each question set has.
        change: is called with each row, before it is written.
    """
    schema = pa.schema([(name, pa.string()) for name in OCR2_COLUMNS])
    per_shard = -(-rows // shards)
    for shard in range(shards):
        path = folder / "train" / "python" / f"train-{shard:05d}-of-{shards:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = range(shard * per_shard, min(rows, (shard + 1) * per_shard))
        with pq.ParquetWriter(path, schema) as writer:
            for start in range(0, len(numbers), GROUP_ROWS):
                made = []
                for number in numbers[start : start + GROUP_ROWS]:
                    row = ocr2_row(number, row_bytes, questions)
                    change(row)
                    made.append(row)
                writer.write_table(pa.Table.from_pylist(made, schema))
    return folder


_PHRASE = "the sum of both is n so we try all pairs, wait, let me check that again: é ≤ 10^5 and"
_BASE: list[str] = []


def _text(number: int, length: int) -> str:
    """About `length` bytes that differ from those of other numbers, and come fast."""
    if not _BASE:
        rng = random.Random(0)
        words = _PHRASE.split()
        _BASE.append(" ".join(rng.choice(words) + str(rng.randrange(100)) for _ in range(200_000)))
    base = _BASE[0]
    start = random.Random(number).randrange(max(1, len(base) - length))
    return f"{number}: {base[start : start + length]}"


def ocr_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of split_0 of nvidia/OpenCodeReasoning; its `id` is the question's."""
    row = ocr2_row(number)
    return {
        "id": f"{number // 2:032x}",
        "input": f"Add two numbers, question {number // 2}.",
        "output": row["r1_generation"],
        "source": "codeforces",
        "license": "mit",
        "dataset": row["dataset"],
        "split": "train",
        "difficulty": row["difficulty"],
        "solution": row["solution"],
    } | changes


def lcb_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of livecodebench/code_generation_lite: two on stdin, then one of LeetCode."""
    functional = number % 3 == 2
    kind = "functional" if functional else "stdin"
    given, wanted = ("1\n2", "3") if functional else ("1 2\n", "3\n")
    case = {"input": given, "output": wanted, "testtype": kind}
    more = [{**case, "input": given.replace("1", "5"), "output": wanted.replace("3", "7")}]
    return {
        "question_title": "Sum",
        "question_content": f"Add two numbers, № {number}.",
        "platform": "leetcode" if functional else ("atcoder", "codeforces")[number % 3],
        "question_id": f"q{number}",
        "contest_id": "c",
        "contest_date": f"2024-{1 + number % 12:02d}-15T00:00:00",
        "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        "
        if functional
        else "",
        "difficulty": ("easy", "medium", "hard")[number % 3],
        "public_test_cases": json.dumps([case]),
        "private_test_cases": packed(json.dumps(more)) if number % 2 else json.dumps(more),
        "metadata": json.dumps({"func_name": "add"} if functional else {}),
    } | changes


def packed(value: Any) -> str:
    """Private tests as LiveCodeBench packs them; `value` may be evil."""
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def write_lcb(folder: Path, per_release: int = 6, releases: int = 6) -> Path:
    """The files of LiveCodeBench, each with `per_release` problems of its own."""
    for release in range(releases):
        name = f"test{release + 1 if release else ''}.jsonl"
        numbers = range(release * per_release, (release + 1) * per_release)
        write_lines(folder / name, [lcb_row(number) for number in numbers])
    return folder


def all_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of all Parquet files below a folder."""
    for path in sorted(folder.rglob("*.parquet")):
        yield from pq.read_table(path).to_pylist()


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a synthetic OpenCodeReasoning-2.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--row-bytes", type=int, default=52_000)
    parser.add_argument("--questions", type=int, default=8_500, help="rows of each question set")
    parser.add_argument("--shards", type=int, default=10)
    arguments = parser.parse_args()
    write_questions(arguments.folder, arguments.questions)
    write_ocr2(
        arguments.folder / "ocr2",
        arguments.rows,
        arguments.row_bytes,
        arguments.shards,
        arguments.questions,
    )


if __name__ == "__main__":
    main()
