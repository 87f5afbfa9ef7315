from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
import torch
from sweeping import REPOSITORY

from valley.cluster.element import run_job
from valley.cluster.rendezvous import join_process_group, place
from valley.data.pack import row_count
from valley.data.prepared import Lesson, write_pool
from valley.data.problems import Problem
from valley.data.render import Chat
from valley.data.traces import Trace
from valley.evaluate.config import GradeConfig
from valley.failures import classify
from valley.job import Job
from valley.job_file import identity_of, read_job, write_result
from valley.records import digest, write_records
from valley.store import Store
from valley.student import load_tokenizer
from valley.student_config import TinyStudent
from valley.tiny_student import make_tiny
from valley.train.config import TrainConfig
from valley.train.loop import train

LESSONS = [Lesson(f"a b {i}", " c" * (2 + 3 * (i % 5))) for i in range(10)]
TEXTS = [(lesson.prompt, lesson.answer) for lesson in LESSONS]
RECIPE = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "precision": "fp32"}


def made(root, name, fill):
    """A job with a result, and what `fill` puts in its folder."""
    job = Job("prepare", identity_of("prepare", {"name": name}, {}), name, {"name": name}, {})
    folder = Store(root).lay(job, {})
    fill(folder)
    write_result(read_job(folder), {}, {}, {})
    return job


@pytest.fixture
def inputs(spaced):
    """A pool of ten lessons, of which two have 21 tokens each, and a random student."""
    student = TinyStudent(layers=1, hidden=16, intermediate=16, heads=2, seed=1)
    words = ["a b c 0 1 2 3 4 5 6 7 8 9"]
    return {
        "pool": made(spaced, "pool", lambda at: write_records(at / "lessons.jsonl", LESSONS)),
        "init": made(spaced, "init", lambda at: make_tiny(student, words, at / "model")),
    }


@pytest.fixture
def run(spaced, inputs):
    """Run a training job; returns its folder."""
    torch.set_num_threads(1)

    def run(seed=0, select="lessons", **recipe):
        config = {"train": {**RECIPE, **recipe}, "select": select, "seed": seed, "data_seed": 0}
        ids = {role: job.identity for role, job in inputs.items()}
        job = Job("train", identity_of("train", config, ids), "t", config, inputs)
        folder = Store(spaced).lay(job, {})
        run_job(folder)
        return folder

    # The process group stays open: DeepSpeed keeps hold of the first that a process has.
    return run


def outcome(folder):
    return json.loads((folder / "result.json").read_text())["outcome"]


def test_training_through_the_cache_is_bit_identical_and_tokenises_once(
    run, spaced, inputs, monkeypatch
):
    first = run()
    join_process_group(place())
    start = read_job(first).inputs["init"] / "model"
    plain = Chat(load_tokenizer(start)).documents(TEXTS)
    train(
        plain,
        start,
        spaced / "plain",
        TrainConfig.model_validate(RECIPE),
        steps=5,
        seed=0,
        log=spaced / "log.jsonl",
    )
    weights = "model.safetensors"
    assert (first / "model" / weights).read_bytes() == (spaced / "plain" / weights).read_bytes()
    assert outcome(first)["subset_digest"] == digest(TEXTS)

    def never(self, pairs):
        raise AssertionError("tokenised again")

    monkeypatch.setattr(Chat, "documents", never)
    assert outcome(run(seed=1))["examples"] == 10
    assert len(list((spaced / "cache" / "tokens").glob("??/*"))) == 1


def test_other_trainings_on_the_same_traces_read_none_of_them(run, inputs, spaced):
    def fill(folder):
        problem = Problem("p", "mine", "a b", [{"input": "", "output": ""}])
        traces = [Trace(f"t{i}", "p", "a b", f"c {i}", True) for i in range(9)]
        write_pool(folder, [problem], traces, [], GradeConfig(), 1)

    inputs["pool"] = made(spaced, "traces", fill)
    chosen = {"size": 6, "difficulty": "all", "correctness": "all"}
    first = run(select=chosen)
    said = json.loads((first / "subset.json").read_text())
    assert len(said["ids"]) == outcome(first)["examples"] == 6
    assert said["texts_digest"] == outcome(first)["subset_digest"]
    (read_job(first).inputs["pool"] / "traces.jsonl").unlink()
    second = run(seed=1, select=chosen)
    assert outcome(second)["subset_digest"] == said["texts_digest"]
    assert json.loads((second / "subset.json").read_text()) == said


