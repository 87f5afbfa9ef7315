from __future__ import annotations

from collections import Counter

import pytest
from status_world import StatusWorld

from valley.picture import picture, worst
from valley.plan import Known


@pytest.fixture
def world(spaced):
    """Three sizes; the smallest is asked in two ways."""
    world = StatusWorld(spaced)
    world.cell(8, profile="greedy")
    world.cell(8, profile="direct")
    world.cell(16, profile="greedy", difficulty="hard")
    world.cell(32, profile="greedy", difficulty="hard")
    return world


def knowing(**states):
    """What is known, by kind and a part of the label: `train_n8="failed"`."""

    def known(ticket):
        for name, value in states.items():
            kind, _, part = name.partition("_")
            if ticket.kind == kind and f"{part}-" in f"{ticket.label}-":
                return value if isinstance(value, Known) else Known(value)
        return Known("done" if ticket.kind == "prepare" else "new")

    return known


def test_what_the_plan_expects_is_counted_whether_or_not_anything_knows_of_it(world):
    seen = picture(world.lines, knowing())
    assert seen.totals == {
        "prepare": Counter(done=1),
        "train": Counter(new=3),
        "generate": Counter(new=4),
        "grade": Counter(new=4),
    }
    assert not seen.is_live and not seen.stuck
    first = seen.lines[0]
    assert first.cell == "tiny-n8-stage1" and first.tallies["grade"] == Counter(new=2)


def test_each_job_is_asked_for_once_however_many_cells_share_it(world):
    asked = Counter()

    def known(ticket):
        asked[ticket.kind, ticket.label] += 1
        return Known("running")

    picture(world.lines, known)
    assert set(asked.values()) == {1} and asked["prepare", "pool"] == 1


def test_a_graded_row_is_done_whatever_has_become_of_what_it_was_made_from(world):
    seen = picture(world.lines, knowing(grade_direct="done", train_n8="lost"))
    states = {(row.cell, row.profile): row.state for row in seen.rows}
    assert states["tiny-n8-stage1", "direct"] == "done"
    assert states["tiny-n8-stage1", "greedy"] == "lost"
    # The other row of the cell, and the sum, have the training that is lost all the same.
    assert seen.lines[0].state == "lost" and seen.totals["train"]["lost"] == 1
    assert seen.lines[0].tallies["train"] == Counter(lost=1)
    sizes = ["8", "16", "32"]
    assert [line.cell for line in seen.lines] == [f"tiny-n{size}-stage1" for size in sizes]
    graded = picture(world.lines[:2], lambda t: Known("done" if t.kind == "grade" else "lost"))
    assert graded.lines[0].state == "done" and not graded.stuck


def test_a_row_stands_at_its_first_job_that_is_not_done(world):
    seen = picture(world.lines, knowing(train_n8="done", generate_greedy="running"))
    assert [(row.at.ticket.kind, row.state) for row in seen.rows] == [
        ("generate", "running"),
        ("generate", "new"),
        ("train", "new"),
        ("train", "new"),
    ]
    assert seen.is_live and seen.lines[0].state == "running"


def test_alike_failures_are_told_together_with_the_cells_that_they_hold_up(world):
    no = Known("failed", "ValueError: no", failure="code_error", line="ValueError: no")
    disk = Known("failed", "full", failure="disk_full", line="No space left on device")
    seen = picture(world.lines, knowing(train_n16=no, train_n32=no, generate_direct=disk))
    assert [(len(stuck.jobs), stuck.cells) for stuck in seen.stuck] == [
        (2, ["tiny-n16-stage1", "tiny-n32-stage1"]),
        (1, ["tiny-n8-stage1"]),
    ]
    assert seen.stuck[0].known.failure == "code_error"
    shared = picture(world.lines, knowing(prepare_pool=Known("failed", "no such file")))
    assert len(shared.stuck) == 1 and len(shared.stuck[0].cells) == 3


def test_a_filter_leaves_out_cells_and_the_jobs_that_only_they_need(world):
    seen = picture(world.lines, knowing(), lambda axes: axes["difficulty"] == "hard")
    assert {row.cell for row in seen.rows} == {"tiny-n16-stage1", "tiny-n32-stage1"}
    assert seen.totals["train"].total() == 2


def test_how_a_group_stands():
    assert worst(["done", "running", "pending"]) == "running"
    assert worst(["done", "new", "lost", "failed"]) == "failed"
    assert worst([]) == "done"
