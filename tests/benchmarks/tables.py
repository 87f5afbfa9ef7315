"""The benchmark's results for a reader: plain tables in Markdown, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.agreement import REASONS, Agreement
from benchmarks.corpus import Case
from benchmarks.rounds import Program


def say(text: str) -> None:
    """Print on stderr at once: stdout is for the JSON."""
    print(text, file=sys.stderr, flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of text cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def matrix_table(found: Agreement) -> str:
    """Two graders' confusion matrix, and each program on which they differ."""
    a, b = found.pair
    ours = sorted({first for first, _ in found.matrix})
    theirs = sorted({second for _, second in found.matrix})
    counts = [[row, *(found.matrix[row, column] or "" for column in theirs)] for row in ours]
    parts = [
        f"\n{a} (rows) and {b} (columns): {found.matrix.total()} programs, "
        f"{len(found.disagreements)} disagreements, kappa {found.kappa:.3f}",
        table(["", *theirs], counts),
    ]
    if found.disagreements:
        rows = [(d.case, *d.statuses, d.reason or "UNEXPLAINED") for d in found.disagreements]
        parts += ["", table(["program", a, b, "reason"], rows)]
    return "\n".join(parts)


def special_table(cases: Sequence[Case], statuses: dict[str, list[str]]) -> str:
    """What each grader says of the programs that are there to tell graders apart."""
    rows = [
        (case.name, *(said[number] for said in statuses.values()))
        for number, case in enumerate(cases)
        if case.kind in REASONS
    ]
    return "\n" + table(["program", *statuses], rows)


def speed_table(
    name: str, programs: Sequence[Program], graders: dict[str, dict[str, Any]], reference: str
) -> str:
    """What each grader took for a set of programs, held against one of them."""
    against = graders[reference]
    rows = [
        (
            grader,
            f"{of['solutions_per_s']:.1f}",
            f"{of['solutions_per_s'] / against['solutions_per_s']:.2f}",
            f"{of['tests_per_s']:.0f}",
            f"{of['cpu_s']:.1f}",
            f"{of['peak_mib']:.0f}",
            f"{of['passed']} of {len(programs)}",
        )
        for grader, of in graders.items()
    ]
    head = ["grader", "solutions/s", f"x {reference}", "tests/s", "CPU-s", "peak MiB", "passed"]
    return f"\n{name}: {len(programs)} right programs\n{table(head, rows)}"
