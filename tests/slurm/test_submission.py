"""Every job exactly once, whatever happens to the launcher: on a real cluster, with jobs that do next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from scripted_checkout import PACKED, Checkout
from sweeping import status

from valley.ledger import all_submissions
from valley.state import Ticket, knowledge
from valley.store import Store

TWO_CELLS = "[{size: [8, 16]}]"
JOBS_OF_TWO_CELLS = 10  # four preparations, and two of each other kind


def wait_until_done(*checkouts, seconds=300):
    """Wait until every cell is done."""
    deadline = time.monotonic() + seconds
    for checkout in checkouts:
        while {row["state"] for row in status(checkout.root)} != {"done"}:
            assert time.monotonic() < deadline, status(checkout.root)
            time.sleep(1)


def check_each_ran_once(checkout, jobs=JOBS_OF_TWO_CELLS):
    attempts = checkout.attempts()
    assert len(attempts) == jobs and set(attempts.values()) == {1}, attempts
    assert len(checkout.results()) == jobs
    assert not list(checkout.root.glob("store/*/*/*/alive"))


@pytest.fixture(scope="module")
def steps(slurm, tmp_path_factory):
    """What a launch of two cells does, step by step; and that it works."""
    checkout = Checkout(tmp_path_factory.mktemp("a whole launch"), TWO_CELLS, PACKED)
    steps = checkout.steps()
    wait_until_done(checkout)
    check_each_ran_once(checkout)
    return steps


def check_killed(folder, numbers):
    """Launches killed at these steps, each on a root of its own, and launched again."""
    checkouts = []
    for number in numbers:
        checkout = Checkout(folder / f"killed at {number}", TWO_CELLS, PACKED)
        checkout.launch_killed(number)
        again = checkout.launch()
        assert again.returncode == 0, again.stdout + again.stderr
        assert set(checkout.queued().values()) <= {1}, number
        checkouts.append(checkout)
    wait_until_done(*checkouts)
    for checkout in checkouts:
        check_each_ran_once(checkout)


def test_killed_right_after_sbatch_and_elsewhere(steps, spaced):
    """In the window that nothing but the queue can close, and at a few other steps."""
    sbatches = [n for n, step in enumerate(steps, start=1) if "'sbatch'" in step]
    assert len(sbatches) == 7
    check_killed(spaced, [sbatches[0] + 1, sbatches[4] + 1, sbatches[-1] + 1, sbatches[2], 12])


@pytest.mark.slow
@pytest.mark.parametrize("begin", range(8))
def test_killed_at_any_step(steps, spaced, begin):
    check_killed(spaced, range(1 + begin * 3, len(steps) + 1, 24))


def test_killed_again_and_again(steps, spaced):
    """On one root: each launch gets a little further than the one before."""
    checkout = Checkout(spaced, TWO_CELLS, PACKED)
    for number in range(5, len(steps), 17):
        checkout.launch_killed(number)
        assert set(checkout.queued().values()) <= {1}, number
    assert checkout.launch("--wait").returncode == 0
    check_each_ran_once(checkout)


def test_an_sbatch_that_outlives_its_launcher_is_waited_for(steps, spaced):
    checkout = Checkout(spaced, TWO_CELLS, PACKED)
    slow = spaced / "bin" / "sbatch"
    slow.parent.mkdir()
    slow.write_text('#!/bin/bash\nsleep 3\nexec /usr/bin/sbatch "$@"\n')
    slow.chmod(0o755)
    first = next(n for n, step in enumerate(steps, start=1) if "'sbatch'" in step)
    path = f"{slow.parent}:{os.environ['PATH']}"
    checkout.launch_killed(first, after_s=0.5, PATH=path)
    assert not checkout.queued()
    assert checkout.launch("--wait").returncode == 0
    check_each_ran_once(checkout)


def test_an_array_that_ended_before_anyone_looked_is_found_in_accounting(
    steps, spaced, monkeypatch
):
    """Nothing makes Slurm's controller forget an ended job early, so squeue is one that knows nothing."""
    checkout = Checkout(spaced, TWO_CELLS, PACKED)
    first = next(n for n, step in enumerate(steps, start=1) if "'sbatch'" in step)
    checkout.launch_killed(first + 1, SCRIPTED_FAILS="prepare")
    deadline = time.monotonic() + 60
    while checkout.queued() or not checkout.attempts():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    (note,) = checkout.root.glob("store/prepare/*/*/failed.json")
    note.unlink()
    (note.parent / "running.json").write_text("{}")
    forgetful = spaced / "bin" / "squeue"
    forgetful.parent.mkdir()
    forgetful.write_text("#!/bin/bash\n")
    forgetful.chmod(0o755)
    monkeypatch.setenv("PATH", str(forgetful.parent), prepend=":")
    ticket = Ticket.of("/".join(note.parts[-4:-1]))
    while True:
        known = knowledge(Store(checkout.root), all_submissions(checkout.root))(ticket)
        if known.state == "failed":
            break
        # Accounting is a little behind the controller.
        assert time.monotonic() < deadline, known
        time.sleep(1)
    assert "failed (exit code 1:0)" in known.reason


