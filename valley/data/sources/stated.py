"""What OpenCodeReasoning-2 states of its rows, counted from the columns of labels alone.

The texts, nearly all of the data set, are not touched: planning can say how many traces an arm holds at
most before the pool is prepared. Rows whose question is not found or whose thought has no end count too.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from valley.data.selection_config import CorrectnessConfig, DifficultyConfig
from valley.data.sources.shard_files import readable

OF_CORRECTNESS = {"judgement": ("judgement",), "pass_rate": ("pass_rate",)}
CORRECT = {"correct": True, "incorrect": False, "unknown": None}
Arms = Counter[tuple[str | None, bool | None]]
"""Rows by difficulty and correctness."""


def at_most(
    paths: Sequence[Path],
    difficulty: DifficultyConfig,
    correctness: CorrectnessConfig,
    arm: tuple[str, str],
) -> int | None:
    """The most traces that an arm can hold; None where the files are not Parquet.

    Args:
        arm: a difficulty and a correctness, or `all`.

    Raises:
        UserError: a file is damaged.
    """
    if not all(path.name.endswith(".parquet") for path in paths):
        return None
    states = [path.stat() for path in paths]
    marks = tuple((str(p), s.st_size, s.st_mtime_ns) for p, s in zip(paths, states, strict=True))
    arms = _arms(marks, difficulty.model_dump_json(), correctness.model_dump_json())
    by_label, graded = difficulty.by == "label", correctness.by == "grader"
    return sum(
        count
        for (level, correct), count in arms.items()
        if (arm[0] in ("all", level) or not by_label)
        # What is graded is not known yet.
        and (arm[1] == "all" or graded or correct == CORRECT[arm[1]])
    )


@functools.lru_cache(maxsize=16)
def _arms(marks: tuple[tuple[str, int, int], ...], difficulty: str, correctness: str) -> Arms:
    from valley.data.labels import CorrectnessRule, DifficultyRule
    from valley.data.sources.open_code_rows import stated_of

    level_by = DifficultyConfig.model_validate_json(difficulty)
    correct_by = CorrectnessConfig.model_validate_json(correctness)
    level_of = DifficultyRule(level_by, None) if level_by.by == "label" else None
    correct_of = CorrectnessRule(correct_by)
    columns = (*(("difficulty",) if level_of else ()), *OF_CORRECTNESS.get(correct_by.by, ()))
    arms: Arms = Counter()
    for row, count in _distinct([Path(path) for path, *_ in marks], columns):
        candidate = stated_of(row)
        level = level_of.of(candidate) if level_of else None
        arms[level, correct_of.of(candidate)[0]] += count
    return arms


def _distinct(paths: Sequence[Path], columns: Sequence[str]) -> list[tuple[dict[str, Any], int]]:
    """Each combination of values that rows have, and how many have it; a missing column holds None."""
    import pyarrow.parquet as pq

    found: Counter[tuple[Any, ...]] = Counter()
    for path in paths:
        with readable(path), pq.ParquetFile(path) as parquet:
            there = [name for name in columns if name in parquet.schema_arrow.names]
            if not there:
                found[(None,) * len(columns)] += parquet.metadata.num_rows
                continue
            groups = parquet.read(there).group_by(there).aggregate([([], "count_all")]).to_pylist()
        for group in groups:
            found[tuple(group.get(name) for name in columns)] += group["count_all"]
    return [(dict(zip(columns, values, strict=True)), n) for values, n in found.items()]
