from __future__ import annotations

import json
from pathlib import Path

import pytest

from valley.checkout import circumstances, commit_of
from valley.errors import UserError
from valley.job_file import NOTES, read_job, write_result
from valley.lock import Locks, launch_notes, read_locked
from valley.records import canonical_json
from valley.store import Store
from valley.sweep import load_sweep
from valley.trail import trail
from valley.yaml_faults import write_yaml

GRID = """
name: test
students:
  tiny: {source: tiny, first_lessons: {batch_size: 16}}
  other: {source: tiny, seed: 4}
data: {source: tiny, pool_traces: 1000}
train: {batch_size: 16}
generate: {profiles: {greedy: {}, sampled: {samples: 4, temperature: 0.6}}}
stages: {1: {}, 2: {from: {size: 64}}, 3: {from: {stage: 1, size: 16}}, 9: {from: {stage: 2, size: 8}}}
grid:
  - {size: [0, 8, 64], student: [tiny, other]}
  - {stage: [2, 9], size: [0, 8], difficulty: [easy, all], train.steps: [3, 5]}
  - {stage: 3, size: 8, train.adam_betas: [[0.9, 0.95]], data.data_seed: 7, grade.wall_limit_factor: 9}
  - {size: 8, generate.batch_size: 3, generate.profiles.sampled.temperature: [0.8, 1.0]}
"""


def planned(path, settings=()):
    sweep, cells = load_sweep(path, list(settings))
    return sweep, trail(sweep, cells)


@pytest.fixture
def world(spaced):
    (spaced / "grid.yaml").write_text(GRID)
    return planned(spaced / "grid.yaml")


def unlocked(folder, lock):
    """The trail of a lock, as it comes back from a result file."""
    path = folder / "lock.yaml"
    path.write_text(write_yaml(json.loads(json.dumps(lock))))
    return planned(path)[1]


def test_every_job_is_planned_by_its_own_lock(world, spaced):
    sweep, whole = world
    locks = Locks(sweep, whole.rows)
    made = {}
    for job in whole.jobs:
        lock = locks.of(job)
        text = canonical_json(lock)
        if text not in made:
            made[text] = unlocked(spaced, lock)
            assert len(made[text].rows) == 1, "one cell and one profile"
        assert job in made[text].jobs, job.label
    assert len(made) >= len({id(row.cell) for row in whole.rows})


def test_locks_of_conditional_settings_keep_what_conditions_name(spaced):
    when = """when:
  - {if: {student: other}, set: {train.learning_rate: 1.0e-4}}
  - {if: {stage: 2}, set: {generate.profiles.sampled.samples: 2}}
"""
    (spaced / "grid.yaml").write_text(GRID + when)
    sweep, whole = planned(spaced / "grid.yaml")
    locks = Locks(sweep, whole.rows)
    for row in whole.rows:
        again = unlocked(spaced, locks.of(row.grade))
        assert row.grade in again.jobs and len({id(r.cell) for r in again.rows}) == 1


def test_a_lock_keeps_the_samples_of_a_cell_that_a_condition_gives_one_round(spaced):
    rounds = GRID.replace("sampled: {samples: 4,", "sampled: {samples: 4, rounds: 2,")
    when = "when:\n  - {if: {stage: [1, 2, 3, 9]}, set: {generate.profiles.sampled.rounds: 1}}\n"
    (spaced / "grid.yaml").write_text(rounds + when)
    sweep, whole = planned(spaced / "grid.yaml")
    locks = Locks(sweep, whole.rows)
    for row in whole.rows:
        assert row.grade in unlocked(spaced, locks.of(row.grade)).jobs


