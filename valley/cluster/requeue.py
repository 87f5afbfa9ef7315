"""Requeue: what becomes of an element that was told to stop while it was at a job.

| told by | a job that has gained something | a job that has not |
|---|---|---|
| the time limit near | requeued, or noted for the next launch; after `time_outs` times failed | failed |
| a termination | Slurm requeues what it preempts; what was cancelled stays cancelled | the same |

*Gained* is a checkpoint of a later step than it began at, or another job of the element that is done:
what has not would be stopped at the same place again. Where the last step could not be kept, one that was
kept before counts. A training that got further in the stint before is begun once more, since it may have
been slow to start this time: Slurm sends the signal up to a minute early.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from valley.cluster import slurm
from valley.cluster.config import ClusterConfig
from valley.cluster.rendezvous import leave_process_group, place, said_by_any
from valley.cluster.signals import Interrupted, Reason, stop_signals
from valley.cluster.stints import end_stint, gained_before, time_outs
from valley.errors import Stopped, UserError
from valley.job_file import JobFile, write_failure
from valley.records import write_json

logger = logging.getLogger(__name__)

STOPPED_SCHEMA = "valley.stopped/1"
TERMINATED_STATUS = 143
STOPPED_STATUS = 75
FIRST_S = 5.0
"""How long the other ranks of a job that was broken off let the first say so."""


@dataclass(frozen=True)
class RequeuePolicy:
    """What an element may do at its time limit."""

    requeue: bool = False
    """Whether it may requeue itself. Where not, the next launch submits it again."""
    time_outs: int = 3
    """How often a job may be stopped at its time limit and go on, before it has failed."""

    @classmethod
    def of(cls, config: ClusterConfig) -> RequeuePolicy:
        """What a site lets its elements do."""
        return cls(requeue=config.requeue, time_outs=config.retry.time_outs)


def end_stopped(
    job: JobFile, stop: Stopped | Interrupted, done: int, policy: RequeuePolicy, log: str
) -> NoReturn:
    """End this process, which was told to stop amid a job.

    Args:
        done: jobs of the element that succeeded in this process.
    """
    reason: Reason = stop_signals.reason
    if isinstance(stop, Stopped):
        # The ranks are here together, though the signal may have come to some of them only.
        said = said_by_any(reason)
        reason = "terminated" if "terminated" in said else "time_limit"
    if place().rank == 0:
        logger.warning("%s %s: %s (%s)", job.kind, job.label, stop, reason.replace("_", " "))
        if reason == "terminated":
            # Its note of being at work stays: who cancels a job is to see it as cancelled.
            end_stint(job.folder, "terminated")
        else:
            _at_time_limit(job, stop, done, policy, log)
    elif reason == "time_limit" and not isinstance(stop, Stopped):
        # Slurm kills the first when another has ended.
        time.sleep(FIRST_S)
    if isinstance(stop, Stopped):
        leave_process_group()
    _exit(TERMINATED_STATUS if reason == "terminated" else 0 if done else STOPPED_STATUS)


def end_between(policy: RequeuePolicy, done: int) -> NoReturn:
    """End this process, which was told to stop between two jobs of its element."""
    if stop_signals.reason == "time_limit" and done:
        _requeue(policy)
    _exit(TERMINATED_STATUS if stop_signals.reason == "terminated" else 0 if done else 1)


def _at_time_limit(
    job: JobFile, stop: Stopped | Interrupted, done: int, policy: RequeuePolicy, log: str
) -> None:
    further = isinstance(stop, Stopped) and stop.gained
    gained = done > 0 or further
    # What stands between it and its checkpoint is the failure, and its class: a full disk.
    unkept = stop.fault if isinstance(stop, Stopped) else ""
    times = time_outs(job.folder) + 1
    setting = f"resources.{job.kind}.time_limit_min"
    if not gained and unkept:
        failure = f"{stop}; it gained nothing before its time limit"
    elif not gained and not gained_before(job.folder):
        failure = f"stopped at its time limit; raise {setting}, or lower its pack"
    elif times > policy.time_outs:
        failure = (
            f"stopped at its time limit {times} times; raise {setting} or cluster.retry.time_outs"
        )
    else:
        end_stint(job.folder, "time_limit", gained=further)
        note: dict[str, Any] = {"schema": STOPPED_SCHEMA, "identity": job.identity, "log": log}
        if isinstance(stop, Stopped):
            note |= {"step": stop.step, "steps": stop.steps, "kept": stop.kept, "fault": stop.fault}
        write_json(job.folder / "stopped.json", note)
        (job.folder / "running.json").unlink(missing_ok=True)
        _requeue(policy)
        return
    end_stint(job.folder, "failed")
    write_failure(job, failure, log)


def _requeue(policy: RequeuePolicy) -> None:
    """Have Slurm begin this element again, if that is allowed: it then ends this process."""
    task = slurm.this_task()
    if not policy.requeue or not task:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        slurm.requeue(task)
        logger.warning("requeued as %s", task)
    except UserError as error:
        logger.warning("not requeued: %s; the next launch goes on from here", error)


def _exit(status: int) -> NoReturn:
    """End at once: an orderly end would wait for threads of the work that was broken off."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
