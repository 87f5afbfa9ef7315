from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.errors import UserError
from valley.plan import Known, Plan, decide
from valley.preview import Cost, check_budget, cost_s, costs, total
from valley.sweep import load_sweep
from valley.throughput_model import Measured
from valley.trail import trail

GRID = """
name: test
students:
  tiny: {source: tiny, first_lessons: {batch_size: 16}}
  big: {source: folder, path: org/big, revision: 5f0b02c75b57c5855da9ae460ce51323ea669d8a, parameters_million: 7000}
data: {source: tiny, pool_traces: 5000}
train: {batch_size: 16}
generate: {profiles: {greedy: {}, sampled: {samples: 4}}}
stages: {1: {}, 2: {from: {size: 64}}}
grid:
  - {size: [0, 8, 64, 2000], seed: [0, 1], student: [tiny, big]}
  - {stage: 2, size: [0, 8], difficulty: [easy, all], train.steps: 30}
resources:
  train: {nodes: 2, tasks_per_node: 8, gpus_per_node: 8, cpus_per_task: 3}
  generate: {gpus_per_node: 1, pack: 3}
  grade: {pack: 4}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    path = tmp_path_factory.mktemp("a grid") / "grid.yaml"
    path.write_text(GRID)
    sweep, cells = load_sweep(path)
    return sweep, trail(sweep, cells)


def new(_):
    return Known("new")


def by_name(parts):
    return {part.name: part for part in parts}


@st.composite
def plans(draw, world):
    """A plan of which some is done, and some of that has lost its weights."""
    _, planned = world
    jobs = st.sets(st.sampled_from(planned.jobs))
    done, pruned = draw(jobs), draw(jobs)

    def known(job):
        if job not in done:
            return Known("new")
        return Known("done", pruned=job in pruned and job.kind == "train")

    return decide(planned, known)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_total_is_the_sum_of_its_parts_and_of_its_jobs(world, data):
    sweep, _ = world
    plan = data.draw(plans(world))
    parts = costs(plan, sweep)
    whole = total(parts)
    assert whole.jobs == len(plan.to_run) == sum(part.jobs for part in parts)
    for name in ("hours", "cpu_hours", "gpu_hours", "weights_bytes", "other_bytes"):
        assert math.isclose(
            getattr(whole, name), sum(getattr(p, name) for p in parts), abs_tol=1e-9
        )
        assert getattr(whole, name) >= 0
    # A plan in two halves costs as much as the whole.
    half = {d.job for d in plan.to_run[::2]}
    halves = [
        total(costs(Plan(plan.rows, [_unless(d, d.job in half) for d in plan.decisions]), sweep)),
        total(
            costs(Plan(plan.rows, [_unless(d, d.job not in half) for d in plan.decisions]), sweep)
        ),
    ]
    for name in ("hours", "gpu_hours", "weights_bytes"):
        both = sum(getattr(part, name) for part in halves)
        assert math.isclose(both, getattr(whole, name), rel_tol=1e-9, abs_tol=1e-9)


def _unless(decision, done):
    return replace(decision, action="done") if done else decision


@settings(max_examples=60, deadline=None)
@given(data=st.data(), budget=st.floats(0, 1e6), more=st.floats(0, 1e6))
def test_what_a_budget_allows_a_larger_one_allows(world, data, budget, more):
    parts = costs(data.draw(plans(world)), world[0])

    def allowed(hours):
        try:
            check_budget(parts, hours)
        except UserError:
            return False
        return True

    assert allowed(budget) == (total(parts).gpu_hours <= budget)
    assert allowed(budget + more) or not allowed(budget)


def test_hours_are_those_of_the_jobs_one_by_one_and_their_starts(world):
    sweep, planned = world
    plan = decide(planned, new)
    for part in costs(plan, sweep):
        of_kind = [d.job for d in plan.decisions if d.job.kind == part.kind]
        resources = getattr(sweep.resources, part.kind)
        seconds = sum(cost_s(job, sweep) for job in of_kind)
        seconds += 60 * len(of_kind) / resources.pack
        assert part.hours == pytest.approx(seconds / 3600)
        assert part.gpu_hours == pytest.approx(
            part.hours * resources.nodes * resources.gpus_per_node
        )
    train = by_name(costs(plan, sweep))["train"]
    assert train.cpu_hours == pytest.approx(train.hours * 2 * 8 * 3) and train.nodes == 2


def test_rebuilds_are_priced_apart_and_write_weights_alone(world):
    sweep, planned = world
    victim = next(j for j in planned.jobs if j.kind == "train" and "big-t1-n2000-seed1" in j.label)
    child = next(j for j in planned.jobs if victim in j.inputs.values())
    grade = next(j for j in planned.jobs if child in j.inputs.values())

    def known(job):
        return Known("new" if job in (child, grade) else "done", pruned=job == victim)

    parts = by_name(costs(decide(planned, known), sweep))
    assert list(parts) == ["rebuild train", "generate", "grade"]
    rebuild = parts["rebuild train"]
    assert rebuild.jobs == 1 and rebuild.other_bytes == 0
    assert rebuild.weights_bytes == 7e9 * 2  # bf16
    assert rebuild.gpu_hours == pytest.approx(16 * (cost_s(victim, sweep) + 60) / 3600)


def test_measured_speeds_replace_assumed_ones_and_each_line_says_which(world):
    sweep, planned = world
    plan = decide(planned, new)
    student = next(j.identity for j in planned.jobs if j.slot == "student" and "big" in j.label)
    # Twice as fast as assumed, on answers of half the tokens; none of the tiny student was measured.
    speed = 2 * 3000
    measured = {("generate", student, "another profile"): Measured(7, 100, speed * 50, 50)}
    before, after = costs(plan, sweep), costs(plan, sweep, measured)
    basis = by_name(after)["generate"].basis
    assert basis["big greedy"] == (
        "measured on 7 finished jobs: 6,000 tokens/s; assumed 8,000 tokens per answer"
    )
    assert basis["tiny greedy"].startswith("assumed 3,000 tokens/s")
    of_big = sum(
        cost_s(j, sweep) for j in planned.jobs if j.kind == "generate" and "big" in j.label
    )
    saved = by_name(before)["generate"].hours - by_name(after)["generate"].hours
    assert saved == pytest.approx(of_big / 2 / 3600)
    assert by_name(before)["train"] == by_name(after)["train"]


def test_a_measured_training_is_told_as_a_share_of_the_peak(world, tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    sweep, cells = load_sweep(path, ["preview={mfu: 0.5, peak_tflops: 1000}"])
    planned = trail(sweep, cells)
    plan = decide(planned, new)
    basis = by_name(costs(plan, sweep))["train"].basis
    assert basis["big"].startswith("assumed 500 TFLOP/s per rank (50.0% MFU of a peak of 1000)")
    student = next(j.identity for j in planned.jobs if j.slot == "student" and "big" in j.label)
    tokens_per_rank_s = 300e12 / (6 * 7e9)
    measured = {("train", student, "traces"): Measured(2, 10, 20000, 20000 / tokens_per_rank_s)}
    basis = by_name(costs(plan, sweep, measured))["train"].basis
    assert basis["big"] == (
        "measured on 2 finished jobs: 300 TFLOP/s per rank (30.0% MFU of a peak of 1000); "
        "measured 2,000 tokens per example"
    )


def test_mfu_needs_a_peak_and_older_keys_still_work(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    with pytest.raises(UserError, match="set peak_tflops, such as 989"):
        load_sweep(path, ["preview.mfu=0.4"])
    sweep, cells = load_sweep(path, ["preview.train_tflops=200"])
    plan = decide(trail(sweep, cells), new)
    said = by_name(costs(plan, sweep))["train"].basis["tiny"]
    assert said == "assumed 200 TFLOP/s per rank; assumed 8,000 tokens per example"


def test_arrays_are_counted_by_the_largest_that_is_allowed(world):
    sweep, planned = world
    plan = decide(planned, new)
    few, many = (by_name(costs(plan, sweep, max_elements=n))["train"] for n in (1000, 2))
    assert few.arrays < many.arrays and few.elements == many.elements == few.jobs


def test_the_refusal_says_what_is_asked_and_how_to_ask_for_less(world):
    parts = [Cost("train", gpu_hours=12.0), Cost("train", True, gpu_hours=2.5), Cost("grade")]
    with pytest.raises(UserError) as refused:
        check_budget(parts, 14)
    said = str(refused.value)
    assert "--budget 14: the plan asks for about 14.5 GPU-hours" in said
    assert "(train 12.0, rebuild train 2.5)" in said and "--where" in said
    check_budget(parts, 14.5)
    assert total(parts).gpu_hours == 14.5


def test_what_trainings_keep_to_resume_from_is_that_of_the_largest_that_run_at_once(world):
    sweep, planned = world
    plan = decide(planned, new)
    trainings = [d.job for d in plan.to_run if d.job.kind == "train"]
    big = [job for job in trainings if job.parameters == 7e9]
    tiny = [job for job in trainings if job.parameters != 7e9]
    # The old checkpoint beside the new one.
    each = {id(job): 2 * 12 * job.parameters for job in trainings}

    def kept(sweep=sweep, **rest):
        return by_name(costs(plan, sweep, **rest))["train"].resume_bytes

    assert kept() == pytest.approx(sum(each.values()))
    assert kept(at_once=2) == pytest.approx(2 * each[id(big[0])])
    assert kept(at_once=len(big) + 1) == pytest.approx(
        len(big) * each[id(big[0])] + each[id(tiny[0])]
    )
    throttled = replace_throttle(sweep, 1)
    arrays = by_name(costs(plan, throttled))["train"].arrays
    assert kept(throttled) == pytest.approx(min(arrays, len(big)) * each[id(big[0])])
    parts = costs(plan, sweep)
    assert total(parts).resume_bytes == kept()
    assert {part.name for part in parts if part.resume_bytes} == {"train"}


def replace_throttle(sweep, throttle):
    cluster = sweep.cluster.model_copy(update={"array_throttle": throttle})
    return sweep.model_copy(update={"cluster": cluster})


def test_no_answer_and_no_example_is_taken_to_be_longer_than_its_settings_allow(world, tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    capped = load_sweep(
        path,
        ["train.max_tokens=100", "generate.profiles.greedy.max_tokens=8", "train.too_long=drop"],
    )
    parts = {}
    for name, (sweep, planned) in (("as it is", world), ("capped", capped)):
        planned = planned if name == "as it is" else trail(sweep, planned)
        parts[name] = by_name(costs(decide(planned, new), sweep))
    assert parts["capped"]["train"].hours < parts["as it is"]["train"].hours
    assert "assumed 100 tokens (max_tokens) per example" in parts["capped"]["train"].basis["big"]
    said = " ".join(parts["capped"]["generate"].basis.values())
    assert "assumed 8 tokens (max_tokens) per answer" in said
    assert "assumed 8,000 tokens per answer" in said  # of the other profile
