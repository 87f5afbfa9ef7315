from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from valley.cluster.config import MoreResources, Resources, ResourcesByKind, RetryPolicy
from valley.errors import UserError
from valley.job_file import JOB_SCHEMA, identity_of
from valley.plan import Known, decide
from valley.pool_check import Pool, check_pool
from valley.records import digest
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
  - {size: [0, 8, 64]}
  - {stage: 2, size: [0, 8], difficulty: [easy, all]}
"""


@pytest.fixture
def make(spaced):
    def make(settings=(), text=GRID):
        path = spaced / "grid.yaml"
        path.write_text(text)
        return trail(*load_sweep(path, list(settings)))

    return make


def new(_):
    return Known("new")


def identities(jobs, kind):
    return {job.identity for job in jobs if job.kind == kind}


def test_cells_that_share_a_prefix_share_jobs(make):
    planned = make()
    rows, jobs = planned.rows, planned.jobs
    # lessons, 8 and 64 at stage 1, 8 easy and 8 all at stage 2
    assert len(identities(jobs, "train")) == 5
    stage1 = {r.cell.axes["size"]: r for r in rows if r.cell.axes["stage"] == 1}
    stage2 = {r.cell.axes["size"]: r for r in rows if r.cell.axes["stage"] == 2}
    assert stage2[0].grade == stage1[64].grade
    assert stage2[8].train.inputs["init"] == stage1[64].train
    assert stage1[0].train is None
    assert stage1[0].generate.inputs["model"].slot == "lessons"


def test_parents_come_before_children(make):
    jobs = make().jobs
    place = {job.identity: i for i, job in enumerate(jobs)}
    for job in jobs:
        assert all(place[parent.identity] < place[job.identity] for parent in job.parents)


def test_how_a_job_runs_is_no_part_of_what_it_is(make):
    before = make().jobs
    after = make(
        [
            "train.zero_stage=3",
            "train.micro_batch_size=2",
            "resources.train.nodes=2",
            "resources.grade.memory_gib=7",
            "cluster.partition=gpu",
            "name=other",
        ]
    ).jobs
    assert {job.identity for job in before} == {job.identity for job in after}


@pytest.mark.parametrize(
    ("setting", "touched"),
    [
        ("train.learning_rate=1e-3", {"train": 4, "generate": 4, "grade": 4}),
        ("generate.profiles={greedy: {max_tokens: 7}}", {"generate": 5, "grade": 5}),
        ("grade.wall_limit_factor=9", {"grade": 5}),
        ("grade.sandbox=rlimits", {"grade": 5}),
        ("data.evaluation_problems=7", {"prepare": 2, "generate": 5, "grade": 5}),
        ("data.pool_traces=2000", {"prepare": 3, "train": 5, "generate": 5, "grade": 5}),
        ("data.data_seed=9", {"prepare": 4, "train": 5, "generate": 5, "grade": 5}),
        ("seed=1", {"train": 4, "generate": 4, "grade": 4}),
    ],
)
def test_a_changed_recipe_changes_what_it_touches_and_nothing_else(make, setting, touched):
    before = make().jobs
    after = make([setting]).jobs
    known = {job.identity for job in before}
    changed = [job.kind for job in after if job.identity not in known]
    assert {kind: changed.count(kind) for kind in set(changed)} == touched


def test_decisions(make):
    planned = make()
    plan = decide(planned, new)
    assert len(plan.with_action("submit")) == len(planned.jobs)
    plan = decide(planned, lambda job: Known("done"))
    assert len(plan.with_action("done")) == len(planned.jobs)


def test_a_parent_is_not_run_when_all_that_needs_it_is_done(make):
    planned = make()
    graded = {row.grade.identity for row in planned.rows}
    plan = decide(planned, lambda j: Known("done" if j.identity in graded else "new"))
    assert not plan.with_action("submit")


def test_a_failure_blocks_its_children_alone_until_it_is_retried(make):
    planned = make()
    failed = next(
        job
        for job in planned.jobs
        if job.kind == "train" and "n8-seed0" in job.label and "t1" in job.label
    )

    def known(job):
        return Known("failed", "ValueError: no", "a.log") if job == failed else Known("new")

    plan = decide(planned, known)
    assert [d.job for d in plan.with_action("failed")] == [failed]
    assert plan.with_action("failed")[0].log == "a.log"
    assert {d.job.kind for d in plan.with_action("blocked")} == {"generate", "grade"}
    assert len(plan.with_action("blocked")) == 2
    again = decide(planned, known, frozenset({"failed"}))
    assert not again.with_action("failed", "blocked")
    assert "ValueError" in next(d.reason for d in again.decisions if d.job == failed)


def test_live_jobs_are_waited_for_and_lost_ones_are_named(make):
    planned = make()
    states = {"prepare": Known("running", "job 7_0"), "train": Known("lost", "gone")}
    plan = decide(planned, lambda job: states.get(job.kind, Known("new")))
    assert {d.job.kind for d in plan.with_action("wait")} == {"prepare"}
    # A training whose parent is lost is blocked rather than lost: the parent comes first.
    assert plan.with_action("lost") and plan.with_action("blocked")
    again = decide(planned, lambda job: states.get(job.kind, Known("new")), frozenset({"lost"}))
    assert not again.with_action("lost", "blocked")


POLICY = RetryPolicy(preemptions=2)
RESOURCES = ResourcesByKind(
    train=Resources(on_out_of_memory=MoreResources(memory_gib=64)), generate=Resources()
)


@pytest.mark.parametrize(
    ("kind", "failure", "made", "again"),
    [
        ("train", "node_failure", 99, "retry 100)"),
        ("train", "preempted", 1, "retry 2 of 2)"),
        ("train", "preempted", 2, None),
        ("train", "time_out", 2, "retry 3 of 3)"),
        ("train", "time_out", 3, None),
        ("prepare", "time_out", 0, None),  # it would start over, and run into its limit again
        ("train", "out_of_memory", 0, "retry 1 of 1)"),
        ("train", "out_of_memory", 1, None),
        ("generate", "out_of_memory", 0, None),  # nothing named to give it
        ("grade", "infrastructure", 0, "retry 1 of 1)"),
        ("grade", "infrastructure", 1, None),
        ("train", "code_error", 0, None),
        ("train", "data_missing", 0, None),
        ("train", "disk_full", 0, None),
        ("train", "unknown", 0, None),
    ],
)
def test_each_class_of_failure_has_a_budget(make, kind, failure, made, again):
    job = next(j for j in make().jobs if j.kind == kind and j.slot != "lessons")

    def known(other):
        if other != job:
            return Known("done" if other.kind == "prepare" else "new")
        retries = {failure: made, "other": 9}
        return Known("failed", "it broke", failure=failure, retries=retries)

    plan = decide(make(), known, policy=POLICY, resources=RESOURCES)
    found = next(d for d in plan.decisions if d.job == job)
    assert found.action == ("failed" if again is None else "submit")
    if again is not None:
        assert again in found.reason and found.reason.endswith("after: it broke")
    assert found.raised == (again is not None and failure == "out_of_memory")
    # Without a policy nothing is tried again by itself.
    alone = decide(make(), known)
    assert next(d for d in alone.decisions if d.job == job).action == "failed"


def test_what_the_job_itself_gave_up_is_not_tried_again_by_itself(make):
    planned = make()
    job = next(j for j in planned.jobs if j.kind == "train")
    given_up = Known("failed", "stopped at its time limit 4 times", failure="time_out")
    for is_final, action in ((True, "failed"), (False, "submit")):
        said = replace(given_up, is_final=is_final)
        plan = decide(
            planned,
            lambda j, s=said: s if j == job else Known("new"),
            frozenset(),
            POLICY,
            RESOURCES,
        )
        assert next(d for d in plan.decisions if d.job == job).action == action
    plan = decide(planned, lambda j: said if j == job else Known("new"), frozenset({"timeout"}))
    assert next(d for d in plan.decisions if d.job == job).action == "submit"


@pytest.mark.parametrize(
    ("named", "submitted"),
    [
        ({"failed"}, {"code_error", "out_of_memory", "time_out"}),
        ({"lost"}, {""}),
        ({"timeout"}, {"time_out"}),
        ({"oom"}, {"out_of_memory"}),
        ({"oom", "lost"}, {"out_of_memory", ""}),
        ({"all"}, {"code_error", "out_of_memory", "time_out", ""}),
    ],
)
def test_retry_names_exactly_what_is_submitted_again_whatever_the_budget(make, named, submitted):
    planned = make(["grid=[{size: [1, 2, 4, 8]}]"])
    trains = [j for j in planned.jobs if j.kind == "train" and j.slot != "lessons"]
    failures = dict(zip(trains, ["code_error", "out_of_memory", "time_out", ""], strict=True))

    def known(job):
        if job not in failures:
            return Known("done" if job.kind in ("prepare", "train") else "new")
        spent = {failures[job]: 99}
        state = "failed" if failures[job] else "lost"
        return Known(state, "no", failure=failures[job], retries=spent)

    plan = decide(planned, known, frozenset(named), POLICY, RESOURCES)
    again = {d.failure for d in plan.with_action("submit") if d.job in failures}
    assert again == submitted
    left = {d.job for d in plan.with_action("failed", "lost")}
    assert len(left) == len(trains) - len(submitted)


def test_what_once_ran_out_of_memory_keeps_what_it_was_given(make):
    planned = make()
    job = next(j for j in planned.jobs if j.kind == "train")

    def known(other):
        return Known("new", retries={"out_of_memory": 1}) if other == job else Known("new")

    plan = decide(planned, known, policy=POLICY, resources=RESOURCES)
    assert plan.raised == {job.identity}


def test_pruned_weights_are_rebuilt_for_a_child_that_is_to_run_and_for_no_other(make):
    planned = make()
    stage2 = next(row for row in planned.rows if "t2-n8-easy" in row.cell.label)
    undone = {stage2.generate, stage2.grade}

    def known(job):
        pruned = job.kind == "train" or job.slot == "student"
        return Known("new" if job in undone else "done", pruned=pruned)

    plan = decide(planned, known)
    # Its own training, and whatever that rests on: their weights are gone too.
    rebuilt = {d.job.label: d.reason for d in plan.with_action("rebuild")}
    assert list(rebuilt) == [
        "tiny",
        "tiny-first-lessons",
        "tiny-t1-n64-seed0",
        "tiny-t2-n8-easy-seed0",
    ]
    assert rebuilt["tiny-t2-n8-easy-seed0"] == (
        "weights were pruned, and generate tiny-t2-n8-easy-seed0-greedy needs them"
    )
    assert {d.job for d in plan.with_action("submit")} == undone
    assert len(plan.to_run) == 6
    undone.clear()
    assert not decide(planned, known).to_run


def test_a_rebuild_that_failed_is_retried_as_one(make):
    planned = make()
    row = next(row for row in planned.rows if "t1-n8" in row.cell.label)

    def known(job):
        if job == row.train:
            return Known("failed", "OOM", pruned=True)
        return Known("new" if job in (row.generate, row.grade) else "done")

    plan = decide(planned, known)
    assert [d.job for d in plan.with_action("failed")] == [row.train]
    assert len(plan.with_action("blocked")) == 2
    again = decide(planned, known, frozenset({"failed"}))
    assert [d.job for d in again.with_action("rebuild")] == [row.train]


def test_names_that_are_paths_become_folders_of_their_own(make):
    text = GRID.replace("tiny: {source", "'../Qwen/7B': {source")
    jobs = make(["generate.profiles={'t=0.6/p95': {}}"], text).jobs
    assert all("/" not in job.label and len(job.label) <= 120 for job in jobs)
    assert any("_Qwen_7B" in job.label and "t=0.6_p95" in job.label for job in jobs)


def test_a_size_beyond_the_pool_is_refused(make):
    planned = make(["grid=[{size: 1001}]"])
    with pytest.raises(UserError, match=r"size 1001 is larger than the pool: at most 1000 traces"):
        check_pool(planned, {})
    planned = make(["grid=[{size: 101, correctness: incorrect}]"])
    with pytest.raises(UserError, match=r"at most 100 traces are all/incorrect"):
        check_pool(planned, {})


@pytest.mark.parametrize(
    ("settings", "grid", "message"),
    [
        ([], "[{size: [8, 1001]}]", r"grid\.yaml, line 8: grid\[0\]\.size: size 1001 is larger"),
        (
            [],
            "[{zip: {size: [8, 2000], seed: [0, 1]}}]",
            r"grid\.yaml, line 8: grid\[0\]\.zip\.size: size 2000 is larger",
        ),
        (
            [],
            "[{size: 8, include: [{size: 9}, {size: 3000}]}]",
            r"line 8: grid\[0\]\.include\[1\]\.size: size 3000 is larger",
        ),
        (["size=1001"], "[{size: 8}]", r"^--set size=1001: grid\[0\]\.size: size 1001 is larger"),
        (
            ["stages={1: {}, 2: {from: {size: 1002}}}"],
            "[{stage: 2, size: 0}]",
            r"^--set stages=.*: stages\.2\.from\.size: size 1002 is larger .* \(cell tiny-t1-n1002",
        ),
    ],
)
def test_where_a_size_beyond_the_pool_stands_is_named(make, settings, grid, message):
    text = GRID.partition("grid:")[0] + f"grid: {grid}\n"
    planned = make(settings, text)
    with pytest.raises(UserError, match=message):
        check_pool(planned, {})


def test_a_prepared_pool_is_held_to_its_exact_counts(make):
    planned = make(["grid=[{size: 90, correctness: incorrect}]"])
    data = planned.rows[0].train.inputs["pool"].identity
    check_pool(planned, {data: Pool({"all/incorrect": 90})})
    with pytest.raises(UserError, match=r"size 90 is larger than the pool: 89 traces are all/inc"):
        check_pool(planned, {data: Pool({"all/incorrect": 89})})


def test_the_default_grid_is_planned_in_a_moment():
    root = Path(__file__).parent.parent
    planned = trail(*load_sweep(root / "sweeps" / "grid.yaml"))
    assert len(planned.rows) == 2 * len({row.cell.label for row in planned.rows})
    assert {job.kind for job in planned.jobs} == {"prepare", "train", "generate", "grade"}


def test_training_waits_for_the_check_of_its_data_and_does_not_rest_on_it(make):
    planned = make()
    other = make(["data.evaluation_problems=7"])
    checks = [job for job in planned.jobs if job.slot == "disjoint"]
    assert len(checks) == 1
    trains = [job for job in planned.jobs if job.kind == "train"]
    assert all(checks[0] in job.parents for job in trains)
    assert {job.identity for job in trains} == identities(other.jobs, "train")
    # Trained before, on another evaluation set: what is asked now is checked before it is asked.
    trained = {job.identity for job in trains}
    plan = decide(other, lambda job: Known("done" if job.identity in trained else "new"))
    assert "disjoint" in {d.job.slot for d in plan.with_action("submit")}


def test_the_parent_of_a_stage_is_held_against_the_pool_too(make):
    planned = make(["stages={1: {}, 2: {from: {size: 1001}}}", "grid=[{stage: 2, size: [0, 8]}]"])
    with pytest.raises(UserError, match=r"size 1001 is larger than the pool: .*n1001-seed0"):
        check_pool(planned, {})


def test_identities_are_exact(make):
    """Those that are put together from parts are what the store computes of the whole."""
    planned = make(["seed=[0, 12]", "generate.profiles={a: {}, 'b \\u00e4': {prefill: '\"'}}"])
    for job in planned.jobs:
        inputs = {role: parent.identity for role, parent in job.inputs.items()}
        assert job.identity == identity_of(job.kind, job.config, inputs)
        whole = {"schema": JOB_SCHEMA, "kind": job.kind, "config": job.config, "inputs": inputs}
        assert job.identity == digest(whole)


def test_a_shared_generation_is_the_same_generation(make):
    """What was made by one element stays done, and its shards are planned beside it."""
    alone, shared = make(), make(["resources.generate.shards=3"])
    assert [row.grade.identity for row in shared.rows] == [row.grade.identity for row in alone.rows]
    for row in shared.rows:
        shards = row.generate.after
        assert [shard.config["shard"] for shard in shards] == [[0, 3], [1, 3], [2, 3]]
        assert row.generate.execution == {"shards": [shard.identity for shard in shards]}
        assert sum(shard.examples for shard in shards) >= row.grade.examples > 0
        assert {shard.inputs["model"] for shard in shards} == {row.generate.inputs["model"]}
    generations = {row.generate.identity for row in shared.rows}

    def known(job):
        return Known("done" if job.identity in generations else "new")

    decisions = decide(part_of(shared, {"generate", "grade"}), known).decisions
    assert not [d for d in decisions if d.job.kind == "generate" and d.action == "submit"]


def part_of(planned, kinds):
    """A trail whose jobs are of these kinds alone."""
    return replace(planned, jobs=[job for job in planned.jobs if job.kind in kinds])


def test_the_default_backend_and_unset_settings_are_no_part_of_an_identity(make):
    (profile,) = {row.profile for row in make().rows}
    settings = make().rows[0].generate.config
    assert settings.keys() == {"profile", "batch_size", "precision"} and profile == "greedy"
    assert settings["profile"].keys() == {
        *("samples", "temperature", "top_p", "max_tokens", "prefill", "sampling_seed"),
    }
    assert make(["generate.backend=vllm"]).rows[0].generate.config["backend"] == "vllm"


def test_profiles_start_from_what_their_names_say(make):
    settings = ["generate.profiles={greedy: {}, paper: {max_tokens: 9}, direct: {}, think: {}}"]
    said = {row.profile: row.generate.config["profile"] for row in make(settings).rows}
    assert (said["greedy"]["samples"], said["greedy"]["temperature"]) == (1, 0)
    paper = said["paper"]
    assert (paper["samples"], paper["temperature"], paper["top_p"]) == (16, 0.6, 0.95)
    assert paper["max_tokens"] == 9
    assert said["direct"]["prefill"] == "```python\n" and said["think"]["prefill"] == "<think>\n"


def test_a_prompt_in_a_profile_asks_otherwise_and_not_a_tiny_student(make):
    with pytest.raises(
        UserError, match="prompt 'livecodebench', and the student 'tiny' knows the words"
    ):
        make(["generate.profiles={greedy: {prompt: livecodebench}}"])


def test_several_engines_do_not_share_a_process_on_a_gpu(make):
    settings = ["generate.backend=vllm", "resources.generate.gpus_per_node=1"]
    assert make(settings).rows
    with pytest.raises(UserError, match="has its GPU until its process ends"):
        make([*settings, "resources.generate.pack=2", "resources.grade.pack=2"])


@pytest.mark.parametrize("wrong", ["train.shards=2", "generate={shards: 2, pack: 2}"])
def test_only_a_generation_that_is_alone_is_shared(make, wrong):
    with pytest.raises(UserError, match="shards"):
        make([f"resources.{wrong}", "resources.grade.pack=2"])
