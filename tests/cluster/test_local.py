"""One machine, with real elements: what is run, is killed, hangs, or is left behind by its launcher."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scripted_jobs import DIES, World, array, job, make_snapshot

from valley.cluster.config import ClusterConfig
from valley.cluster.local import Progress, _ready, run_locally
from valley.cluster.machine import memory_mib
from valley.processes import is_alive, this_process
from valley.records import write_json


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory):
    return make_snapshot(tmp_path_factory.mktemp("a snapshot"))


@pytest.fixture
def world(spaced, snapshot):
    return World(spaced / "runs", snapshot)


def run(world, arrays, show=lambda progress: None):
    config = ClusterConfig(local_cpus=4)
    return run_locally(
        arrays, config, world.ledger, world.store, world.snapshot, lambda job: 1.0, show
    )


def test_of_a_killed_pack_only_what_was_at_work_has_failed_and_the_rest_runs(world):
    a, b, c, d = job("a"), job("b", **DIES), job("c", **DIES), job("d")
    after = job("after", kind="grade", inputs={"data": d})
    progress = run(world, [array([a, b, c, d]), array([after])])
    assert progress.finished == {a.identity, d.identity, after.identity}
    assert progress.failed.keys() == {b.identity, c.identity}
    assert "ended without a result" in progress.failed[b.identity]
    assert world.attempts(a, b, c, d, after) == [1, 1, 1, 1, 1]
    assert [world.known(j).state for j in (a, b, c, d)] == ["done", "failed", "failed", "done"]


def test_what_failed_has_a_class_and_the_line_that_shows_it(world):
    jobs = {
        "out_of_memory": job("a", allocates_mib=1 << 40),
        "disk_full": job("b", raises=[28, "No space left on device"]),
        "data_missing": job("c", raises=[2, "No such file or directory", "/data/x"]),
        "unknown": job("d", **DIES),
    }
    run(world, [array([j]) for j in jobs.values()])
    known = {failure: world.known(j) for failure, j in jobs.items()}
    assert {failure: said.failure for failure, said in known.items()} == {f: f for f in jobs}
    assert known["out_of_memory"].line == "MemoryError"
    assert known["disk_full"].line == "OSError: [Errno 28] No space left on device"
    assert all(said.remedy and said.attempt.endswith("/0") for said in known.values())


def test_a_pack_that_gets_nowhere_is_not_tried_again_and_none_of_its_jobs_has_failed(world):
    jobs = [job("a"), job("b")]
    progress = run(world, [array(jobs, python="/bin/false")])
    assert progress.failed.keys() == {j.identity for j in jobs}
    assert len(world.ledger.submissions()) == 1
    for j in jobs:
        assert not (world.folder(j) / "failed.json").exists()
        known = world.known(j)
        assert (known.state, known.reason) == ("new", "its process ended before it began")


def test_at_the_time_limit_the_job_at_work_has_failed_and_the_rest_runs(world):
    # submitit's controller sends this signal when the limit is near.
    slow, other = job("slow", sends=["SIGUSR2", "itself"], sleeps_s=20), job("other")
    progress = run(world, [array([slow, other], time_limit_min=1)])
    assert progress.finished == {other.identity}
    assert (
        "stopped at its time limit; raise resources.prepare.time_limit_min"
        in (progress.failed[slow.identity])
    )


def test_elements_have_gpus_of_their_own(world, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-ab")
    some = [job(f"gpu{n}", sleeps_s=0.7) for n in range(3)]
    none = job("none", kind="grade")
    run(world, [array(*([j] for j in some), gpus_per_node=1), array([none])])
    assert world.outcome(none)["gpus"] == ""
    uses = [world.outcome(j) for j in some]
    assert {use["gpus"] for use in uses} == {"3", "GPU-ab"}
    for use in uses:
        beside = [u for u in uses if u["began"] < use["ended"] and use["began"] < u["ended"]]
        assert len({u["gpus"] for u in beside}) == len(beside)


def test_elements_that_do_not_fit_into_memory_together_run_one_after_another(world):
    first, second = job("first", sleeps_s=0.7), job("second", sleeps_s=0.7)
    run(world, [array([first], [second], memory_gib=memory_mib() / 1024 * 0.6)])
    uses = sorted((world.outcome(j)["began"], world.outcome(j)["ended"]) for j in (first, second))
    assert uses[0][1] <= uses[1][0]


def test_a_rank_that_fails_ends_the_others_and_tells_why(world, capfd):
    failing = job("failing", fails_in_rank=1, sleeps_s=100)
    started = time.monotonic()
    progress = run(world, [array([failing], tasks_per_node=2)])
    assert time.monotonic() - started < 50
    assert "ValueError: no luck" in progress.failed[failing.identity]
    other = json.loads((world.folder(failing) / "process-0.json").read_text())
    assert is_alive(other) is False
    assert "Traceback" not in capfd.readouterr().err, "it stands in the log, not in the display"


def test_a_rank_that_is_killed_ends_those_that_wait_for_it(world, monkeypatch):
    monkeypatch.setattr("valley.cluster.local_element.LOST_RANK_S", 0.5)
    lost = job("lost", in_rank=1, sleeps_s=100, **DIES)
    started = time.monotonic()
    progress = run(world, [array([lost], tasks_per_node=2)])
    assert time.monotonic() - started < 50
    said = "rank 1 of 2 ended without a word, and the others waited for it"
    assert progress.failed[lost.identity].startswith(said)
    other = json.loads((world.folder(lost) / "process-0.json").read_text())
    assert is_alive(other) is False
    known = world.known(lost)
    assert known.failure == "unknown" and "memory_gib" in known.remedy


def test_a_task_whose_controller_was_killed_is_still_waited_for(world):
    lonely = job("lonely", sends=["SIGKILL", "controller"], sleeps_s=1)
    progress = run(world, [array([lonely])])
    assert progress.finished == {lonely.identity} and not progress.failed


LAUNCHER = """
import os, signal, sys
from pathlib import Path
from scripted_jobs import World, array, job
from test_local import run
from valley.ledger import Ledger

