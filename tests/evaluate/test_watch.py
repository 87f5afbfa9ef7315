"""What a process and its children use is seen from outside, and ended where it is too much."""

import os
import subprocess
import sys
import time

import pytest

from valley.evaluate.watch import Watch, used_s

# As a driver does, it takes in what its children leave behind. No child forks more than it is
# asked to or runs for long: nothing is left of a test that fails.
PARENT = """
import ctypes, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
kids = [subprocess.Popen([sys.executable, "-S", "-c", {child!r}]) for _ in range(2)]
print("started", flush=True)
time.sleep(30)
"""


@pytest.fixture
def family(request):
    """A process that stands for a driver, with two children that run the test's program."""
    driver = subprocess.Popen(
        [sys.executable, "-S", "-c", PARENT.format(child=request.param)], stdout=subprocess.PIPE
    )
    driver.stdout.readline()
    yield driver.pid
    Watch(driver.pid, 0, 0).kill_all()
    driver.wait()
    driver.stdout.close()


def looked(watch, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not watch.look() and time.monotonic() < deadline:
        time.sleep(0.02)
    return watch.exceeded


HOLDS = "x = bytearray(b'x') * (60 << 20)\nimport time\ntime.sleep(30)"
BUSY = "import time\nwhile time.process_time() < 30: pass"
MANY = (
    "import threading, time\nfor _ in range(90):\n"
    "    threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\ntime.sleep(30)"
)


@pytest.mark.parametrize(
    ("family", "memory_bytes", "cpu_s", "what"),
    [(HOLDS, 100 << 20, 1e3, "memory"), (BUSY, 1 << 40, 0.3, "cpu"), (MANY, 1 << 40, 1e3, "processes")],
    indirect=["family"],
)  # fmt: skip
def test_what_two_children_use_together(family, memory_bytes, cpu_s, what):
    watch = Watch(family, memory_bytes, cpu_s)
    assert looked(watch) == what
    deadline = time.monotonic() + 5
    while watch._tasks() and time.monotonic() < deadline:  # killed, and not yet gone
        time.sleep(0.01)
    assert watch._tasks() == []


SHARES = """
import os, time
x = bytearray(b"x") * (60 << 20)
for _ in range(3):
    if os.fork() == 0:
        time.sleep(1 if {writes} else 30)
        x[::4096] = b"y" * (60 << 8)
        time.sleep(30)
        os._exit(0)
time.sleep(30)
"""


@pytest.mark.parametrize("family", [SHARES.format(writes=False)], indirect=True)
def test_what_is_shared_counts_once(family):
    watch = Watch(family, 200 << 20, 1e3)
    assert looked(watch, 0.7) == ""
    assert sum(task.memory_bytes for task in watch._tasks()) > 400 << 20


@pytest.mark.parametrize("family", [SHARES.format(writes=True)], indirect=True)
def test_what_is_shared_no_more_counts_for_each(family):
    assert looked(Watch(family, 200 << 20, 1e3)) == "memory"


@pytest.mark.parametrize("family", [HOLDS], indirect=True)
def test_what_is_within_its_bounds_is_left_alone(family):
    watch = Watch(family, 1 << 40, 1e3)
    assert looked(watch, 0.3) == ""
    assert len(watch._tasks()) == 2


def test_a_folder_that_is_filled(spaced, monkeypatch):
    monkeypatch.setattr("valley.evaluate.watch.FOLDER_BYTES", 1 << 20)
    (spaced / "deep").mkdir()
    for number in range(20):
        (spaced / "deep" / str(number)).write_bytes(bytes(100_000))
    watch = Watch(os.getpid(), 1 << 40, 1e9, str(spaced))
    watch._kill = lambda: None  # it would end what other tests have started
    assert looked(watch) == "files"


def test_cpu_time_of_children_that_have_ended():
    with open("/proc/self/stat") as stat:
        before = used_s(stat.fileno())
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.2: pass"])
        # Whole ticks of 10 ms, which floats subtract inexactly.
        assert round((used_s(stat.fileno()) - before) * 100) >= 19
