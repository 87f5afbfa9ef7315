"""Held-out traces from a prepared pool to the outcome of generations, whole or in shards."""

from __future__ import annotations

import pytest
from test_generate_job import PROBLEMS, VLLM, World, needs_vllm, outcome, run_all
from test_generate_job import student as student  # a fixture

from valley.cluster.element import run_job
from valley.data.config import TinyConfig
from valley.data.held_out import HeldOutTrace, check_lineage, read_held_out, write_held_out
from valley.data.prepared import training_set, write_pool
from valley.data.render import instruction
from valley.data.sources.tiny import TinyWorld
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.profiles import GenerateConfig, Profile
from valley.job import Job
from valley.job_file import identity_of, read_job, write_result
from valley.records import write_json, write_records
from valley.store import Store

PROFILE = Profile(max_tokens=4)


class HeldOutWorld(World):
    """A world whose generations measure the likelihood of some traces."""

    def __init__(self, root, student, problems):
        super().__init__(root, student, problems)
        self.held_out = self._made("prepare", {"held_out": 1})
        folder = self.store.folder("prepare", "prepare", self.held_out.identity)
        traces = [
            HeldOutTrace(p.id, instruction(p), instruction(PROBLEMS[i - 1]) * (i % 3 + 1))
            for i, p in enumerate(PROBLEMS[:20])
        ]
        write_records(folder / "held_out.jsonl", traces)
        write_json(folder / "barred.json", {"ids": [trace.id for trace in traces]})

    def lay_with(self, execution=None, shard=None, profile=PROFILE, **settings):
        """A generation that measures it, or the first shard of one."""
        config = GenerateConfig(precision="fp32", **settings).semantic(profile)
        config |= {"shard": shard} if shard else {}
        inputs = {"model": self.model, "evaluation": self.evaluation, "held_out": self.held_out}
        identity = identity_of("generate", config, {r: job.identity for r, job in inputs.items()})
        job = Job("generate", identity, "g", config, inputs)
        return job, self.store.lay(job, execution or {})


def test_one_shard_measures_it_and_the_whole_has_it(spaced, student):
    whole = HeldOutWorld(spaced / "whole", student, 6)
    folder = whole.lay_with(batch_size=2)[1]
    assert run_job(folder) == "made"
    world = HeldOutWorld(spaced / "shared", student, 6)
    first, first_folder = world.lay_with(shard=[0, 2], batch_size=2)
    second = world.lay_part(PROFILE, (1, 2), batch_size=2)
    second_folder = world.store.folder("generate", "", second.identity)
    shards = {"shards": [first.identity, second.identity]}
    merged = world.lay_with(shards, batch_size=2)[1]
    for each in (first_folder, second_folder, merged):
        assert run_job(each) == "made"
    assert "held_out" not in outcome(second_folder)
    for name in ("traces", "nll", "tokens"):
        assert outcome(merged)["held_out"][name] == outcome(folder)["held_out"][name]
    assert len(outcome(folder)["held_out"]["nll"]) == 20


def test_a_further_round_in_shards_takes_over_what_the_first_measured(spaced, student):
    profile = Profile(samples=2, rounds=2, temperature=0.8, max_tokens=4)
    whole = HeldOutWorld(spaced / "whole", student, 6)
    folder = whole.lay(profile, batch_size=2)
    assert run_job(folder) == "made"
    world = HeldOutWorld(spaced / "rounds", student, 6)
    first, first_folder = world.lay_with(profile=profile.up_to(1), batch_size=2)
    parts = [world.lay_part(profile, (i, 2), first, batch_size=2) for i in range(2)]
    shards = {"shards": [part.identity for part in parts]}
    second = world.lay_round(profile, first, shards, batch_size=2)
    folders = [world.store.folder("generate", "", job.identity) for job in (*parts, second)]
    for each in (first_folder, *folders):
        assert run_job(each) == "made"
    told = [outcome(each) for each in (first_folder, *folders)]
    assert told[3]["held_out"] == told[0]["held_out"]
    assert not any("held_out" in of_part for of_part in told[1:3])
    # Of three batches of two, the shards make two and one.
    assert [of["samples"] for of in told] == [6, 4, 2, 12]
    assert told[3]["earlier"]["samples"] == 6 and told[3]["shards"] == 2
    assert (folders[2] / "samples.jsonl").read_bytes() == (folder / "samples.jsonl").read_bytes()


@needs_vllm
@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_measures_what_transformers_does(spaced, student):
    folders = {
        backend: HeldOutWorld(spaced / backend, student, 4).lay_with(batch_size=4, backend=backend)[
            1
        ]
        for backend in ("transformers", "vllm")
    }
    assert run_job(folders["transformers"]) == "made"
    assert run_all([folders["vllm"]], VLLM).wait() == 0
    ours, theirs = (outcome(folder)["held_out"] for folder in folders.values())
    assert theirs["tokens"] == ours["tokens"] and theirs["traces"] == ours["traces"]
    assert theirs["nll"] == pytest.approx(ours["nll"], rel=1e-4)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A prepared pool, and what is held out of it."""
    folder = tmp_path_factory.mktemp("a pool")
    world = TinyWorld(TinyConfig(pool_traces=60, evaluation_problems=4))
    write_pool(folder, *world.traces(), [], GradeConfig(), 1)
    held_out = folder / "held out"
    held_out.mkdir()
    config = {"traces": 5, "unit": "trace", "data_seed": 0, "prompt": "plain"}
    assert write_held_out(held_out, folder, config)["held_out_traces"] == 5
    return folder, held_out


def made(store, config, inputs, ids=None):
    """A finished training with its subset."""
    roles = {role: job.identity for role, job in inputs.items()}
    job = Job("train", identity_of("train", config, roles), "t", config, inputs)
    folder = store.lay(job, {})
    if ids is not None:
        write_json(folder / "subset.json", {"ids": ids})
    write_result(read_job(folder), {}, {}, {})
    return job, folder


def test_a_student_that_was_taught_what_is_held_out_is_not_scored(pool, spaced):
    folder, held_out = pool
    arm = {"difficulty": "all", "correctness": "all"}

    def ids(size):
        return training_set(folder, {**arm, "size": size}, 0).subset.ids

    store = Store(spaced)
    lessons, _ = made(store, {"select": "lessons"}, {})
    clear, at = made(store, {"select": {**arm, "size": 50}}, {"init": lessons}, ids(50))
    check_lineage(at, held_out)
    taught, at = made(store, {"select": {**arm, "size": 56}}, {"init": clear}, ids(56))
    with pytest.raises(UserError, match=r"was trained on 1 traces of problems that .* holds out"):
        check_lineage(at, held_out)
    _, at = made(store, {"select": {**arm, "size": 1}}, {"init": taught}, ids(1))
    with pytest.raises(UserError, match="trained on 1 traces"):
        check_lineage(at, held_out)


def test_what_is_held_out_is_written_as_it_is_taught(pool):
    folder, held_out = pool
    arm = {"difficulty": "all", "correctness": "all"}
    subset = training_set(folder, {**arm, "size": 60}, 0).subset
    pairs = dict(zip(subset.ids, subset.texts(), strict=True))
    found = read_held_out(held_out)
    assert [trace.id for trace in found] == subset.ids[-5:]
    assert [(trace.prompt, trace.response) for trace in found] == [
        pairs[name] for name in subset.ids[-5:]
    ]
