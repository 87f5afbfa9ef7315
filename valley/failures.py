"""Failures: of what class one is, the line that shows it, and what to do next. Pure.

The class decides whether a job is tried again by itself (`cluster.retry`), so it rests on words that
Slurm, Python, torch or the kernel are known to use, and on nothing else: what none of the rules below
knows is `unknown`, and is left to a person. Rules are tried in their order, on one source after another:

1. the error that the job recorded, with its traceback: the job itself knows best;
2. Slurm's state of the element (`OUT_OF_MEMORY`, `TIMEOUT`, …);
3. the end of the element's log, in which srun, slurmstepd and the kernel have their say;
4. the exit code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

FailureClass = Literal[
    "code_error",
    "out_of_memory",
    "time_out",
    "node_failure",
    "preempted",
    "data_missing",
    "disk_full",
    "infrastructure",
    "stuck",
    "unknown",
]
CLASSES: tuple[FailureClass, ...] = get_args(FailureClass)
LINE_LENGTH = 300
AGAIN = "then launch again with --retry failed"


@dataclass(frozen=True)
class Failure:
    """Why a job failed, and what follows from it."""

    kind: FailureClass
    line: str
    """The line of the log, or Slurm's word, that shows it."""
    action: str
    """What to do next: a sentence with the setting or the command."""


@dataclass(frozen=True)
class _Rule:
    kind: FailureClass
    pattern: re.Pattern[str]
    action: str
    by_job: Mapping[str, str]
    """Another action for some kinds of jobs."""

    @classmethod
    def of(cls, kind: FailureClass, pattern: str, action: str, **by_job: str) -> _Rule:
        return cls(kind, re.compile(pattern), action, by_job)


MORE_MEMORY = (
    "name more memory as resources.{job}.on_out_of_memory and launch again, or raise "
    "resources.{job}.memory_gib, then launch again with --retry oom"
)
GPU_MEMORY = (
    "take a GPU with more memory, or one that nobody shares, then launch again with --retry oom"
)
SMALLER_BATCH = (
    "lower train.micro_batch_size (or micro_batch_tokens) or raise train.zero_stage, none of which changes "
    "the result, then launch again with --retry oom"
)
FREE_DISK = "free space or raise the quota where --root and the temporary folder lie, " + AGAIN
MORE_TIME = (
    "raise resources.{job}.time_limit_min (or lower resources.{job}.pack), then launch again with "
    "--retry timeout"
)
RESUME = (
    "launch again: a training resumes, up to cluster.retry.time_outs times; after that raise "
    "resources.train.time_limit_min and launch again with --retry timeout"
)
NEXT_LAUNCH = "launch again: it is submitted again by itself, as often as cluster.retry allows"
ONCE = "launch again, which tries again as often as cluster.retry.infrastructure allows; if it repeats, "
NETWORK = (
    ONCE + "name the network interface in cluster.setup (export NCCL_SOCKET_IFNAME=… "
    "GLOO_SOCKET_IFNAME=…) or exclude the node in cluster.slurm_parameters, " + AGAIN
)
BROKEN_DEVICE = ONCE + "exclude the node (cluster.slurm_parameters: {{exclude: NODE}}), " + AGAIN
STUCK = (
    "compare the ranks' stacks in their logs: one that stands elsewhere than the others holds them up; "
    + ONCE
    + "exclude its node, or raise train.stuck_after_s where it was only slow, "
    + AGAIN
)
BROKEN_NODE = (
    "launch again; if it repeats on one node, exclude it (cluster.slurm_parameters: {{exclude: NODE}}) "
    "and tell the cluster's administrators"
)
ENVIRONMENT = (
    "make it available to the jobs: modules and variables in cluster.setup, another interpreter as "
    "resources.{job}.python, " + AGAIN
)
MISSING_DATA = (
    "put the file where the line says, on a file system that all nodes see, "
    + AGAIN
    + "; or correct its path in the grid, or the data, and launch again: that makes a new job"
)
LOOK = (
    "read the traceback in the log and mend the code, "
    + AGAIN
    + "; or mend the setting and launch again, "
    "which makes a new job"
)
AS_SAID = "do what this line says, " + AGAIN
KILLED = (
    "nothing says who killed it: where it is the kernel, for want of memory, raise "
    "resources.{job}.memory_gib; " + AGAIN
)

