from __future__ import annotations

import pytest
from pydantic import ValidationError

from valley.cluster.config import MoreResources, Resources, ResourcesByKind


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"train": {"pack": 4}}, "generate.pack is 1 and train.pack 4.*set generate.pack to 4"),
        ({"prepare": {"pack": 2}}, "generate.pack is 1 and prepare.pack 2"),
        ({"generate": {"pack": 8}, "grade": {"pack": 7}}, "grade.pack is 7 and generate.pack 8"),
        ({"train": {"pack": 4, "nodes": 2}, "generate": {"pack": 4}, "grade": {"pack": 4}}, "rank"),
        (
            {
                "train": {"pack": 2, "tasks_per_node": 8},
                "generate": {"pack": 2},
                "grade": {"pack": 2},
            },
            "train.pack is 2, and nodes x tasks_per_node 8",
        ),
    ],
)
def test_packs_that_cannot_be_kept_are_refused(resources, message):
    with pytest.raises(ValidationError, match=message):
        ResourcesByKind.model_validate(resources)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"train": {"on_out_of_memory": {}}}, "names nothing; give memory_gib"),
        (
            {"train": {"memory_gib": 8, "on_out_of_memory": {"memory_gib": 4}}},
            "memory_gib is 4, less than memory_gib 8",
        ),
        ({"grade": {"on_out_of_memory": {"micro_batch_size": 1}}}, "only a training has micro"),
        ({"grade": {"on_out_of_memory": {"micro_batch_tokens": 64}}}, "only a training has micro"),
        ({"grade": {"on_out_of_memory": {"nodes": 2}}}, "nodes"),
    ],
)
def test_what_is_given_after_running_out_of_memory_is_more(resources, message):
    with pytest.raises(ValidationError, match=message):
        ResourcesByKind.model_validate(resources)


def test_a_job_that_ran_out_of_memory_asks_for_more_and_else_for_the_same():
    asked = Resources(
        nodes=2,
        memory_gib=8,
        on_out_of_memory=MoreResources(memory_gib=16, micro_batch_size=1),
    )
    assert (asked.raised.memory_gib, asked.raised.nodes, asked.raised.cpus_per_task) == (16, 2, 1)
    assert asked.raised_execution == {"micro_batch_size": 1}
    assert Resources().raised == Resources() and Resources().raised_execution == {}


def test_followers_may_have_larger_packs():
    ResourcesByKind.model_validate(
        {"train": {"nodes": 2}, "generate": {"pack": 4}, "grade": {"pack": 8}}
    )
