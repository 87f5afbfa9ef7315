"""A control group counts what runs in it, and ends all of it at once."""

import subprocess
import sys

import pytest

from valley.evaluate.cgroup import Cgroup


@pytest.fixture
def group():
    try:
        made = Cgroup()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield made
    made.close()


def test_all_is_counted_and_killed(group):
    busy = "import os, time\nos.fork()\nos.setsid() if os.getpid() != os.getpgrp() else None\nwhile time.process_time() < 30: pass"
    process = subprocess.Popen([sys.executable, "-S", "-c", busy])
    try:
        group.add(process.pid)
    except PermissionError as error:
        process.kill()
        process.wait()
        pytest.skip(str(error))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    assert group.cpu_s() > 0.05
    group.bound(1 << 30)
    group.close()
    assert process.wait(5) == -9
    assert not group.folder.exists()


def test_what_a_killed_grader_left_is_removed(group):
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = group.folder.parent / f"valley-{dead.pid}-0"
    left.mkdir()
    Cgroup().close()
    assert not left.exists()