def test_printed_scripts_run_as_they_are(slurm, spaced):
    checkout = Checkout(spaced, TWO_CELLS)
    target = spaced / "the scripts"
    done = checkout.launch("--print-scripts", str(target))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not checkout.queued() and "nothing was submitted" in done.stdout
    names = [path.name for path in sorted(target.glob("*.sh"))]
    assert "01-prep0-evaluation-scripted.sh" in names and "submit_all.sh" in names
    again = checkout.launch("--print-scripts", str(target))
    assert again.returncode == 2 and "not empty" in again.stderr
    subprocess.run([target / "submit_all.sh"], check=True, capture_output=True)
    # What a person has submitted, a launch leaves alone.
    launched = checkout.launch()
    assert launched.returncode == 0 and "submitted" not in launched.stdout, launched.stdout
    assert set(checkout.queued().values()) == {1}
    assert subprocess.run([target / "submit_all.sh"], capture_output=True).returncode == 1
    wait_until_done(checkout)
    check_each_ran_once(checkout)


def test_a_script_that_was_printed_and_then_launched_anew_runs_nothing_twice(slurm, spaced):
    checkout = Checkout(spaced, TWO_CELLS, PACKED)
    assert checkout.launch("--print-scripts", str(spaced / "scripts")).returncode == 0
    assert checkout.launch(SCRIPTED_S="1").returncode == 0
    script = next((spaced / "scripts").glob("02-*.sh"))
    subprocess.run(["sbatch", script], check=True, capture_output=True)
    wait_until_done(checkout)
    check_each_ran_once(checkout)


def test_edits_change_nothing_that_waits(slurm, spaced):
    checkout = Checkout(spaced, TWO_CELLS, PACKED)
    assert checkout.launch(SCRIPTED_S="0.5").returncode == 0
    for path in [*checkout.path.glob("jobs/*.py"), *checkout.path.glob("valley/cluster/*.py")]:
        path.write_text("raise RuntimeError('edited while jobs wait')")
    wait_until_done(checkout)
    check_each_ran_once(checkout)
    (snapshot,) = checkout.root.glob("sweeps/scripted/snapshot/*")
    said = subprocess.run(
        ["grep", "-h", '"code"', *checkout.results()], capture_output=True, text=True, check=True
    ).stdout
    assert set(said.split()[1::2]) == {f'"{snapshot}/valley/__init__.py",'} or str(snapshot) in said


