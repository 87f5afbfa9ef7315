from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.failures import CLASSES, LINE_LENGTH, TEXT_RULES, classify

TORCH_CPU = (
    "RuntimeError: [enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate "
    "memory: you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
)
TORCH_GPU = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity "
    "of 79.10 GiB of which 1.19 GiB is free. Process 12 has 77.9 GiB memory in use."
)
SLURM_OOM = (
    "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=71.0. Some of your processes may have "
    "been killed by the cgroup out-of-memory handler."
)
SLURM_LIMIT = "slurmstepd: error: Step 7.0 exceeded memory limit (2199376 > 1048576), being killed"
SLURM_TIME = (
    "slurmstepd: error: *** STEP 8.0 ON n1 CANCELLED AT 2026-11-25T10:00:00 DUE TO TIME LIMIT ***"
)
SLURM_PREEMPTED = (
    "slurmstepd: error: *** JOB 9 ON n2 CANCELLED AT 2026-11-25T10:00:00 DUE TO PREEMPTION ***"
)
SLURM_NODE = (
    "slurmstepd: error: *** JOB 9 ON n2 CANCELLED AT 2026-11-25T10:00:00 DUE TO NODE FAILURE, SEE "
    "SLURMCTLD LOG FOR DETAILS ***"
)
NCCL = (
    "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/"
    "ProcessGroupNCCL.cpp:1970, unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL "
    "version 2.20.5"
)
GLOO = (
    "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer "
    "[127.0.0.1]:26713"
)
STORE = (
    "torch.distributed.DistNetworkError: The client socket has timed out after 60000ms while trying to "
    "connect to (n1, 29500)."
)
TRACEBACK = """Traceback (most recent call last):
  File "/runs/sweeps/tiny/snapshot/ab/valley/cluster/element.py", line 171, in run_job
    outcome = load_kind(job.kind)(job)
  File "/runs/sweeps/tiny/snapshot/ab/jobs/train.py", line 40, in run
    raise ValueError("no luck")
{}
"""

ERRORS = [
    ("MemoryError", "out_of_memory", "resources.train.memory_gib"),
    (TORCH_CPU, "out_of_memory", "resources.train.memory_gib"),
    (TORCH_GPU, "out_of_memory", "train.micro_batch_size"),
    ("OSError: [Errno 28] No space left on device", "disk_full", "free space"),
    ("OSError: [Errno 122] Disk quota exceeded: '/scratch/x'", "disk_full", "quota"),
    ("sqlite3.OperationalError: database or disk is full", "disk_full", "free space"),
    ("sqlite3.OperationalError: disk I/O error", "infrastructure", "launch again"),
    (NCCL, "infrastructure", "NCCL_SOCKET_IFNAME"),
    (GLOO, "infrastructure", "GLOO_SOCKET_IFNAME"),
    (STORE, "infrastructure", "cluster.setup"),
    (
        "stuck: no progress for 1800 s (train.stuck_after_s) after step 7; each rank's log shows where",
        "stuck",
        "compare the ranks' stacks",
    ),
    (
        "torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered",
        "node_failure",
        "exclude",
    ),
    ("OSError: [Errno 116] Stale file handle: '/nfs/runs/store'", "node_failure", "exclude"),
    (
        "FileNotFoundError: [Errno 2] No such file or directory: '/data/x.jsonl'",
        "data_missing",
        "path",
    ),
    (
        "data.traces: /data/t.jsonl cannot be read (No such file or directory)",
        "data_missing",
        "path",
    ),
    ("trace t: its problem 'nowhere' is not in the pool", "data_missing", "--retry failed"),
    (
        "the grader could not run 3 of 300 programs, such as sample 0 of p",
        "infrastructure",
        "launch",
    ),
    (
        "stopped at its time limit; raise resources.train.time_limit_min",
        "time_out",
        "--retry timeout",
    ),
    ("AssertionError", "code_error", "--retry failed"),
    ("ValueError: no luck", "code_error", "traceback"),
    ("UserError: the training diverged at step 3", "code_error", "what this line says"),
    ("UserError: /scratch: No space left on device", "disk_full", "free space"),
    ("rank 1 of 2 ended without a word, and the others waited for it", "unknown", "memory_gib"),
    ("ModuleNotFoundError: No module named 'vllm'", "code_error", "resources.train.python"),
    (
        "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory",
        "infrastructure",
        "cluster.setup",
    ),
    ("RuntimeError: CUDA error: device-side assert triggered", "code_error", "traceback"),
    ("DataLoader worker (pid 7) is killed by signal: Bus error.", "infrastructure", "exclude"),
]


