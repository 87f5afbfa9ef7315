from __future__ import annotations

import os
from pathlib import Path

import pytest
from status_world import StatusWorld
from sweeping import command

from valley.cancelling import Live, choose, live_elements, needed_by
from valley.cluster import slurm
from valley.ledger import Submission
from valley.picture import picture
from valley.places import Place, Ticket
from valley.plan import Known
from valley.processes import this_process
from valley.records import digest
from valley.root_lock import root_lock
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


def test_what_runs_on_this_machine_is_told_so_with_its_launcher(spaced):
    world = StatusWorld(spaced)
    world.cell(8)
    world.write()
    folder = world.ledger.folder / "local" / "i"
    element = [digest(["train", "tiny-n8-stage1"])]
    world.ledger.append(
        {
            "event": "intent",
            "intent": "i",
            "cluster": "local",
            "folder": str(folder),
            "elements": [element],
        }
    )
    me = this_process()
    world.ledger.append({"event": "submitted", "intent": "i", "job_id": "7", "process": me})
    world.running("train", "tiny-n8-stage1")
    said = f"s: nothing cancelled: it runs on this machine (process {os.getpid()}), and Slurm has"
    with root_lock(spaced):
        done = command("sweeps/cancel.py", "s", root=spaced)
    assert done.returncode == 1 and done.stdout.startswith(said) and "Ctrl-C" in done.stdout
    alone = command("sweeps/cancel.py", "s", root=spaced).stdout
    assert f"stop it with kill {os.getpid()}\n" in alone and "Ctrl-C" not in alone
