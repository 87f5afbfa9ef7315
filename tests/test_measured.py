from __future__ import annotations

import pytest

from valley import measured
from valley import spent as spending
from valley.job_file import read_job, write_result
from valley.measured import measure
from valley.plan import decide
from valley.records import digest
from valley.spent import Spent, measured_against_estimated
from valley.state import knowledge
from valley.store import Store
from valley.sweep import load_sweep
from valley.throughput_model import Measured
from valley.trail import trail

GRID = """
name: test
students: {tiny: {source: tiny, first_lessons: {batch_size: 32}}}
data: {source: tiny, pool_traces: 1000}
train: {batch_size: 16}
stages: {1: {}, 2: {from: {size: 64}}}
grid:
  - {size: [0, 8, 64]}
  - {stage: 2, size: 8}
"""


class World:
    """A store in which the jobs of one sweep may be finished."""

    def __init__(self, folder):
        self.folder, self.store = folder, Store(folder / "runs")
        self.sweep, self.planned = self.plan_of([])
        self.student = next(j.identity for j in self.planned.jobs if j.slot == "student")

    def plan_of(self, settings):
        path = self.folder / "grid.yaml"
        path.write_text(GRID)
        sweep, cells = load_sweep(path, settings)
        return sweep, trail(sweep, cells)

    def finish(self, *kinds, device="cpu", estimated_s=5.0):
        outcomes = {
            # 100 tokens per example; 1,000 a second over 2 ranks.
            "train": lambda job: {
                "tokens": 100 * job.steps * job.config["train"]["batch_size"],
                "steps": job.steps,
                "tokens_per_s": 1000.0,
                "model": "model",
            },
            "generate": lambda job: {"samples": 300, "completion_tokens": 15000},
            "grade": lambda job: {"counts": [[1, 0]] * 300},
            "prepare": lambda job: {"model": "model"} if job.slot == "student" else {},
        }
        for job in self.planned.jobs:
            if job.kind in kinds:
                self.store.notes = lambda job: {"estimated_s": estimated_s}
                file = read_job(self.store.lay(job, {}))
                (file.folder / "model").mkdir(exist_ok=True)
                cost = {"wall_s": 10.0, "ranks": 2}
                write_result(file, outcomes[job.kind](job), cost, {"device": device})

    def measure(self, *settings):
        sweep, planned = self.plan_of(list(settings))
        self.store.refresh()
        return measure(decide(planned, knowledge(self.store, [])), sweep, self.store)


@pytest.fixture
def world(spaced):
    return World(spaced)


def test_finished_jobs_of_the_student_are_measured_whatever_sweep_they_are_of(world):
    assert world.measure() == {}
    world.finish("prepare", "train", "generate")
    # The cells' own jobs are done; those of other seeds and a changed grader are not.
    found = world.measure("seed=[0,1]", "grade.k=[1]")
    steps = {"lessons": 0, "traces": 0}
    for job in world.planned.jobs:
        if job.kind == "train":
            steps[job.slot or "traces"] += job.steps
    for detail, batch in {"lessons": 32, "traces": 16}.items():
        count = steps[detail] * batch
        assert found["train", world.student, detail] == Measured(
            {"lessons": 1, "traces": 3}[detail],
            count,
            100 * count,
            pytest.approx(100 * count / 1000 * 2),
        )
    profile = next(job.config for job in world.planned.jobs if job.kind == "generate")
    assert found["generate", world.student, digest(profile)] == Measured(4, 1200, 60000, 40.0)
    assert ("grade", world.student, "") not in found, "none is finished"


def test_kinds_that_nothing_is_to_run_of_are_not_read(world):
    world.finish("prepare", "train", "generate", "grade")
    assert world.measure() == {}
    assert {kind for kind, *_ in world.measure("grade.output_limit_kib=99")} == {"grade"}


def test_another_students_jobs_and_other_devices_do_not_count(world):
    world.finish("prepare", "train", "generate", device="NVIDIA H100")
    assert world.measure("seed=1") == {}
    asked = "resources={train: {gpus_per_node: 1}, generate: {gpus_per_node: 1}}"
    assert {kind for kind, *_ in world.measure("seed=1", asked)} == {"train", "generate"}
    students = {s for _, s, _ in world.measure("seed=1", asked, "students.tiny.seed=5")}
    assert students == {world.student}, "found, and of no use to the other student"


def test_results_that_tell_something_else_are_passed_over(world):
    world.finish("prepare", "train")
    path = next(world.store.root.glob("store/train/*/*n64*/result.json"))
    path.write_text(path.read_text().replace('"tokens_per_s"', '"speed"'))
    (next(world.store.root.glob("store/train/*/*t1-n8*/job.json"))).write_text("{")
    assert world.measure("seed=1")["train", world.student, "traces"].jobs == 1


def test_measured_against_estimated(world):
    world.finish("train", "generate", estimated_s=5.0)
    places = [
        str(world.store.folder(j.kind, j.label, j.identity).relative_to(world.store.path))
        for j in world.planned.jobs
    ]
    found = measured_against_estimated(world.store, places * 2)
    assert set(found) == {"train", "generate"}, "what is not finished is not told"
    assert found["train"] == Spent(4, 20 / 3600, 40 / 3600) and found["train"].ratio == 2.0
    assert Spent(1, 0.0, 1.0).ratio is None


def test_of_many_jobs_some_are_read(world, monkeypatch):
    monkeypatch.setattr(measured, "MOST_READ", 2)
    monkeypatch.setattr(spending, "MOST_READ", 2)
    world.finish("prepare", "train", "generate", "grade")
    places = [
        str(world.store.folder(j.kind, j.label, j.identity).relative_to(world.store.path))
        for j in world.planned.jobs
    ]
    found = measured_against_estimated(world.store, places)
    assert {kind: spent.jobs for kind, spent in found.items()}["train"] == 2
    assert sum(m.jobs for (kind, *_), m in world.measure("seed=1").items() if kind == "train") == 2