def test_launching_from_inside_a_job(slurm, spaced):
    """The outer job's variables would give every array its size, and make srun ask for its steps."""
    checkout = Checkout(spaced, TWO_CELLS, PACKED)
    inner = [sys.executable, *checkout.launcher]
    done = subprocess.run(
        ["srun", "--ntasks=1", "--cpus-per-task=2", "--time=7", "--job-name=outer", *inner],
        cwd=checkout.path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(checkout.path), "SBATCH_TIMELIMIT": "3"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until_done(checkout)
    check_each_ran_once(checkout)
    limits = {
        line.split("|")[1]
        for line in slurm.squeue("--states=all", "--format=%Z|%l")
        if line.startswith(str(checkout.root))
    }
    assert limits == {"1:00:00"}


def test_running_elements_tell_their_cell_in_eight_characters(slurm, spaced):
    checkout = Checkout(spaced, "[{size: 2000, difficulty: easy}]")
    assert checkout.launch(SCRIPTED_S="2").returncode == 0
    seen = set()
    deadline = time.monotonic() + 120
    while not {"t1e2k.0-", "g1e2k.0-", "v1e2k.0-"} <= seen:
        assert time.monotonic() < deadline, seen
        seen |= {line.strip() for line in slurm.squeue("--states=running", "--format=%.8j")}
        time.sleep(0.3)
    wait_until_done(checkout)
    assert "nothing to do" in checkout.launch().stdout


def test_followers_of_a_live_array_follow_it_element_by_element(slurm, spaced):
    """The trainings of three cells are queued; what follows them is submitted by a second launch."""
    checkout = Checkout(spaced, "[{size: [8, 16, 24]}]", "cluster: {array_throttle: 1}\n")
    steps = Checkout(spaced / "other", "[{size: [8, 16, 24]}]").steps()
    generation = [n for n, step in enumerate(steps, start=1) if "'sbatch'" in step][5]
    checkout.launch_killed(generation, SCRIPTED_S="3")
    done = checkout.launch(SCRIPTED_S="0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gen1-greedy-scripted (3)" in done.stdout
    shown = slurm.squeue("--array", "--format=%Z|%K|%E")
    waiting = [
        line for line in shown if line.startswith(str(checkout.root)) and "aftercorr" in line
    ]
    assert len([line for line in waiting if "gen1" in line]) == 3, shown
    # The first generation runs before the last training has ended.
    wait_until_done(checkout)
    check_each_ran_once(checkout, 13)
    ended = {
        kind: sorted(path.stat().st_mtime for path in checkout.results(kind))
        for kind in ("train", "generate")
    }
    assert ended["generate"][0] < ended["train"][-1]


def test_the_canary_goes_first(slurm, spaced):
    checkout = Checkout(spaced, TWO_CELLS, PACKED)
    done = checkout.launch("--canary", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "canary: tiny-t1-n8-seed0" in done.stdout
    check_each_ran_once(checkout)
    first = max(p.stat().st_mtime for p in checkout.results("grade") if "n8" in str(p))
    second = min(p.stat().st_mtime for p in checkout.results("train") if "n16" in str(p))
    assert first < second


def test_a_canary_that_fails_holds_back_the_rest(slurm, spaced):
    checkout = Checkout(spaced, TWO_CELLS, PACKED)
    done = checkout.launch("--canary", SCRIPTED_FAILS="generate")
    assert done.returncode == 1 and "the canary did not pass" in done.stderr, done.stdout
    assert not list(checkout.root.glob("store/train/*/*n16*"))
    deadline = time.monotonic() + 30
    while checkout.queued():  # what waited for the canary's generation, until Slurm cancels it
        assert time.monotonic() < deadline, checkout.queued()
        time.sleep(0.5)


def test_a_second_launcher_waits_if_it_is_told_to(slurm, spaced):
    checkout = Checkout(spaced, TWO_CELLS, PACKED)
    launchers = [
        subprocess.Popen(
            [sys.executable, *checkout.launcher, "--wait"],
            cwd=checkout.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(checkout.path)},
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=200)[0] for process in launchers]
    assert [process.returncode for process in launchers] == [0, 0], said
    check_each_ran_once(checkout)