class Dying(Ledger):
    def append(self, event):
        if event["event"] == "submitted" and sys.argv[3] == "unwritten":
            os.kill(os.getpid(), signal.SIGKILL)
        super().append(event)

world = World(Path(sys.argv[1]), Path(sys.argv[2]))
world.ledger = Dying(world.ledger.folder)
pack = [job("a", sleeps_s=1.5), job("b")]
run(world, [array(pack)], lambda progress: progress.running and os.kill(os.getpid(), signal.SIGKILL))
"""


def kill_a_launcher(root, snapshot, when):
    """Run a launcher that is killed right after it has started an element."""
    # A file, since what it leaves running would hold a pipe open.
    with (root.parent / "said").open("w+") as said:
        done = subprocess.run(
            [sys.executable, "-c", LAUNCHER, str(root), str(snapshot), when],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
            },
            stdout=said,
            stderr=said,
        )
        assert done.returncode == -signal.SIGKILL, said.seek(0) or said.read()


def test_what_a_killed_launcher_left_running_is_running_from_the_first_moment(world, spaced):
    shutil.rmtree(spaced / "runs")
    kill_a_launcher(spaced / "runs", world.snapshot, "written")
    pack = [job("a", sleeps_s=1.5), job("b")]
    deadline = time.monotonic() + 60
    while (states := [world.known(j).state for j in pack]) != ["done", "done"]:
        assert states in (["running", "running"], ["running", "pending"], ["done", "running"])
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert world.attempts(*pack) == [1, 1]


def test_an_element_that_was_not_written_down_runs_nothing(world, spaced):
    shutil.rmtree(spaced / "runs")
    kill_a_launcher(spaced / "runs", world.snapshot, "unwritten")
    pack = [job("a", sleeps_s=1.5), job("b")]
    # Its launcher is dead, so it ends by itself; the next launch need not wait for that.
    assert [world.known(j).state for j in pack] == ["new", "new"]
    folder = world.ledger.submissions()[0].folder
    deadline = time.monotonic() + 60
    while not list(folder.glob("*_result.pkl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "before it had written" in next(folder.glob("*.out")).read_text()
    assert world.attempts(*pack) == [0, 0]


@pytest.mark.parametrize("whose", ["its controller", "its task"])
def test_an_element_is_alive_as_long_as_one_of_its_processes(world, whose):
    """A job without a note of its own, such as the second one of a pack."""
    j = job("a")
    world.store.lay(j, {})
    folder = world.ledger.folder / "local" / "i"
    folder.mkdir(parents=True)
    dead = {**this_process(), "start": "1"}
    intent = {"event": "intent", "intent": "i", "cluster": "local", "folder": "local/i"}
    world.ledger.append({**intent, "elements": [[j.identity]]})
    process = this_process() if whose == "its controller" else dead
    world.ledger.append({"event": "submitted", "intent": "i", "job_id": "1", "process": process})
    if whose == "its task":
        assert world.known(j).state == "new"
        write_json(folder / "started.json", this_process())
    assert world.known(j).state == "running"


def test_an_element_of_another_machine_is_lost(world):
    j = job("a")
    world.store.lay(j, {})
    intent = {"event": "intent", "intent": "i", "cluster": "local", "folder": "local/i"}
    world.ledger.append({**intent, "elements": [[j.identity]]})
    process = {**this_process(), "host": "elsewhere"}
    world.ledger.append({"event": "submitted", "intent": "i", "job_id": "1", "process": process})
    known = world.known(j)
    assert known.state == "lost" and "elsewhere" in known.reason


def test_to_see_what_is_ready_costs_the_same_however_much_is_finished(cpu_s):
    elements = [array([job(str(n))]).elements[0] for n in range(5000)]
    progress = Progress(finished=set(map(str, range(20_000))))
    began = cpu_s()
    assert all(_ready(element, {}, progress) for element in elements)
    assert cpu_s() - began < 0.2  # 0.01 s; more than a second where the sets are put together