# The first rule that matches counts, so what is special stands before what is general: an
# out-of-memory error is a RuntimeError too, and a lost connection often follows a full disk.
TEXT_RULES = [
    _Rule.of(
        "out_of_memory",
        r"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|HIP out of memory"
        r"|No available memory for the cache blocks|CUDA error: out of memory",
        GPU_MEMORY,
        train=SMALLER_BATCH,
    ),
    _Rule.of(
        "out_of_memory",
        r"\bMemoryError\b|can't allocate memory|Cannot allocate memory|oom[-_]kill"
        r"|cgroup out-of-memory handler|[Ee]xceeded (?:job |step )?memory limit|std::bad_alloc"
        r"|[Oo]ut [Oo]f [Mm]emory|OOM [Kk]illed",
        MORE_MEMORY,
    ),
    _Rule.of(
        "disk_full",
        r"No space left on device|Disk quota exceeded|database or disk is full"
        r"|\[Errno (?:28|122)\]",
        FREE_DISK,
    ),
    # What the ranks say that lose one another then comes later.
    _Rule.of("stuck", r"stuck: no progress for", STUCK),
    _Rule.of("preempted", r"DUE TO PREEMPTION|CANCELLED .* PREEMPT", NEXT_LAUNCH),
    _Rule.of("time_out", r"DUE TO TIME LIMIT|stopped at its time limit", MORE_TIME, train=RESUME),
    _Rule.of(
        "node_failure",
        r"DUE TO NODE FAILURE|Node failure on|DUE TO NODE .* NOT RESPONDING"
        r"|uncorrectable ECC error|GPU has fallen off the bus|Stale file handle"
        r"|Transport endpoint is not connected",
        BROKEN_NODE,
    ),
    _Rule.of(
        "infrastructure",
        r"NCCL (?:error|WARN)|ncclSystemError|ncclRemoteError|ncclInternalError|DistNetworkError"
        r"|DistBackendError|Watchdog caught collective operation timeout|gloo/transport"
        r"|Connection (?:reset|refused|closed|timed out)|[Cc]lient socket has timed out"
        r"|EADDRINUSE|[Aa]ddress already in use|Temporary failure in name resolution"
        r"|Broken pipe|No route to host|Network is unreachable",
        NETWORK,
    ),
    _Rule.of(
        "infrastructure",
        r"CUDA driver version is insufficient|no CUDA-capable device|devices? .*busy or unavailable"
        r"|CUDA error: (?:unknown error|unspecified launch failure|initialization error)"
        r"|Bus error|Input/output error|disk I/O error|database is locked|\[Errno 5\]"
        r"|the grader could not run|Unable to create step|error: Task launch .* failed"
        r"|Job credential|Munge (?:encode|decode) failed",
        BROKEN_DEVICE,
    ),
    _Rule.of(
        "infrastructure",
        r"cannot open shared object file|GLIBC\w*_[\d.]+' not found|command not found"
        r"|[Mm]odule\(s\) are unknown|execve\(\): .*: No such file or directory"
        r"|(?:python\S*|srun|bash): No such file or directory|sandbox: .* does not work",
        ENVIRONMENT,
    ),
    _Rule.of("code_error", r"ModuleNotFoundError|\bImportError\b", ENVIRONMENT),
    _Rule.of(
        "data_missing",
        r"FileNotFoundError|cannot be read \(|is not in the pool|no model at|has changed since the job"
        r"|is empty; expected|is larger than the pool|pool holds no trace|evaluation set (?:is empty|holds no problem)"
        r"|does not appear to have a file named|\[Errno 2\]|no samples to (?:grade|score)",
        MISSING_DATA,
    ),
    _Rule.of("unknown", r"DependencyNeverSatisfied", "look at what it waits for, which failed"),
    _Rule.of("code_error", r"Segmentation fault|core dumped|device-side assert", LOOK),
    _Rule.of(
        "unknown",
        r"\btasks? [\d,-]+: Killed|^Killed$|\brank [\d, ]+ of \d+ ended without a word",
        KILLED,
    ),
    _Rule.of("code_error", r"^UserError: ", AS_SAID),
    # An exception of Python: `ValueError: …`, `pkg.errors.DataError: …`, or a bare name at the end.
    _Rule.of(
        "code_error",
        r"^(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Failed|Interrupt|Exit)(?::|$)",
        LOOK,
    ),
    _Rule.of("code_error", r"^Traceback \(most recent call last\)", LOOK),
]

