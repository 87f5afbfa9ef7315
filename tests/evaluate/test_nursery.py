"""Sandboxes out of a nursery: each new, as contained as one that was started, and nothing left of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from valley.errors import UserError
from valley.evaluate.nursery import Nursery
from valley.evaluate.probe import find_isolation
from valley.evaluate.runner import Runner
from valley.evaluate.sandbox import Run, Sandbox, SandboxError
from valley.evaluate.seat import Seat

NAMESPACES = """
import os
for kind in ("pid", "mnt", "ipc"):
    print(os.readlink(f"/proc/self/ns/{kind}"))
"""


@pytest.fixture(scope="module", params=["bwrap", "unshare"])
def isolation(request):
    try:
        found = find_isolation(request.param)
    except UserError as error:
        pytest.skip(str(error))
    if not found.own_root or found.user == "outside":
        pytest.skip(f"{found.name} has no rights here to make more namespaces")
    return found


@pytest.fixture
def nursery(isolation):
    started = Nursery(isolation)
    yield started
    started.close()


def run(sandbox, source, stdin=""):
    outcome = sandbox.run(Run(source, stdin, None, 5.0, 20.0, 512, 1 << 20))
    assert outcome.exit_code == 0, outcome
    return outcome.stdout.decode()


def processes_below(pid):
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        children = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
        found += [child for child in children if running(child)]
    return found + [below for child in found for below in processes_below(child)]


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone_below(pid, count):
    deadline = time.monotonic() + 20
    while len(processes_below(pid)) > count and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(processes_below(pid)) <= count


def test_programs_run_as_in_a_started_sandbox_under_the_same_layers(isolation, nursery):
    with Sandbox(isolation) as started, Sandbox(isolation, nursery) as born:
        assert born.layers == started.layers
        assert run(born, "print(input()[::-1])", "works\n") == "skrow\n"


def test_each_has_namespaces_of_its_own(isolation, nursery):
    with (
        Sandbox(isolation) as started,
        Sandbox(isolation, nursery) as one,
        Sandbox(isolation, nursery) as other,
    ):
        seen = [run(sandbox, NAMESPACES).split() for sandbox in (started, one, other)]
        assert run(one, NAMESPACES).split() == seen[1]
        for of_one_kind in zip(*seen, strict=True):
            assert len(set(of_one_kind)) == 3


def test_each_has_an_empty_folder(isolation, nursery):
    for _ in range(2):
        with Sandbox(isolation, nursery) as sandbox:
            source = "import os\nopen('left', 'w').close()\nprint(os.listdir())"
            assert run(sandbox, source) == "['left']\n"


def test_a_program_sees_no_process_but_its_own_and_its_driver(isolation, nursery):
    listed = "import os\nprint(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))"
    with Sandbox(isolation, nursery) as sandbox:
        seen = run(sandbox, listed + "\nprint(os.getpid())")
        pids, me = seen.splitlines()
        assert pids == f"[1, {me}]"


def test_two_at_once_do_not_meet(isolation, nursery):
    with Sandbox(isolation, nursery) as one, Sandbox(isolation, nursery) as other:
        run(one, "open('secret', 'w').write('42')")
        assert run(other, "import os\nprint(os.listdir())") == "[]\n"


def test_a_sandbox_that_ends_leaves_no_process_and_the_nursery_stays(isolation):
    before = len(processes_below(os.getpid()))
    nursery = Nursery(isolation)
    alone = len(processes_below(os.getpid()))
    sandbox = Sandbox(isolation, nursery)
    run(
        sandbox,
        "import os\nif os.fork() == 0:\n    os.setsid()\n    os.execv('/bin/sleep', ['sleep', '60'])",
    )
    assert len(processes_below(os.getpid())) > alone
    sandbox.close()
    assert gone_below(os.getpid(), alone)
    with Sandbox(isolation, nursery) as another:
        assert run(another, "print(1)") == "1\n"
    nursery.close()
    assert gone_below(os.getpid(), before)


def test_a_nursery_that_ends_takes_its_sandboxes_along(isolation):
    nursery = Nursery(isolation)
    sandbox = Sandbox(isolation, nursery)
    nursery.close()
    deadline = time.monotonic() + 10  # the kernel ends a namespace in its own time
    with pytest.raises(SandboxError):
        while time.monotonic() < deadline:
            run(sandbox, "print(1)")
    sandbox.close()
    with pytest.raises(SandboxError):
        Sandbox(isolation, nursery)


def pids(isolation):
    """The process ids of three programs, before the last of which a runner renewed its sandbox."""
    runner = Runner(isolation, Seat(), renews=True)
    try:
        before = [int(run(runner, "import os\nprint(os.getpid())")) for _ in range(2)]
        runner.renew()
        return [*before, int(run(runner, "import os\nprint(os.getpid())"))]
    finally:
        runner.close()


def test_a_runner_keeps_its_sandbox_until_it_renews_it(isolation):
    first, second, renewed = pids(isolation)
    assert first == renewed < second


def test_a_runner_does_without_a_nursery_where_none_can_be_had(isolation, monkeypatch):
    def refused(*_):
        raise PermissionError("no more namespaces")

    monkeypatch.setattr(Nursery, "bear", refused)
    first, second, renewed = pids(isolation)
    assert first == renewed < second