def test_a_profile_that_is_used_by_no_row_keeps_its_rounds(spaced):
    rounds = GRID.replace("sampled: {samples: 4,", "sampled: {samples: 4, rounds: 2,")
    when = "when:\n  - {if: {student: other}, set: {train.learning_rate: 1.0e-4}}\n"
    (spaced / "grid.yaml").write_text(rounds + when)
    sweep, whole = planned(spaced / "grid.yaml")
    rows = [row for row in whole.rows if row.profile == "greedy"]
    profiles = Locks(sweep, rows).of(rows[0].grade)["generate"]["profiles"]
    assert profiles["sampled"]["rounds"] == 2


def test_a_lock_is_one_cell_with_every_default_filled_in(world):
    sweep, whole = world
    row = next(row for row in whole.rows if row.cell.axes["stage"] == 9)
    lock = Locks(sweep, whole.rows).of(row.grade)
    assert len(lock["grid"]) == 1 and lock["grid"][0].items() <= row.cell.axes.items()
    assert list(lock["students"]) == ["tiny"] and list(lock["stages"]) == ["1", "2", "9"]
    assert list(lock["generate"]["profiles"]) == [row.profile]
    assert lock["train"]["learning_rate"] == 8e-5 and lock["resources"]["grade"]["pack"] == 1


@pytest.mark.parametrize("name", ["grid.yaml"])
def test_grids_that_ship_are_locked(name, spaced):
    sweep, whole = planned(Path(__file__).parent.parent / "sweeps" / name)
    locks = Locks(sweep, whole.rows)
    for row in whole.rows[::9]:
        assert unlocked(spaced, locks.of(row.grade)).rows[0].grade == row.grade


def test_locks_of_a_thousand_jobs_cost_little_and_are_small(cpu_s):
    path = Path(__file__).parent.parent / "sweeps" / "grid.yaml"
    sweep, whole = planned(path, ["seed={range: [0, 20, 1]}"])
    began = cpu_s()
    notes = launch_notes(sweep, whole.rows, circumstances, lambda job: 1.0)
    texts = [canonical_json(notes(job)) for job in whole.jobs[:1000]]
    assert len(texts) == 1000 and cpu_s() - began < 0.3
    assert max(map(len, texts)) < 5000  # each setting of a recipe takes some 25 characters


def test_a_result_carries_what_its_launch_noted(world, spaced):
    sweep, whole = world
    store = Store(spaced)
    store.notes = launch_notes(sweep, whole.rows, lambda: {"host": "login1"}, lambda job: 7.0)
    for job in (row := whole.rows[-1]).grade.inputs.values():
        store.lay(job, {})
    file = read_job(store.lay(row.grade, {}))
    assert set(file.notes) == set(NOTES)
    write_result(file, {"counts": []}, {"wall_s": 1.0}, {"device": "cpu"})
    locked = read_locked(file.folder)
    assert locked.result["cost"] == {"wall_s": 1.0, "estimated_s": 7.0}
    assert locked.result["provenance"] == {"device": "cpu", "launched": {"host": "login1"}}
    assert locked.result["config"] == row.grade.config
    places = locked.result["inputs"]
    assert (
        places["samples"].startswith("generate/")
        and (spaced / "store" / places["samples"]).is_dir()
    )
    assert unlocked(spaced, locked.document).rows[0].grade == row.grade
    assert locked.document["name"] == f"test-from-{row.grade.identity[:8]}"


BAD = {
    "missing": (None, "cannot be read"),
    "no JSON": ("{", "not JSON"),
    "no result": ('{"schema": "valley.job/1"}', "not a valley.result/1 file"),
    "of an earlier version": (
        '{"schema": "valley.result/1", "identity": "ab"}',
        r"carries no lock: it was made by a version before locks.*sweep\.yaml",
    ),
}


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD.keys())
def test_what_is_no_result_with_a_lock_is_refused_in_one_sentence(spaced, text, message):
    if text:
        (spaced / "result.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_locked(spaced / "result.json")


def test_a_folder_without_git_has_no_commit(spaced):
    assert commit_of(spaced) is None
    (spaced / ".git").mkdir()  # and is no repository either
    assert commit_of(spaced) is None
