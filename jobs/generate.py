"""Generate: a student's answers to the evaluation problems, under one decoding profile.

It runs in the interpreter that `resources.generate.python` names, which may have vLLM and neither the
trainer nor what only the launcher needs. A job is a whole generation, a shard of one, or what puts the
samples of shards together.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from dataclasses import replace
from typing import Any

from valley.cluster.element import foreground
from valley.cluster.rendezvous import place
from valley.cluster.signals import Interrupted
from valley.data.chat import ChatConfig
from valley.data.held_out import check_lineage, read_held_out
from valley.data.problem_file import ProblemFile
from valley.errors import Stopped, UserError, exit_on_user_error
from valley.evaluate.answering import names_of, told_of
from valley.evaluate.earlier_round import EarlierRound
from valley.evaluate.generate import Generated, Setting, generate
from valley.evaluate.likelihood import HeldOut
from valley.evaluate.samples import count_samples
from valley.evaluate.shards import (
    check_backends,
    check_students,
    merge,
    merged_outcome,
    merged_provenance,
)
from valley.job_file import JobFile
from valley.records import write_records
from valley.store import Store

REPORT_S = 1.0
"""Least time between two words of how far a job is."""


def run(job: JobFile) -> dict[str, Any]:
    """Leave the answers in `samples.jsonl`. Begun again, it goes on from those that were finished."""
    problems = ProblemFile(job.inputs["evaluation"] / "evaluation.jsonl")
    earlier = EarlierRound.of(job.inputs["earlier"]) if "earlier" in job.inputs else None
    is_merge = "shards" in job.execution
    names = {} if is_merge else names_of(job.inputs["model"])
    if earlier is not None:
        earlier.check_student(names)
    first = earlier.samples if earlier else 0
    generated = (
        _merged(job, problems, first)
        if is_merge
        else _generated(job, problems, first, names["weights"])
    )
    # A shard may have drawn nothing but prompts that are too long, or nothing at all.
    is_whole = "shard" not in job.config
    if earlier is not None and is_whole:
        made = {**earlier.measured(), **generated.outcome, "earlier": earlier.told()}
        earlier.check_student(told_of(made))
        earlier.check_backend(made)
        generated = Generated(earlier.followed_by(generated.samples, problems), made)
    counts = count_samples(generated.samples) if is_whole else _tokens(generated)
    write_records(job.folder / "samples.jsonl", generated.samples)
    return {**generated.outcome, **names, **counts}


def _generated(job: JobFile, problems: ProblemFile, first: int, weights: str) -> Generated:
    # Engines that start together on one node look for ports from places of their own.
    os.environ.setdefault("VLLM_PORT", str(_first_port(place().attempt)))
    model = job.inputs["model"]
    index, of = job.config.get("shard", (0, 1))
    said: dict[str, int] = {}
    last_s = 0.0

    def report(step: int, steps: int) -> None:
        nonlocal last_s
        said.update(step=step, steps=steps)
        # An engine may finish samples many times a second.
        if time.monotonic() - last_s >= REPORT_S or step == steps:
            last_s = time.monotonic()
            job.report(step=step, steps=steps)

    try:
        return generate(
            model / "model",
            # No student sees a test, and all tests of all problems may be gigabytes.
            [replace(problem, tests=problem.tests[:1]) for problem in problems.values()],
            Setting.of(job.config),
            report=report,
            keep=job.folder / "resume" / "samples.jsonl",
            # A rebuilt student may differ in its last digits.
            made_from=weights,
            shard=(index, of),
            first=first,
            held_out=_held_out(job),
        )
    except Interrupted as stop:
        if not said:
            raise
        raise Stopped(said["step"], said["steps"]) from stop


def _held_out(job: JobFile) -> HeldOut | None:
    """The traces whose likelihood is asked for, where it is."""
    if "held_out" not in job.inputs:
        return None
    check_lineage(job.inputs["model"], job.inputs["held_out"])
    chat = ChatConfig.model_validate(job.config.get("chat", {}))
    return HeldOut(read_held_out(job.inputs["held_out"]), chat)


def _first_port(attempt: str) -> int:
    """A port below the range that Linux hands out to clients (from 32768)."""
    return 20000 + int.from_bytes(hashlib.sha256(attempt.encode()).digest()[:4], "big") % 12000


def _merged(job: JobFile, problems: ProblemFile, first: int) -> Generated:
    store = Store(job.folder.parents[2].parent)
    results = [store.result("generate", identity) for identity in job.execution["shards"]]
    if None in results:
        raise UserError(
            f"shard {results.index(None)} of {len(results)} has no result; launch the sweep again"
        )
    folders = [store.folder("generate", "", identity) for identity in job.execution["shards"]]
    made = [result for result in results if result is not None]
    outcomes = [result["outcome"] for result in made]
    check_students(folders, outcomes)
    check_backends(folders, outcomes)
    samples = merge(folders, problems, job.config["profile"]["samples"], first)
    by = merged_provenance([result["provenance"] for result in made])
    # Whose answers they are: the student may have been trained again since.
    told = {**merged_outcome(outcomes), **told_of(outcomes[-1])}
    return Generated(samples, told | {"provenance_of_parts": by})


def _tokens(generated: Generated) -> dict[str, int]:
    """The counts that estimates go by."""
    return {
        "samples": len(generated.samples),
        "completion_tokens": sum(sample.completion_tokens for sample in generated.samples),
    }


if __name__ == "__main__":
    exit_on_user_error(lambda: foreground(sys.argv[1:]))
