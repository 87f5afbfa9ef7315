from __future__ import annotations

from pathlib import Path

import pytest
from status_world import StatusWorld

from valley.cancelling import Live, choose, live_elements, needed_by
from valley.cluster import slurm
from valley.ledger import Submission
from valley.picture import picture
from valley.places import Place, Ticket
from valley.plan import Known
from valley.state import Knowledge
from valley.store import Store


def live(array, index, *jobs, running=False):
    submission = Submission("i", "slurm", Path("/l"), [["x"]] * 9, array)
    return Live(Place(submission, ["x"], index, array), running, list(jobs))


def test_only_what_is_meant_is_cancelled_and_nothing_that_others_need():
    elements = [live("7", n, name) for n, name in enumerate("abcd")]
    choice = choose(elements, set("abc"), {"b": "sweep other", "d": "sweep other"})
    assert [element.jobs for element in choice.cancelled] == [["a"], ["c"]]
    assert [(element.jobs, whom) for element, whom in choice.kept] == [(["b"], "sweep other")]


def test_a_pack_is_kept_whole_for_any_of_its_jobs():
    choice = choose([live("7", 0, "a", "b"), live("7", 1, "c")], set("ac"), {"b": "others"})
    assert [element.jobs for element in choice.cancelled] == [["c"]]


def test_elements_of_an_array_are_cancelled_together():
    elements = [live("7", n, "a") for n in (0, 1, 2, 5, 7, 8)] + [live("12", 0, "a")]
    assert choose(elements, {"a"}, {}).names == ["12_[0]", "7_[0-2,5,7-8]"]


def test_unfinished_rows_need_their_unfinished_jobs(spaced):
    world = StatusWorld(spaced)
    world.cell(8)
    world.cell(16)
    done = {"pool", "tiny-n8-stage1", "tiny-n8-stage1-p", "tiny-n16-stage1"}
    seen = picture(world.lines, lambda t: Known("done" if t.label in done else "pending"))
    needed = needed_by({"sweep s": seen.rows})
    wanted = {
        Ticket.of(world.place(kind, "tiny-n16-stage1-p")).identity for kind in ("generate", "grade")
    }
    assert needed == dict.fromkeys(wanted, "sweep s")


@pytest.mark.parametrize(
    ("state", "is_live"),
    [("RUNNING", True), ("PENDING", True), ("COMPLETED", False), (None, False)],
)
def test_live_is_what_the_queue_shows(spaced, monkeypatch, state, is_live):
    tasks = {("7", 1): slurm.Task(state, "None")} if state else {}
    monkeypatch.setattr(slurm, "queue", lambda: tasks)
    submissions = [Submission("i", "slurm", Path("/l"), [["a" * 64], ["b" * 64]], "7")]
    found = live_elements(Knowledge(Store(spaced), submissions))
    assert [(e.jobs, e.is_running) for e in found] == (
        [(["b" * 16], state == "RUNNING")] if is_live else []
    )
