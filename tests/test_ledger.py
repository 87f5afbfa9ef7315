from __future__ import annotations

import json

import pytest
import yaml

from valley.errors import UserError
from valley.ledger import Ledger, all_submissions, find_sweep


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


def test_elements_that_were_cancelled_stand_in_their_submission(spaced):
    ledger = Ledger(spaced)
    intent = {"event": "intent", "intent": "i", "cluster": "slurm", "folder": "f", "at": 1.0}
    ledger.append({**intent, "elements": [["a"], ["b"], ["c"]]})
    for elements in ([0], [2, 0]):
        ledger.append({"event": "cancelled", "intent": "i", "elements": elements})
    (submission,) = ledger.submissions()
    assert submission.cancelled == {0, 2}


def test_sweeps_of_one_root_know_of_each_other(spaced):
    for at, name in ((2.0, "a"), (1.0, "b")):
        folder = spaced / "sweeps" / name
        folder.mkdir(parents=True)
        Ledger(folder).append({**intent(name), "at": at})
    assert [s.intent for s in all_submissions(spaced)] == ["b", "a"]


def test_the_sweep_that_was_launched_last(spaced):
    with pytest.raises(
        UserError, match=r"no sweep here yet; run `python sweeps/launch.py grid.yaml`"
    ):
        find_sweep(spaced, None)
    for name, at in (("one", 3.0), ("two", 1.0), ("never", None)):
        ledger = Ledger(spaced / "sweeps" / name)
        ledger.folder.mkdir(parents=True)
        ledger.manifest.write_text("")
        if at is not None:
            ledger.append({"event": "launch", "at": at})
    assert find_sweep(spaced, None).folder.name == "one"
    Ledger(spaced / "sweeps" / "two").append({"event": "launch", "at": 4.0})
    assert find_sweep(spaced, None).folder.name == "two"
    assert find_sweep(spaced, "one").folder.name == "one"
    with pytest.raises(UserError, match=r"no sweep 'three' in .* \(there: never, one, two\)"):
        find_sweep(spaced, "three")


def test_lines_of_the_journal_that_say_nothing_are_passed_over(spaced):
    ledger = Ledger(spaced)
    ledger.append(intent("one"))
    with ledger.journal.open("a") as file:
        file.write('{}\n[1]\n{"event": "submitted"}\n{"event": "intent"}\n')
    assert [s.intent for s in ledger.submissions()] == ["one"]


def test_the_sweep_is_written_once_and_loads_again(spaced):
    ledger = Ledger(spaced)
    ledger.write_sweep({"name": "x", "grid": [{"size": [0, 1]}]}, "grid.yaml --set seed=1")
    path = spaced / "sweep.yaml"
    before = path.stat().st_mtime_ns
    assert path.read_text().startswith("# Written at the launch of grid.yaml --set seed=1\n")
    assert yaml.safe_load(path.read_text()) == {"name": "x", "grid": [{"size": [0, 1]}]}
    ledger.write_sweep({"name": "x", "grid": [{"size": [0, 1]}]}, "grid.yaml --set seed=1")
    assert path.stat().st_mtime_ns == before


def test_what_never_reached_slurm_is_no_submission_and_what_is_held_is(spaced):
    ledger = Ledger(spaced)
    ledger.append(intent("one"))
    ledger.append({**intent("one"), "elements": [["a"]], "indices": [4]})
    ledger.append(intent("two"))
    ledger.append({"event": "void", "intent": "two"})
    ledger.append({"event": "held", "intent": "three", "elements": [["b"]], "reason": "full"})
    one, three = ledger.submissions()
    assert (one.elements, one.index(0), one.is_open) == ([["a"]], 4, True)
    assert (three.cluster, three.reason, three.is_open) == ("held", "full", False)
