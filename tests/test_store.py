from __future__ import annotations

import json

import pytest

from valley.errors import UserError
from valley.job import Job
from valley.job_file import identity_of, read_job, write_failure, write_result
from valley.records import write_json
from valley.store import Store

CONFIG = {"learning_rate": 1e-4, "seed": 0}
IDENTITY = identity_of("train", CONFIG, {})


def laid(root, config=CONFIG):
    store = Store(root)
    return store, read_job(store.lay(job_of("train", config), {"zero_stage": 0}))


def job_of(kind, config, inputs=None):
    inputs = inputs or {}
    identity = identity_of(kind, config, {role: job.identity for role, job in inputs.items()})
    return Job(kind, identity, "a-label", config, inputs)


def test_identity_is_of_content_alone():
    assert identity_of("train", dict(reversed(CONFIG.items())), {}) == IDENTITY
    assert identity_of("train", {**CONFIG, "seed": 1}, {}) != IDENTITY
    assert identity_of("grade", CONFIG, {}) != IDENTITY
    assert identity_of("train", CONFIG, {"init": "0" * 64}) != IDENTITY
    with pytest.raises(ValueError, match="JSON"):
        identity_of("train", {"learning_rate": float("nan")}, {})


def test_only_a_valid_result_means_done(spaced):
    store, job = laid(spaced)
    assert store.result("train", IDENTITY) is None
    (job.folder / "model").mkdir()
    assert store.result("train", IDENTITY) is None
    write_result(job, {"steps": 3}, {"wall_s": 1.0}, {})
    assert store.result("train", IDENTITY)["outcome"] == {"steps": 3}
    assert Store(spaced).result("train", IDENTITY[:16])["outcome"] == {"steps": 3}
    assert store.damaged == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace("steps", "st\udcffeps"),
        lambda text: text.replace("valley.result/1", "valley.result/9"),
        lambda text: text.replace(IDENTITY, "0" * 64),
        lambda text: text.replace('"outcome"', '"outcame"'),
    ],
)
def test_a_damaged_result_is_set_aside_and_named(spaced, damage):
    store, job = laid(spaced)
    write_result(job, {"steps": 3}, {}, {})
    path = job.folder / "result.json"
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))
    assert store.result("train", IDENTITY) is None
    assert len(store.damaged) == 1 and "set aside" in store.damaged[0]
    assert not path.exists()
    assert (job.folder / "result.json.damaged-1").exists()
    write_result(job, {"steps": 4}, {}, {})
    assert store.result("train", IDENTITY)["outcome"] == {"steps": 4}


def test_nothing_is_written_of_a_result_that_is_not_json(spaced):
    store, job = laid(spaced)
    with pytest.raises(ValueError):
        write_result(job, {"loss": float("nan")}, {}, {})
    assert store.result("train", IDENTITY) is None
    assert [p.name for p in job.folder.iterdir()] == ["job.json"]


def test_a_failure_is_forgotten_when_the_job_is_laid_again(spaced):
    store, job = laid(spaced)
    write_failure(job, "ValueError: no", "/some/log")
    assert store.failure("train", IDENTITY)["error"] == "ValueError: no"
    laid(spaced)
    assert store.failure("train", IDENTITY) is None


def test_a_failure_is_recorded_with_its_class_and_when_it_began(spaced):
    store, job = laid(spaced)
    write_json(job.folder / "running.json", {"began": 3.0, "host": "n1", "pid": 1})
    write_failure(job, "no luck", "/some/log", "Traceback (most recent call last):\nMemoryError")
    record = store.failure("train", IDENTITY)
    assert (record["failure"], record["line"]) == ("out_of_memory", "MemoryError")
    assert "resources.train.memory_gib" in record["action"]
    assert (record["began"], record["host"]) == (3.0, "n1") and record["ended"] > 3
    assert store.running("train", IDENTITY) is None


def test_a_job_is_found_whatever_label_it_was_made_with(spaced):
    _, job = laid(spaced)
    assert Store(spaced).folder("train", "another-label", IDENTITY) == job.folder


def test_inputs_are_paths_below_the_store(spaced):
    store, job = laid(spaced)
    child = job_of("generate", {}, {"model": job_of("train", CONFIG)})
    assert read_job(store.lay(child, {})).inputs == {"model": job.folder}


@pytest.mark.parametrize(
    ("found", "written"),
    [
        ('"learning_rate": 0.0001', '"learning_rate": 0.1'),
        ('"kind": "train"', '"kind": "grade"'),
        ('"config": {', '"config": 3, "was": {'),
        ('"inputs": {}', '"inputs": {"init": {"folder": "x"}}'),
        ('"execution"', '"extecution"'),
    ],
)
def test_a_job_file_that_was_edited_is_refused(spaced, found, written):
    _, job = laid(spaced)
    path = job.folder / "job.json"
    assert found in path.read_text()
    path.write_text(path.read_text().replace(found, written))
    with pytest.raises(UserError, match="edited or damaged; launch the sweep again"):
        read_job(path)


def test_who_only_looks_names_what_is_damaged_and_leaves_it(spaced):
    _, job = laid(spaced)
    path = job.folder / "result.json"
    path.write_text("{")
    store = Store(spaced, read_only=True)
    assert store.result("train", IDENTITY) is None
    assert "not counted" in store.damaged[0] and path.read_text() == "{"


def test_a_file_that_is_no_job_is_refused(spaced):
    path = spaced / "job.json"
    with pytest.raises(UserError, match="cannot be read"):
        read_job(path)
    path.write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        read_job(path)
    path.write_text(json.dumps({"schema": "valley.result/1"}))
    with pytest.raises(UserError, match=r"not a valley.job/1 file"):
        read_job(path)
