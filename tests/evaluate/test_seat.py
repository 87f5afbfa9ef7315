"""Short tests share one CPU with their worker; long ones, and those of other drivers, are left alone."""

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from valley.evaluate.probe import find_isolation
from valley.evaluate.runner import Runner
from valley.evaluate.sandbox import Run
from valley.evaluate.seat import HELD_S, Seat

pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="this process has one CPU, and nothing to choose"
)
ALL = os.sched_getaffinity(0)


@pytest.fixture
def drivers():
    """Two processes that stand for drivers."""
    started = [
        subprocess.Popen([sys.executable, "-Sc", "input()"], stdin=subprocess.PIPE)
        for _ in range(2)
    ]
    yield [driver.pid for driver in started]
    for driver in started:
        driver.communicate()


def in_a_thread(do):
    """What `do` returns, called in a thread of its own: a seat binds the thread that makes it."""
    found = []
    thread = threading.Thread(target=lambda: found.append(do()))
    thread.start()
    thread.join()
    return found[0]


def test_after_a_short_test_the_next_ones_run_where_it_ended(drivers):
    def watched():
        seat, seen = Seat(), []
        for _ in range(3):
            seat.take(drivers[0])
            seen.append((os.sched_getaffinity(0), os.sched_getaffinity(drivers[0])))
        return seen

    first, second, third = in_a_thread(watched)
    assert first == (ALL, ALL)
    assert second == third and second[0] == second[1] and len(second[0]) == 1
    assert os.sched_getaffinity(0) == ALL  # of other threads nothing is said


def test_the_kernel_is_asked_again_now_and_then(drivers, monkeypatch):
    def watched():
        seat, seen = Seat(), []
        for now in (0.0, 0.0, HELD_S, HELD_S):
            clock = SimpleNamespace(monotonic=lambda now=now: now)
            monkeypatch.setattr("valley.evaluate.seat.time", clock)
            seat.take(drivers[0])
            seen.append(len(os.sched_getaffinity(drivers[0])))
        return seen

    assert in_a_thread(watched) == [len(ALL), 1, len(ALL), 1]


def test_another_driver_comes_to_the_same_place(drivers):
    def watched():
        seat = Seat()
        for driver in (drivers[0], drivers[0], drivers[1]):
            seat.take(driver)
        return os.sched_getaffinity(0), os.sched_getaffinity(drivers[1])

    thread, other = in_a_thread(watched)
    assert thread == other and len(other) == 1


def test_a_long_test_is_left_to_the_kernel_and_the_one_after_it_too(drivers):
    def watched():
        seat, seen = Seat(), []
        seat.take(drivers[0])
        seat.take(drivers[0])
        seat.leave(lambda: [drivers[1]])
        for _ in range(3):
            seen.append((len(os.sched_getaffinity(0)), len(os.sched_getaffinity(drivers[0]))))
            seat.take(drivers[0])
        return seen

    assert in_a_thread(watched) == [(len(ALL), len(ALL)), (len(ALL), len(ALL)), (1, 1)]


def test_where_nothing_is_prescribed_nobody_looks_for_threads(drivers):
    def watched():
        seat = Seat()
        seat.take(drivers[0])
        seat.leave(lambda: asked.append("threads") or [])
        return list(asked)

    asked = []
    assert in_a_thread(watched) == []


@pytest.mark.parametrize("wrong", ["no such CPU", "no such process"])
def test_where_it_cannot_be_had_nothing_is_prescribed(drivers, wrong):
    def watched():
        seat = Seat()
        if wrong == "no such CPU":
            seat._here = lambda: 1 << 14
        driver = drivers[0] if wrong == "no such CPU" else (1 << 22) + 1
        for _ in range(3):
            seat.take(driver)
        seat.leave(list)
        return os.sched_getaffinity(0)

    assert in_a_thread(watched) == ALL


TELLS = "import os\nprint(len(os.sched_getaffinity(0)))"
WAITS = """
import os, threading, time
lengths = []
def look():
    time.sleep(0.3)
    lengths.append(len(os.sched_getaffinity(0)))
thread = threading.Thread(target=look)
thread.start()
if (child := os.fork()) == 0:
    time.sleep(0.3)
    os._exit(len(os.sched_getaffinity(0)))
thread.join()
print(lengths[0], os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(os.sched_getaffinity(0)))
"""


def test_programs_are_where_their_worker_is_unless_they_take_long():
    every = str(len(ALL)).encode()

    def run(source):
        return runner.run(Run(source, "", None, 5.0, 20.0, 512, 1 << 20)).stdout.split()

    def watched():
        nonlocal runner
        runner = Runner(find_isolation("auto"), Seat())
        try:
            before = [run(TELLS) for _ in range(20)]
            return before, run(WAITS), run(TELLS)
        finally:
            runner.close()

    runner = None
    before, waited, after = in_a_thread(watched)
    # On a busy machine a test that is short by itself may seem long.
    assert before[0] == [every] and [b"1"] in before
    assert waited == [every] * 3 and after == [every]


def test_a_runner_that_is_closed_leaves_its_thread_free():
    def watched():
        runner = Runner(find_isolation("auto"), Seat())
        held = set()
        for _ in range(20):  # on a busy machine a short test may seem long
            runner.run(Run("", "", None, 5.0, 20.0, 512, 1 << 20))
            held.add(len(os.sched_getaffinity(0)))
        while len(os.sched_getaffinity(0)) > 1:
            runner.run(Run("", "", None, 5.0, 20.0, 512, 1 << 20))
        runner.close()
        return held, os.sched_getaffinity(0)

    held, after = in_a_thread(watched)
    assert 1 in held and after == ALL
