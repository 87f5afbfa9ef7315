"""Held-out traces: what no training set of a sweep holds, for a likelihood to be measured on.

A training set is the beginning of its arm's order (`select.py`), so it has of the pool's problems those
that come first. Held out are the problems that come last: those whose first trace has the highest rank,
or that have the highest rank themselves where problems are drawn whole. Of each its first trace is
written, with what its problem is asked by. Nothing is taken out of any set: what is held out depends on
the pool alone, and a set that is so large, or of so small an arm, that it reaches there is refused: at
the launch where the pool is prepared (`room`), and before anything is scored (`check_lineage`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from valley.data.arm import Arm
from valley.data.index import Index, Numbers, read_index
from valley.data.select import order, ranks
from valley.data.subset import instructions, texts
from valley.errors import UserError
from valley.job_file import read_job
from valley.records import digest, read_records, write_json, write_records

SCHEMA = "valley.held_out/1"
TRACES, BARRED = "held_out.jsonl", "barred.json"


@dataclass(frozen=True)
class HeldOutTrace:
    """A trace as a student is to read it, as `valley.held_out_trace/1`."""

    SCHEMA: ClassVar[str] = "valley.held_out_trace/1"

    id: str
    prompt: str
    response: str


def held_out_rows(index: Index, config: dict[str, Any]) -> Numbers:
    """The rows that are held out, the first trace of each of the problems that sets come to last.

    Args:
        config: `traces`, `data_seed`, and `unit`: `trace` or `problem`, what sets are drawn by.

    Raises:
        UserError: not so many problems have a first trace whose text is kept.
    """
    rows = np.flatnonzero(index.usable)
    keys = ranks((index.ids[row] for row in rows.tolist()), config["data_seed"])
    problems = index.problem.codes[rows]
    by_problem = np.lexsort((keys, problems))
    grouped = problems[by_problem]
    first = by_problem[np.r_[True, grouped[1:] != grouped[:-1]]] if len(rows) else by_problem
    first = first[index.kept[rows[first]]]
    if config["unit"] == "problem":
        keys = ranks(index.problem.words, config["data_seed"])[problems]
    if len(first) <= config["traces"]:
        raise UserError(
            f"generate.held_out.traces: {config['traces']} found, and of the pool's problems "
            f"{len(first)} have a first trace whose text is kept; hold out fewer, so that some are left"
        )
    return rows[first[np.argsort(keys[first], kind="stable")][-config["traces"] :]]


def write_held_out(folder: Path, pool: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Write the held-out traces of a prepared pool, and the ids of all traces of their problems.

    Args:
        config: as for `held_out_rows`, and `prompt`, how problems are asked.
    """
    index = read_index(pool)
    rows = held_out_rows(index, config)
    asked = instructions(pool, index, rows, config["prompt"])
    ids = [index.ids[row] for row in rows.tolist()]
    pairs = texts(pool, index, rows, asked, None, config["data_seed"])
    write_records(
        folder / TRACES,
        [HeldOutTrace(name, *pair) for name, pair in zip(ids, pairs, strict=True)],
    )
    barred = np.flatnonzero(np.isin(index.problem.codes, index.problem.codes[rows]))
    names = {"ids": [index.ids[row] for row in barred.tolist()]}
    write_json(folder / BARRED, {"schema": SCHEMA, **names})
    return {"held_out_traces": len(ids), "held_out": digest(ids), "barred_traces": len(barred)}


def read_held_out(folder: Path) -> list[HeldOutTrace]:
    """What `write_held_out` left."""
    return read_records(folder / TRACES, HeldOutTrace)


def room(folder: Path) -> Callable[[Arm, int, dict[str, Any]], int | None]:
    """Says how large a set of an arm may be that reaches none of the held-out problems of a pool.

    Its last argument is as for `held_out_rows`; None where sizes count tokens, which depend on a tokenizer.
    """
    read = cache(lambda: read_index(folder))

    def largest(arm: Arm, data_seed: int, config: dict[str, Any]) -> int | None:
        return None if arm.select.size_in == "tokens" else _room(read(), arm, data_seed, config)

    return largest


def _room(index: Index, arm: Arm, data_seed: int, config: dict[str, Any]) -> int:
    whole = order(index, arm, data_seed)
    problems = index.problem.codes
    barred = np.isin(problems[whole.rows], problems[held_out_rows(index, config)])
    if not barred.any():
        return whole.size
    return int(whole.units[np.argmax(barred)]) - 1


def check_lineage(model: Path, held_out: Path) -> None:
    """See that a checkpoint was trained on no trace of a held-out problem, nor what it started from.

    Args:
        model: the folder of the job that made it.

    Raises:
        UserError: it was; names the first training on the way back.
    """
    barred = set(json.loads((held_out / BARRED).read_text(encoding="utf-8"))["ids"])
    job = read_job(model)
    while job.kind == "train":
        if isinstance(job.config.get("select"), dict):
            path = job.folder / "subset.json"
            taught = json.loads(path.read_text(encoding="utf-8"))["ids"]
            if shared := barred.intersection(taught):
                raise UserError(
                    f"{job.label} was trained on {len(shared)} traces of problems that "
                    f"generate.held_out holds out, such as {min(shared)}; hold out fewer, ask for a "
                    "smaller size, or for a larger pool under `data`"
                )
        if "init" not in job.inputs:
            return
        job = read_job(job.inputs["init"])
