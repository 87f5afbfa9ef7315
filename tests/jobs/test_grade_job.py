"""A grade job: it goes on where an earlier start was ended, and leaves its metrics."""

from __future__ import annotations

import json

import pytest

from valley.cluster.element import run_job
from valley.data.problems import Problem
from valley.evaluate.config import GradeConfig
from valley.evaluate.samples import Sample, Verdict, verdicts_digest
from valley.job import Job
from valley.job_file import identity_of, read_job, write_result
from valley.records import read_records, write_records
from valley.store import Store

PROBLEMS = [Problem(name, "t", name, [{"input": "", "output": "1"}]) for name in "ab"]
SAMPLES = [
    Sample(problem.id, index, 0, f"```python\nprint({index})\n```", "stop", 1, 1)
    for problem in PROBLEMS
    for index in range(2)
]


def job_of(root, kind, config, inputs, fill):
    """A job of a store, with the files that `fill` names in its folder."""
    ids = {role: job.identity for role, job in inputs.items()}
    job = Job(kind, identity_of(kind, config, ids), kind, config, inputs)
    folder = Store(root).lay(job, {})
    for name, records in fill.items():
        write_records(folder / name, records)
    write_result(read_job(folder), {}, {}, {})
    return job


@pytest.fixture
def grade(spaced):
    """The folders of a grade job and of its samples."""
    evaluation = job_of(spaced, "prepare", {"e": 1}, {}, {"evaluation.jsonl": PROBLEMS})
    samples = job_of(spaced, "generate", {"s": 1}, {}, {"samples.jsonl": SAMPLES})
    inputs = {"evaluation": evaluation, "samples": samples}
    config = GradeConfig(k=[1, 2]).model_dump(mode="json")
    identity = identity_of("grade", config, {role: job.identity for role, job in inputs.items()})
    store = Store(spaced)
    folder = store.lay(Job("grade", identity, "grade", config, inputs), {})
    return folder, store.folder("generate", samples.label, samples.identity)


def test_a_grade_job_leaves_verdicts_and_metrics(grade):
    folder, _ = grade
    assert run_job(folder) == "made"
    outcome = json.loads((folder / "result.json").read_text())["outcome"]
    assert (outcome["metrics"]["pass@1"], outcome["metrics"]["pass@2"]) == (0.5, 1.0)
    verdicts = read_records(folder / "verdicts.jsonl", Verdict)
    assert outcome["verdicts_digest"] == verdicts_digest(verdicts)
    assert outcome["by_month"] == {"unknown": {"problems": 2, "pass@1": 0.5}}


def test_a_grade_job_goes_on_where_it_was(grade):
    folder, _ = grade
    assert run_job(folder) == "made"
    (folder / "result.json").unlink()
    before = (folder / "verdicts.jsonl").stat()
    assert run_job(folder) == "made"
    assert (folder / "verdicts.jsonl").stat().st_ino == before.st_ino


def test_answers_generated_anew_are_graded_anew(grade):
    folder, samples = grade
    assert run_job(folder) == "made"
    (folder / "result.json").unlink()
    write_records(samples / "samples.jsonl", SAMPLES[::-1])
    assert run_job(folder) == "made"
    verdicts = read_records(folder / "verdicts.jsonl", Verdict)
    assert [(v.problem_id, v.index) for v in verdicts] == [("b", 1), ("b", 0), ("a", 1), ("a", 0)]