STATE_RULES = {
    rule.pattern.pattern: rule
    for rule in (
        _Rule.of("out_of_memory", "OUT_OF_MEMORY", MORE_MEMORY),
        _Rule.of("time_out", "TIMEOUT", MORE_TIME, train=RESUME),
        _Rule.of(
            "time_out", "DEADLINE", "set a later deadline, then launch again with --retry timeout"
        ),
        _Rule.of("node_failure", "NODE_FAIL", NEXT_LAUNCH),
        _Rule.of("node_failure", "BOOT_FAIL", NEXT_LAUNCH),
        _Rule.of("preempted", "PREEMPTED", NEXT_LAUNCH),
    )
}

# Slurm writes `code:signal`, and squeue `RaisedSignal:9(Killed)`; a shell adds 128 to a signal.
EXIT_RULES = [
    _Rule.of("infrastructure", r"^12[67](?::|$)", ENVIRONMENT),
    _Rule.of("infrastructure", r"^135(?::|$)|:7$|RaisedSignal:7\b", BROKEN_DEVICE),
    _Rule.of("code_error", r"^139(?::|$)|:11$|RaisedSignal:11\b", LOOK),
    _Rule.of("unknown", r"^137(?::|$)|:9$|RaisedSignal:9\b", KILLED),
]
UNKNOWN = "read the end of the log; " + AGAIN


def classify(
    error: str,
    log_text: str = "",
    slurm_state: str = "",
    exit_code: str = "",
    job: str = "<kind>",
) -> Failure:
    """What a failure was, by the words that show it.

    Args:
        error: what the job recorded: its exception's line, or the whole traceback.
        log_text: the end of its log.
        slurm_state: Slurm's word, such as `TIMEOUT`, with or without a reason behind it.
        exit_code: Slurm's `code:signal`, or the reason `RaisedSignal:9(Killed)`.
        job: the job's kind, for the settings that the action names.
    """
    found = _search(error, job) or _of_state(slurm_state, job) or _search(log_text, job)
    if found is None and exit_code:
        rule = next((rule for rule in EXIT_RULES if rule.pattern.search(exit_code)), None)
        found = _made(rule, f"exit code {exit_code}", job) if rule else None
    if found is not None:
        return found
    shown = _last_line(error) or _last_line(log_text)
    slurm = " ".join(filter(None, [slurm_state, exit_code and f"exit code {exit_code}"]))
    return Failure("unknown", _shortened(shown or slurm) or "it left no word", UNKNOWN)


def _of_state(slurm_state: str, job: str) -> Failure | None:
    word = slurm_state.split()[0] if slurm_state.strip() else ""
    rule = STATE_RULES.get(word)
    return _made(rule, slurm_state, job) if rule else None


def _search(text: str, job: str) -> Failure | None:
    """The first rule that a line of the text matches, with the last such line: what came at the end.

    The source lines that a traceback quotes are passed over: they name errors that did not happen.
    """
    quoted = "Traceback (most recent call last)" in text
    lines = [line for line in text.splitlines() if not (quoted and line.startswith("  "))]
    for rule in TEXT_RULES:
        for line in reversed(lines):
            if rule.pattern.search(line.strip()):
                return _made(rule, line, job)
    return None


def _made(rule: _Rule, line: str, job: str) -> Failure:
    action = rule.by_job.get(job, rule.action).format(job=job)
    return Failure(rule.kind, _shortened(line), action)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _shortened(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"
