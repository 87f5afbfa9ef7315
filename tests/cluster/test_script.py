"""The script of a submission: a golden file of it, and what it does when it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_jobs import array, job
from submitit.core.utils import DelayedSubmission

from valley.cluster.array_element import run_array_element
from valley.cluster.config import ClusterConfig
from valley.cluster.script import spelled, write_submission

GOLDEN = Path(__file__).parent / "golden" / "submission.sh"


def written(folder, indices=(0, 1, 2, 7), config=None, dependency=None, **resources):
    made = array(*[[job(f"job{index}")] for index in indices], **resources)
    work = {index: [f"/store/job{index}"] for index in indices}
    site = ClusterConfig(**(config or {}))
    return write_submission(made, work, folder, site, Path("/a snapshot"), dependency)


def directives(script):
    lines = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    found = (line.removeprefix("#SBATCH --").partition("=") for line in lines)
    return {name: value for name, _, value in found}


def test_the_script_is_the_golden_one(spaced, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    script = written(
        spaced,
        dependency="aftercorr:12,afterok:7_0",
        config={
            "account": "proj",
            "partition": "gpu",
            "constraint": "a100",
            "setup": ["module load cuda"],
            "array_throttle": 2,
            "slurm_parameters": {"reservation": "mine", "exclusive": True},
        },
        nodes=2,
        tasks_per_node=8,
        cpus_per_task=12,
        gpus_per_node=8,
        memory_gib=1.5,
        time_limit_min=90,
        setup=["export NCCL_DEBUG=INFO"],
    )
    text = script.read_text().replace(str(spaced), "/the folder").replace(sys.executable, "PYTHON")
    assert text == GOLDEN.read_text()


def test_what_a_kind_states_wins_over_the_cluster(spaced):
    site = {"account": "a", "partition": "gpu", "qos": "q", "constraint": "c", "array_throttle": 9}
    own = {"partition": "cpu", "constraint": "", "array_throttle": 1}
    said = directives(written(spaced, config=site, **own))
    assert (said["account"], said["partition"], said["qos"]) == ("a", "cpu", "q")
    assert "constraint" not in said and said["array"] == "0-2,7%1"


@pytest.mark.parametrize(
    ("indices", "text"), [([0], "0"), ([0, 1, 2], "0-2"), ([1, 3, 4, 9], "1,3-4,9")]
)
def test_indices_as_sbatch_reads_them(indices, text):
    assert spelled(indices) == text


def test_one_element_is_an_array_too(spaced):
    assert directives(written(spaced, indices=[0]))["array"] == "0"


@pytest.mark.parametrize("again", [False, True], ids=["at first", "after a requeue"])
def test_the_script_makes_the_name_that_the_runner_looks_for(spaced, again):
    folder = spaced / "it's a folder"
    folder.mkdir()
    script = written(folder)
    own = folder / "12_7_submitted.pkl"
    if again:
        own.write_text("as submitit left it")
    srun = spaced / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{srun.parent}:{os.environ['PATH']}",
        "SLURM_ARRAY_JOB_ID": "12",
        "SLURM_ARRAY_TASK_ID": "7",
        "SLURM_CPUS_PER_TASK": "1",
    }
    for _ in range(2):
        done = subprocess.run(["bash", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["submitit.core._submit", str(folder)]
    if again:
        assert own.read_text() == "as submitit left it"
    else:
        call = DelayedSubmission.load(own)
        assert call.function is run_array_element
        assert call.args[0][7] == ["/store/job7"] and call.args[1] == "/a snapshot"