@pytest.mark.parametrize(("error", "kind", "action"), ERRORS, ids=[e[0][:40] for e in ERRORS])
def test_what_a_job_recorded(error, kind, action):
    for text in (error, TRACEBACK.format(error)):
        failure = classify(text, job="train")
        assert (failure.kind, failure.line) == (kind, error) and action in failure.action


def test_a_source_line_that_names_an_error_is_not_that_error():
    quoted = TRACEBACK.replace('raise ValueError("no luck")', "except MemoryError: pass")
    assert classify(quoted.format("ValueError: no luck")).kind == "code_error"


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        (SLURM_OOM, "out_of_memory"),
        (SLURM_LIMIT, "out_of_memory"),
        (SLURM_TIME, "time_out"),
        (SLURM_PREEMPTED, "preempted"),
        (SLURM_NODE, "node_failure"),
        ("srun: error: n1: task 0: Bus error (core dumped)", "infrastructure"),
        ("srun: error: n1: task 0: Segmentation fault (core dumped)", "code_error"),
        (
            "slurmstepd: error: execve(): /env/bin/python: No such file or directory",
            "infrastructure",
        ),
        (
            "/var/spool/slurmd/job7/slurm_script: line 9: module: command not found",
            "infrastructure",
        ),
        (TRACEBACK.format("KeyError: 'x'"), "code_error"),
        ("srun: error: n1: task 0: Killed", "unknown"),
        ("a line that nobody knows", "unknown"),
        ("", "unknown"),
    ],
)
def test_what_a_log_shows(log, kind):
    failure = classify("", f"first line\n{log}\nsrun: Job step aborted: Waiting up to 32 seconds")
    assert failure.kind == kind
    if kind != "unknown":
        assert failure.line in log


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("OUT_OF_MEMORY", "out_of_memory"),
        ("TIMEOUT (TimeLimit)", "time_out"),
        ("DEADLINE", "time_out"),
        ("NODE_FAIL (NodeDown)", "node_failure"),
        ("BOOT_FAIL", "node_failure"),
        ("PREEMPTED", "preempted"),
        ("FAILED (NonZeroExitCode)", "unknown"),
        ("CANCELLED (DependencyNeverSatisfied)", "unknown"),
    ],
)
def test_what_slurm_says(state, kind):
    failure = classify("", "", state)
    assert (failure.kind, failure.line) == (kind, state)


@pytest.mark.parametrize(
    ("exit_code", "kind"),
    [
        ("127:0", "infrastructure"),
        ("0:7", "infrastructure"),
        ("RaisedSignal:7(Bus_error)", "infrastructure"),
        ("0:11", "code_error"),
        ("0:9", "unknown"),
        ("137:0", "unknown"),
        ("RaisedSignal:9(Killed)", "unknown"),
        ("1:0", "unknown"),
    ],
)
def test_what_an_exit_code_shows(exit_code, kind):
    failure = classify("", "", "FAILED", exit_code)
    assert failure.kind == kind and exit_code in failure.line


def test_a_kill_without_a_mark_of_memory_is_not_taken_for_one():
    killed = "srun: error: n1: task 0: Killed"
    for log, code in ((killed, ""), (f"a line\n{killed}\nsrun: Force Terminated", ""), ("", "0:9")):
        failure = classify("", log, "FAILED (NonZeroExitCode)", code, job="grade")
        assert failure.kind == "unknown" and "resources.grade.memory_gib" in failure.action
    assert (
        classify("", f"srun: error: n1: task 1: Segmentation fault\n{killed}").kind == "code_error"
    )


def test_the_job_knows_better_than_slurm_and_slurm_better_than_the_log():
    assert (
        classify("OSError: [Errno 28] No space left on device", "", "TIMEOUT").kind == "disk_full"
    )
    assert classify("", TRACEBACK.format("ValueError: no"), "TIMEOUT").kind == "time_out"


def test_every_class_has_a_rule_and_every_action_is_complete():
    shown = {rule.kind for rule in TEXT_RULES}
    assert shown == set(CLASSES)
    for rule in TEXT_RULES:
        for action in (rule.action, *rule.by_job.values()):
            assert "{" not in action.format(job="train").replace("{exclude: NODE}", "")


@given(st.text(), st.text(), st.text(), st.text())
def test_anything_has_a_class_one_line_and_an_action(error, log, state, code):
    failure = classify(error, log, state, code)
    assert failure.kind in CLASSES and failure.line and failure.action
    assert len(failure.line.splitlines()) == 1 and len(failure.line) <= LINE_LENGTH
