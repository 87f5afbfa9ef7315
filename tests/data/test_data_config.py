from __future__ import annotations

import pytest
from pydantic import ValidationError

from valley.data.config import JsonlConfig, TinyConfig
from valley.data.sources import read_evaluation, read_pool

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
    assert set(CHANGES) == set(TinyConfig.model_fields) - {"source"}


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