@pytest.mark.parametrize(
    ("recipe", "examples", "too_long"),
    [
        ({}, 10, 0),
        ({"max_tokens": 20}, 8, 2),
        ({"max_tokens": 20, "too_long": "keep"}, 10, 2),
        ({"max_tokens": 21, "too_long": "error"}, 10, 0),
    ],
)
def test_examples_that_are_too_long_are_dropped_or_kept_and_counted(
    run, recipe, examples, too_long
):
    done = outcome(run(**recipe))
    assert (done["examples"], done["examples_too_long"]) == (examples, too_long)
    # Dropped examples do not shorten a training whose steps the plan has stated.
    assert done["steps"] == 5


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            {"max_tokens": 20, "too_long": "error"},
            "2 of 10 examples have more than 20 tokens (train.max_tokens); the longest has 21; raise "
            "it, or set train.too_long to drop or keep",
        ),
        (
            {"max_tokens": 8},
            "none of 10 examples has at most 8 tokens (train.max_tokens); the longest has 21",
        ),
    ],
)
def test_examples_that_are_too_long_are_refused(run, recipe, message):
    folder = run(**recipe)
    assert message in json.loads((folder / "failed.json").read_text())["error"]


def test_examples_beyond_what_the_student_was_made_for_are_refused(run, inputs, spaced):
    def fill(folder):
        student = TinyStudent(layers=1, hidden=16, intermediate=16, heads=2, seed=1)
        make_tiny(student, ["a b c 0 1 2 3 4 5 6 7 8 9"], folder / "model")
        path = folder / "model" / "config.json"
        short = {**json.loads(path.read_text()), "max_position_embeddings": 20}
        path.write_text(json.dumps(short))

    inputs["init"] = made(spaced, "short", fill)
    said = json.loads((run() / "failed.json").read_text())["error"]
    assert said.startswith(
        "2 of 10 examples have more than the 20 tokens that the student was made"
    )
    assert outcome(run(max_tokens=20))["examples"] == 8


def test_an_epochs_rows_are_those_of_the_examples_that_are_kept(run, inputs):
    """Each that is dropped would have been a row of its own, and made all others be seen more often."""
    folder = run(max_tokens=20, packing="epoch", batch_size=1)
    chat = Chat(load_tokenizer(read_job(folder).inputs["init"] / "model"))
    kept = [d for d in chat.documents(TEXTS) if len(d.tokens) <= 20]
    assert len(kept) == 8
    assert outcome(folder)["steps"] == 2 * row_count(kept, 20)


def test_no_group_of_ranks_gives_up_before_the_watchdog(run):
    """DeepSpeed's own neither, which reduces the gradients."""
    from torch.distributed import distributed_c10d as c10d

    run()
    backends = [group._get_backend(torch.device("cpu")) for group in c10d._world.pg_map]
    assert len(backends) > 1
    assert all(backend.options._timeout > timedelta(days=30) for backend in backends)


def test_tokenising_is_told(run, caplog):
    caplog.set_level(logging.INFO, logger="valley.data.tokens")
    run()
    assert "tokenised 10 of 10 examples" in caplog.text


CONTROLLER = """
import os, subprocess, sys
env = {**os.environ, "SUBMITIT_LOCAL_NTASKS": "2", "SUBMITIT_LOCAL_JOB_ID": str(os.getpid())}
ranks = [
    subprocess.Popen([sys.executable, *sys.argv[1:]], env={**env, "SUBMITIT_LOCAL_GLOBALID": str(n)})
    for n in range(2)
]
print(*(rank.pid for rank in ranks), flush=True)
print(*(rank.wait() for rank in ranks), flush=True)
"""


def test_a_rank_that_is_stuck_ends_its_job_and_the_failure_says_so(spaced, inputs):
    """One that does not even answer signals, so that the other must end both."""
    recipe = {"train": {**RECIPE, "steps": 100_000}, "select": "lessons", "seed": 0, "data_seed": 0}
    ids = {role: job.identity for role, job in inputs.items()}
    job = Job("train", identity_of("train", recipe, ids), "t", recipe, inputs)
    folder = Store(spaced).lay(job, {"micro_batch_size": 2, "stuck_after_s": 5})
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, "jobs/train.py", str(folder)],
        cwd=REPOSITORY,
        env=env,
        stdout=subprocess.PIPE,
        stderr=(spaced / "log").open("w"),
        text=True,
    )
    assert controller.stdout is not None
    second = int(controller.stdout.readline().split()[1])
    log = folder / "log.jsonl"
    deadline = time.monotonic() + 90
    while not (log.exists() and log.stat().st_size):
        assert controller.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(second, signal.SIGSTOP)
    assert controller.communicate(timeout=120)[0].split() == ["1", str(-signal.SIGKILL)]
    failure = json.loads((folder / "failed.json").read_text())["error"]
    assert failure.startswith("stuck: no progress for 5 s (train.stuck_after_s) after step ")
    assert classify(failure, job="train").kind == "stuck"
    assert "Timeout (0:00:05)!" in (spaced / "log").read_text()
