"""Shards: a generation that several array elements share, and how their samples become one set.

The batches are planned of all requests, and a shard takes every k-th of them whole; so the samples are
those of one element alone, as far as the backend answers alike in another process. The generation itself
is then a job that waits for its shards and puts their samples in order. Its identity does not know of
shards: what was made with another number of them, or with none, stays done.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from valley.errors import UserError
from valley.evaluate.answering import are_alike
from valley.evaluate.samples import Sample
from valley.records import read_records

logger = logging.getLogger(__name__)

TOLD = ("backend", "backend_version")
"""What shards, and rounds, say of how they were made: one set is made in one way."""
OF_THE_FIRST = ("held_out",)
"""What the first shard, and the first round, alone has found out."""
SUMMED = ("startup_s", "decode_s", "kept_samples")


def merge(
    folders: list[Path], problem_ids: Iterable[str], samples: int, first: int = 0
) -> list[Sample]:
    """The samples of all shards, by problem in the given order and then by index.

    Args:
        samples: per problem.
        first: the index of the first of them.

    Raises:
        UserError: one is missing, or there are others; names the first.
    """
    found = {
        (sample.problem_id, sample.index): sample
        for folder in folders
        for sample in read_records(folder / "samples.jsonl", Sample)
    }
    wanted = [(problem_id, index) for problem_id in problem_ids for index in range(first, samples)]
    if odd := sorted(found.keys() ^ set(wanted)):
        problem_id, index = odd[0]
        raise UserError(
            f"the shards hold {len(found)} samples and {len(wanted)} are expected; the first that is "
            f"missing or too many is sample {index} of {problem_id}; launch the sweep again"
        )
    return [found[key] for key in wanted]


def check_students(folders: list[Path], outcomes: list[dict[str, Any]]) -> None:
    """See that the same weights have answered in all shards.

    Raises:
        UserError: some shards were answered by a student that was trained again in between.
    """
    others = [
        str(folder)
        for folder, outcome in zip(folders, outcomes, strict=True)
        if not are_alike(outcome, outcomes[-1])
    ]
    if others:
        raise UserError(
            f"{len(others)} of {len(folders)} shards were answered before their student was trained again, "
            f"by other weights; remove {', '.join(others)} and launch again"
        )


def check_backends(folders: list[Path], outcomes: list[dict[str, Any]]) -> None:
    """See that one backend, in one version, has answered in all shards: one set is made in one way.

    Raises:
        UserError: names the shards that others than the last one's backend answered.
    """
    newest = tuple(outcomes[-1][name] for name in TOLD)
    found = [tuple(outcome[name] for name in TOLD) for outcome in outcomes]
    if others := [str(f) for f, made in zip(folders, found, strict=True) if made != newest]:
        kinds = ", ".join(sorted({" ".join(made) for made in found}))
        raise UserError(
            f"{len(others)} of {len(folders)} shards were answered by another backend or version than the "
            f"last ({kinds}); remove {', '.join(others)} and launch again"
        )


def merged_provenance(provenances: list[dict[str, Any]]) -> dict[str, Any]:
    """The package versions and devices that shards were made with; several are told as `a/b`, and logged."""
    return {
        "versions": {
            package: _together(package, [p["versions"].get(package, "none") for p in provenances])
            for package in sorted({name for p in provenances for name in p["versions"]})
            if package != "valley"
        },
        "device": _together("device", [p.get("device", "cpu") for p in provenances]),
    }


def _together(name: str, values: list[str]) -> str:
    distinct = sorted(set(values))
    if len(distinct) > 1:
        logger.warning("the shards were not made alike: %s %s", name, ", ".join(distinct))
    return "/".join(distinct)


def merged_outcome(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """How a set of samples was made, of the outcomes of its shards, which `check_backends` has seen."""
    told = {name: outcomes[0][name] for name in TOLD}
    sums = {name: round(sum(o[name] for o in outcomes), 3) for name in SUMMED}
    first = {name: outcomes[0][name] for name in OF_THE_FIRST if name in outcomes[0]}
    return {**told, **sums, **first, "shards": len(outcomes)}
