from __future__ import annotations

import pytest

from valley.drift import counterpart, drift
from valley.job_file import read_job, write_result
from valley.lock import launch_notes, read_locked
from valley.store import Store
from valley.sweep import load_sweep
from valley.trail import trail

GRID = """
name: test
students:
  tiny: {source: tiny, first_lessons: {batch_size: 16}}
data: {source: tiny, pool_traces: 1000}
train: {batch_size: 16}
stages: {1: {}, 2: {from: {size: 64}}}
grid:
  - {stage: 2, size: 8}
"""


def planned(folder, settings=()):
    (folder / "grid.yaml").write_text(GRID)
    sweep, cells = load_sweep(folder / "grid.yaml", list(settings))
    return sweep, trail(sweep, cells)


@pytest.fixture
def locked(spaced):
    """The grading of the grid's one cell, done, with everything that it rests on laid."""
    sweep, whole = planned(spaced)
    store = Store(spaced)
    store.notes = launch_notes(sweep, whole.rows, dict, lambda job: 1.0)
    folders = [store.lay(job, {}) for job in whole.jobs]
    file = read_job(folders[whole.jobs.index(whole.rows[0].grade)])
    write_result(file, {"counts": []}, {}, {"versions": {"numpy": "0.1", "vllm": "9"}})
    return read_locked(file.folder)


def said(locked, folder, *settings):
    return drift(locked, planned(folder, settings)[1])


def test_what_is_equal_is_not_named(locked, spaced):
    lines = said(locked, spaced)
    assert not [line for line in lines if "then," in line and "train" in line]
    assert any(line.startswith("code: snapshot None then") for line in lines)
    assert any(line.startswith("numpy: 0.1 then") for line in lines)
    assert "vllm: 9 then, not installed today" in lines


def test_a_difference_is_named_where_it_lies(locked, spaced):
    lines = said(locked, spaced, "train.learning_rate=1.0e-3")
    # Both the cell's own training and the one that it starts from, each once.
    own = "train tiny-t2-n8-seed0: train.learning_rate: 8e-05 then, 0.001 today"
    assert own in lines and own.replace("t2-n8", "t1-n64") in lines
    assert len(lines) == len(said(locked, spaced)) + 2
    lines = said(locked, spaced, "data.pool_traces=1001", "grade.output_limit_kib=99")
    assert "prepare tiny-world-pool: pool.pool_traces: 1000 then, 1001 today" in lines
    assert "grade output_limit_kib: 16384 then, 99 today" in lines
    assert not [line for line in lines if "evaluation" in line]


def test_without_the_store_what_is_known_is_told(locked, spaced):
    alone = spaced / "result.json"
    alone.write_text(locked.path.read_text())
    lines = said(read_locked(alone), spaced, "data.evaluation_problems=7", "grade.k=[1]")
    assert any(line.startswith("evaluation (prepare tiny-world-evaluation)") for line in lines)
    assert not [line for line in lines if line.startswith("grade ")]


def test_the_counterpart_of_a_job_is_found_by_what_it_is(locked, spaced):
    _, whole = planned(spaced, ["train.learning_rate=1.0e-3", "data.data_seed=3"])
    before = {job.label: job for job in planned(spaced)[1].jobs}
    for job in before.values():
        result = {"identity": "0" * 64, "kind": job.kind, "label": job.label, "config": job.config}
        assert counterpart(result, whole.jobs).label == job.label
        assert counterpart({**result, "label": "renamed"}, whole.jobs).slot == job.slot
