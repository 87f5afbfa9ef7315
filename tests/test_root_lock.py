from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

from valley.errors import UserError
from valley.processes import this_process
from valley.root_lock import root_lock


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


def test_another_hosts_lock_is_broken_only_when_asked(spaced):
    lock = spaced / "launcher.lock"
    lock.write_text(json.dumps({**this_process(), "host": "elsewhere"}))
    with pytest.raises(UserError, match="add --break-lock"), root_lock(spaced):
        pass
    with root_lock(spaced, break_it=True):
        assert json.loads(lock.read_text()) == this_process()


def test_a_living_launchers_lock_is_not_broken(spaced):
    with (
        root_lock(spaced),
        pytest.raises(UserError, match="wait for it, or launch with --wait"),
        root_lock(spaced, break_it=True),
    ):
        pass


def test_a_lock_that_was_broken_is_left_to_its_new_owner(spaced):
    lock = spaced / "launcher.lock"
    theirs = json.dumps({**this_process(), "host": "elsewhere"})
    with root_lock(spaced):
        lock.write_text(theirs)
    assert lock.read_text() == theirs


def test_who_waits_gets_the_lock_when_it_is_free(spaced):
    said: list[str] = []
    waits = threading.Event()
    with root_lock(spaced):
        second = threading.Thread(target=_hold_shortly, args=(spaced, said, waits))
        second.start()
        assert waits.wait(timeout=30)
        assert said == [
            f"waiting for another launcher (process {os.getpid()} on {this_process()['host']})"
        ]
    second.join(timeout=30)
    assert said[-1] == "held"


def _hold_shortly(root, said, waits):
    def note(who):
        said.append(who)
        waits.set()

    with root_lock(root, waits=note):
        said.append("held")


def test_of_many_that_find_a_dead_owner_one_at_a_time_holds_the_lock(spaced):
    """Each adds a line when it enters and one when it leaves: they must alternate."""
    code = """
import json, sys, time
from pathlib import Path
from valley.processes import this_process
from valley.root_lock import root_lock
import valley.root_lock
valley.root_lock.POLL_S = 0.001
root = Path(sys.argv[1])
with root_lock(root, waits=lambda said: None):
    with (root / "log").open("a") as log:
        print("in", file=log, flush=True)
        time.sleep(0.01)
        print("out", file=log, flush=True)
    (root / "launcher.lock").write_text(json.dumps({**this_process(), "start": "1"}))
"""
    lock = spaced / "launcher.lock"
    lock.write_text(json.dumps({**this_process(), "start": "1"}))
    many = [subprocess.Popen([sys.executable, "-c", code, str(spaced)]) for _ in range(6)]
    assert [process.wait(timeout=60) for process in many] == [0] * 6
    assert (spaced / "log").read_text().split() == ["in", "out"] * 6
