from __future__ import annotations

import pytest

from valley.cluster import slurm
from valley.cluster.sbatch import Refused, names_full_queue, submit
from valley.errors import UserError

POLICY = "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("said", "full"),
    [
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit | sbatch: error: {POLICY}", True),
        (f"sbatch: error: AssocMaxSubmitJobLimit | sbatch: error: {POLICY}", True),
        (f"sbatch: error: AssocGrpSubmitJobsLimit | sbatch: error: {POLICY}", True),
        (f"sbatch: error: {POLICY}", True),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", True),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit | sbatch: error: {POLICY}", False),
        ("sbatch: error: invalid partition specified: nowhere", False),
        ("sbatch: error: Batch job submission failed: Invalid job array specification", False),
    ],
)
def test_limits_on_queued_jobs_are_told_from_other_refusals(said, full):
    assert names_full_queue(said) is full


def test_accounting_names_each_element(spaced, monkeypatch):
    sacct = spaced / "sacct"
    lines = [
        "7_0|COMPLETED|0:0",
        "7_1|FAILED|1:0",
        "7_[2-3,9%2]|CANCELLED by 0|0:0",
        "8|TIMEOUT|0:0",
    ]
    sacct.write_text("#!/bin/bash\n" + "".join(f"echo '{line}'\n" for line in lines))
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", str(spaced), prepend=":")
    tasks = slurm.accounting(["7", "8"])
    states = {f"{array}_{index}": task.state for (array, index), task in tasks.items()}
    cancelled = dict.fromkeys(["7_2", "7_3", "7_9"], "CANCELLED")
    assert states == {"7_0": "COMPLETED", "7_1": "FAILED", "8_0": "TIMEOUT", **cancelled}
    assert tasks["7", 1].reason == "exit code 1:0" and tasks["7", 0].reason == ""


def test_variables_of_the_job_that_launches_stay_with_it(monkeypatch):
    outer = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "9", "SBATCH_PARTITION": "x", "SRUN_DEBUG": "3"}
    for name, value in {**outer, "SLURM_CONF": "/c", "SQUEUE_USERS": "him", "MINE": "1"}.items():
        monkeypatch.setenv(name, value)
    kept = slurm.environment()
    assert not {*outer, "SQUEUE_USERS"} & kept.keys()
    assert (kept["SLURM_CONF"], kept["MINE"]) == ("/c", "1")


def test_outside_a_job_a_users_own_settings_count(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    assert slurm.environment()["SBATCH_ACCOUNT"] == "mine"


@pytest.fixture
def sbatch(spaced, monkeypatch):
    """In place of sbatch, a program that prints its variables as its complaint."""
    program = spaced / "sbatch"
    program.write_text("#!/bin/bash\nenv >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(spaced), prepend=":")


def test_what_a_script_states_wins_over_the_users_variables(sbatch, spaced, monkeypatch):
    for name in ("ACCOUNT", "PARTITION", "TIMELIMIT"):
        monkeypatch.setenv(f"SBATCH_{name}", "mine")
    script = spaced / "script.sh"
    script.write_text("#!/bin/bash\n#SBATCH --account=theirs\n#SBATCH --time=3\n")
    with pytest.raises(Refused) as refused:
        submit(script)
    said = str(refused.value)
    assert "SBATCH_PARTITION=mine" in said
    assert "SBATCH_ACCOUNT" not in said and "SBATCH_TIMELIMIT" not in said


def test_a_configuration_that_is_not_there_is_named(sbatch, spaced, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(spaced / "nowhere.conf"))
    with pytest.raises(UserError, match=r"SLURM_CONF is .*nowhere.conf', which is no file here"):
        slurm.why_silent()


def test_a_rank_asks_the_controller_once_where_its_nodes_are(spaced, monkeypatch):
    scontrol = spaced / "scontrol"
    scontrol.write_text(
        f"#!/bin/bash\necho \"$*\" >> '{spaced}/calls'\n"
        '[ "$2" = node ] && echo "NodeName=$3 NodeAddr=10.1.2.3" || echo unresolvable.invalid\n'
    )
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(spaced), prepend=":")
    for _ in range(3):
        (node,) = slurm.hostnames("unresolvable.[invalid]")
        assert slurm.address(node) == "10.1.2.3"
    assert (spaced / "calls").read_text().splitlines() == [
        "show hostnames unresolvable.[invalid]",
        "show node unresolvable.invalid",
    ]
