from __future__ import annotations

import json
import os

import pytest

from valley.errors import UserError
from valley.ledger import Ledger, all_submissions, newest_sweep, root_lock
from valley.processes import this_process


def intent(name):
    return {
        "event": "intent",
        "intent": name,
        "cluster": "slurm",
        "folder": f"slurm/{name}",
        "elements": [["a"], ["b", "c"]],
    }


def test_a_submission_is_known_by_its_intent_before_it_has_an_id(spaced):
    ledger = Ledger(spaced)
    assert ledger.submissions() == []
    ledger.append(intent("one"))
    ledger.append({"event": "submitted", "intent": "one", "job_id": "17"})
    ledger.append(intent("two"))
    one, two = ledger.submissions()
    assert (one.job_id, two.job_id) == ("17", None)
    assert one.elements == [["a"], ["b", "c"]] and one.folder == spaced / "slurm" / "one"


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_a_line_cut_short_by_a_dying_launcher_loses_nothing_else(spaced, kept):
    ledger = Ledger(spaced)
    ledger.append(intent("one"))
    whole = ledger.journal.read_bytes()
    line = json.dumps(intent("two")).encode()
    ledger.journal.write_bytes(whole + line[:kept])
    assert [s.intent for s in ledger.submissions()] == ["one"]
    ledger.append(intent("three"))
    ledger.append({"event": "submitted", "intent": "three", "job_id": "4"})
    assert [(s.intent, s.job_id) for s in ledger.submissions()] == [("one", None), ("three", "4")]


def test_sweeps_of_one_root_know_of_each_other(spaced):
    for at, name in ((2.0, "a"), (1.0, "b")):
        folder = spaced / "sweeps" / name
        folder.mkdir(parents=True)
        Ledger(folder).append({**intent(name), "at": at})
    assert [s.intent for s in all_submissions(spaced)] == ["b", "a"]


def test_one_launcher_at_a_time(spaced):
    with (
        root_lock(spaced),
        pytest.raises(UserError, match=f"process {os.getpid()}"),
        root_lock(spaced),
    ):
        pass
    with root_lock(spaced):
        pass
    assert list(spaced.iterdir()) == []


def test_the_lock_of_a_dead_process_is_taken_over_and_another_hosts_is_not(spaced):
    lock = spaced / "launcher.lock"
    # This process's id with another start: the id was used again.
    lock.write_text(json.dumps({**this_process(), "start": "1"}))
    with root_lock(spaced):
        assert json.loads(lock.read_text()) == this_process()
    lock.write_text(json.dumps({**this_process(), "host": "elsewhere"}))
    with pytest.raises(UserError, match="on elsewhere"), root_lock(spaced):
        pass
    assert lock.exists()


def test_the_newest_sweep(spaced):
    with pytest.raises(UserError, match="no sweep here yet"):
        newest_sweep(spaced)
    for at, name in enumerate(("old", "new")):
        folder = spaced / "sweeps" / name
        folder.mkdir(parents=True)
        (folder / "manifest.jsonl").write_text("")
        os.utime(folder / "manifest.jsonl", (at, at))
    assert newest_sweep(spaced).folder.name == "new"
