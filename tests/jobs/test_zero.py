"""Zero problems, traces, examples, tokens or rows are an error of the job, and never a success."""

from __future__ import annotations

import json

import pytest

from valley.cluster.element import run_job
from valley.data.prepared import write_evaluation, write_pool
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.job import Job
from valley.job_file import identity_of, read_job, write_result
from valley.records import write_records
from valley.store import Store


def made(root, kind, name, fill=lambda folder: None):
    """A job with a result, and what `fill` puts in its folder."""
    config = {"name": name}
    job = Job(kind, identity_of(kind, config, {}), name, config, {})
    folder = Store(root).lay(job, {})
    fill(folder)
    write_result(read_job(folder), {}, {}, {})
    return job


def failure_of(root, kind, config, inputs):
    ids = {role: job.identity for role, job in inputs.items()}
    job = Job(kind, identity_of(kind, config, ids), "zero", config, inputs)
    folder = Store(root).lay(job, {})
    assert run_job(folder) == "none"
    assert not (folder / "result.json").exists()
    return json.loads((folder / "failed.json").read_text())["error"]


def test_zero_examples_trained(spaced):
    pool = made(
        spaced, "prepare", "pool", lambda folder: write_records(folder / "lessons.jsonl", [])
    )
    config = {"train": {}, "select": "lessons", "seed": 0, "data_seed": 0}
    inputs = {"pool": pool, "init": made(spaced, "prepare", "init")}
    assert "training set is empty" in failure_of(spaced, "train", config, inputs)


def test_zero_rows_graded(spaced):
    inputs = {
        "samples": made(
            spaced,
            "generate",
            "samples",
            lambda folder: write_records(folder / "samples.jsonl", []),
        ),
        "evaluation": made(
            spaced,
            "prepare",
            "evaluation",
            lambda folder: write_records(folder / "evaluation.jsonl", []),
        ),
    }
    config = GradeConfig(sandbox="rlimits").model_dump(mode="json")
    assert "no samples to grade" in failure_of(spaced, "grade", config, inputs)


def test_zero_problems_and_traces_prepared(spaced):
    with pytest.raises(UserError, match="holds no problem"):
        write_evaluation(spaced, [])
    with pytest.raises(UserError, match="no trace and no lesson"):
        write_pool(spaced, [], [], [], GradeConfig(), 1)
