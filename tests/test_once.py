from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from valley.once import once
from valley.processes import this_process


def looker(path):
    return lambda: path.read_text() if path.exists() else None


def maker(path, text="made"):
    def make(beat):
        beat()
        path.write_text(text)
        return text

    return make


def unwanted(beat):
    raise AssertionError("made once more")


def test_what_is_there_is_not_made(spaced):
    made, claim = spaced / "made", spaced / "claim"
    assert once(claim, looker(made), maker(made)) == "made"
    assert once(claim, looker(made), unwanted) == "made"
    assert os.listdir(spaced) == ["made"]


def test_one_who_fails_gives_the_claim_up(spaced):
    with pytest.raises(AssertionError, match="once more"):
        once(spaced / "claim", lambda: None, unwanted)
    assert os.listdir(spaced) == []


def test_a_second_waits_for_the_first(spaced):
    made, claim = spaced / "made", spaced / "claim"
    begun = threading.Event()

    def slowly(beat):
        begun.set()
        time.sleep(0.5)
        return maker(made)(beat)

    first = threading.Thread(target=once, args=(claim, looker(made), slowly))
    first.start()
    begun.wait()
    assert once(claim, looker(made), unwanted) == "made"
    first.join()


@pytest.mark.parametrize("holder", ["dead", "silent", "illegible", "foreign"])
def test_a_claim_whose_holder_will_not_finish_is_taken_over(spaced, holder):
    made, claim = spaced / "made", spaced / "claim"
    who = {**this_process(), "beat": 3}
    if holder == "dead":
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        who = {**who, "pid": gone.pid, "start": "1"}
    if holder == "foreign":
        who = {**who, "pid": "one"}
    if holder == "silent":
        who = {**who, "host": "elsewhere"}
    claim.write_text("" if holder == "illegible" else json.dumps(who))
    assert once(claim, looker(made), maker(made), patience_s=0.1) == "made"
    assert os.listdir(spaced) == ["made"]


@pytest.mark.parametrize("beats", [True, False])
def test_a_holder_elsewhere_is_waited_for_as_long_as_it_shows_life(spaced, monkeypatch, beats):
    made, claim = spaced / "made", spaced / "claim"
    passed_s = 0

    def sleep(_):
        """A second passes, in which the holder beats; in the tenth it has finished."""
        nonlocal passed_s
        passed_s += 1
        beat = passed_s if beats else 0
        claim.write_text(json.dumps({"host": "elsewhere", "pid": 1, "beat": beat}))
        if passed_s == 10:
            made.write_text("there")
            claim.unlink()

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: passed_s)
    monkeypatch.setattr("valley.once.time", clock)
    claim.write_text(json.dumps({"host": "elsewhere", "pid": 1, "beat": 0}))
    found = once(claim, looker(made), unwanted if beats else maker(made), patience_s=3)
    assert (found, passed_s) == (("there", 10) if beats else ("made", 4))


def test_a_claim_that_was_taken_over_is_not_given_up_by_its_first_holder(spaced):
    claim = spaced / "claim"

    def overtaken(beat):
        claim.write_text(json.dumps({"host": "elsewhere", "pid": 1, "beat": 0}))
        return "made"

    assert once(claim, lambda: None, overtaken) == "made"
    assert claim.exists()


def test_a_holder_whose_disk_is_full_leaves_no_claim(spaced, monkeypatch):
    def full(beat):
        def write(path, text):
            path.touch()
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.write_text", write)
            beat()

    with pytest.raises(OSError, match="No space"):
        once(spaced / "claim", lambda: None, full)
    assert os.listdir(spaced) == []
