"""The private cluster does what a site's Slurm does, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from private_cluster import ClusterError, PrivateCluster

PROGRAM = Path(__file__).with_name("private_cluster.py")
REPOSITORY = Path(__file__).parents[2]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def submit(*arguments: str, script: str) -> str:
    return run("sbatch", "--parsable", "--output=/dev/null", *arguments, f"--wrap={script}").strip()


def wait_until(is_true: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def processes_of(folder: Path) -> set[int]:
    """Pids of all processes that have this folder in their arguments or environment."""
    pids = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in text:
            pids.add(int(process.name))
    return pids


def test_an_array_leaves_one_result_per_element(slurm: PrivateCluster, spaced: Path) -> None:
    script = 'echo $((SLURM_ARRAY_TASK_ID * SLURM_ARRAY_TASK_ID)) > "result $SLURM_ARRAY_TASK_ID"'
    job = submit("--array=0-4%2", f"--chdir={spaced}", script=script)
    wait_until(lambda: not slurm.squeue(f"--jobs={job}"))
    results = {path.name: path.read_text().strip() for path in spaced.iterdir()}
    assert results == {f"result {k}": str(k * k) for k in range(5)}


def test_aftercorr_strands_only_the_partner_of_a_failed_element(slurm: PrivateCluster) -> None:
    first = submit("--array=0-2", script="test $SLURM_ARRAY_TASK_ID != 1")
    second = submit("--array=0-2", f"--dependency=aftercorr:{first}", script="true")

    def states() -> set[str]:
        return set(slurm.squeue("--states=all", "--array", f"--jobs={second}", "--format=%K %T %r"))

    expected = {"0 COMPLETED None", "1 PENDING DependencyNeverSatisfied", "2 COMPLETED None"}
    try:
        wait_until(lambda: states() == expected)
    finally:
        run("scancel", second)


def test_accounting_knows_how_a_job_ended(slurm: PrivateCluster) -> None:
    job = submit(script="exit 3")
    sacct = ("sacct", "--noheader", "--allocations", "--parsable2", "--format=State,ExitCode")
    wait_until(lambda: run(*sacct, f"--jobs={job}").strip() == "FAILED|3:0")


def test_a_job_on_two_nodes_sees_two_nodes(slurm: PrivateCluster) -> None:
    names = run("srun", "--nodes=2", "--nodelist=n2,n4", "printenv", "SLURMD_NODENAME").split()
    assert sorted(names) == ["n2", "n4"]


def test_the_urgent_partition_preempts_and_requeues(slurm: PrivateCluster) -> None:
    victim = submit("--nodelist=n1", "--exclusive", script="sleep 300")
    try:
        wait_until(lambda: slurm.squeue(f"--jobs={victim}", "--format=%T") == ["RUNNING"])
        run("srun", "--partition=urgent", "--nodelist=n1", "true")
        assert " Restarts=1 " in run("scontrol", "show", "job", victim)
    finally:
        run("scancel", victim)


def test_a_restarted_controller_still_has_its_queue(slurm: PrivateCluster) -> None:
    job = submit("--hold", script="true")
    try:
        slurm.restart_controller()
        assert slurm.squeue(f"--jobs={job}", "--format=%T %r") == ["PENDING JobHeldUser"]
    finally:
        run("scancel", job)


@pytest.mark.parametrize("told", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_killed_node_loses_its_job_and_runs_it_again_when_it_is_back(
    slurm: PrivateCluster, spaced: Path, told: bool
) -> None:
    script = "echo $$ ${SLURM_RESTART_COUNT:-0} >> starts; sleep 300"
    job = submit("--nodelist=n3", f"--chdir={spaced}", script=script)
    starts = spaced / "starts"

    def started(times: int) -> bool:
        return starts.exists() and starts.read_text().count("\n") == times

    try:
        wait_until(lambda: started(1))
        pid = int(starts.read_text().split()[0])
        assert is_running(pid)
        slurm.kill_node("n3", tell_controller=told)
        assert not is_running(pid)
        wait_until(lambda: slurm.squeue(f"--jobs={job}", "--format=%T") == ["PENDING"], 60)
        slurm.start_node("n3")
        wait_until(lambda: started(2))
        assert starts.read_text().splitlines()[1].endswith(" 1")
    finally:
        run("scancel", job)


def test_a_second_cluster_vanishes_with_its_jobs_and_spares_the_first(
    slurm: PrivateCluster, spaced: Path
) -> None:
    second = PrivateCluster(nodes=1)
    second.start()
    try:
        # A job that ignores SIGTERM and a process of it that has left its session and its parent.
        script = "trap '' TERM; (setsid sh -c 'echo $$ > pid; exec sleep 300' &); sleep 300"
        options = (f"--chdir={spaced}", "--output=/dev/null", f"--wrap={script}")
        subprocess.run(["sbatch", *options], env=os.environ | second.env, check=True, timeout=60)
        wait_until(lambda: (spaced / "pid").exists() and (spaced / "pid").read_text() != "")
        pid = int((spaced / "pid").read_text())
        folder = second.folder
        # munged, mariadbd, slurmdbd, slurmctld, slurmd, slurmstepd or its tasks
        assert len(processes_of(folder)) >= 6
        assert is_running(pid)
    finally:
        second.stop()
    assert processes_of(folder) == set()
    assert not is_running(pid)
    assert not folder.exists()
    assert len(run("sinfo", "--noheader", "--Node", "--partition=main").splitlines()) == 4


def test_a_failed_start_shows_the_log_and_leaves_nothing() -> None:
    cluster = PrivateCluster(accounting=False, memory_per_node_mib=-1)
    with pytest.raises(ClusterError, match=r"slurmctld ended with status 1\n(.*\n)*.*RealMemory"):
        cluster.start()
    assert not cluster.folder.exists()
    assert processes_of(cluster.folder) == set()


def command_form(*command: str) -> subprocess.Popen[str]:
    options = ("--nodes=1", "--no-accounting", "--")
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *options, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_command_form_returns_the_status_of_its_command() -> None:
    process = command_form("sh", "-c", "srun printenv SLURMD_NODENAME; echo $SLURM_CONF; exit 7")
    output, _ = process.communicate(timeout=60)
    node, slurm_conf = output.split()
    assert (node, process.returncode) == ("n1", 7)
    assert not Path(slurm_conf).parent.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_a_killed_command_form_leaves_no_process(number: signal.Signals) -> None:
    with command_form("sh", "-c", "echo $SLURM_CONF; exec cat") as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip()).parent
        assert processes_of(folder)
        process.send_signal(number)
    wait_until(lambda: processes_of(folder) == set())
    if number == signal.SIGTERM:
        assert process.returncode == 128 + signal.SIGTERM
        assert not folder.exists()
    else:
        subprocess.run(["rm", "-r", str(folder)], check=True)


def pytest_without_slurm(*options: str, **env: str) -> tuple[int, list[str]]:
    """Status and output of this module's tests where no program of Slurm is found."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "VALLEY_"))}
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-vv",
            "-rs",
            *options,
            __file__,
        ],
        env=inherited | {"PATH": "/nowhere"} | env,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return result.returncode, result.stdout.splitlines()


def test_without_slurm_one_line_says_how_many_tests_are_left_out_and_what_to_install() -> None:
    status, lines = pytest_without_slurm("-n2", "--dist=loadgroup")
    assert status == 0
    (summary,) = [line for line in lines if line.startswith("SKIPPED [")]
    assert "apt-get install mariadb-server munge slurm-wlm slurmdbd" in summary
    outcomes = [line.split() for line in lines if " SKIPPED tests" in line]
    assert summary.startswith(f"SKIPPED [{len(outcomes)}] ")
    # Fails with pytest 9.2 and pytest-xdist 3.8: pytest-dev/pytest-xdist#1386.
    assert len({worker for worker, *_ in outcomes}) == 1


def test_a_skipped_test_fails_where_slurm_is_required() -> None:
    status, lines = pytest_without_slurm("-n0", VALLEY_REQUIRE_SLURM="1")
    assert status == 1
    assert any("ERROR" in line for line in lines)
    assert not any("SKIPPED" in line or "PASSED" in line for line in lines)
