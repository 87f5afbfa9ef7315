"""State: what is known of each job, from results first, then from what runs it; never a guess.

Order of trust: a valid result file is done; a failure that the job wrote down is failed; then Slurm's
queue, then its accounting, or on one machine the process that said it runs the job; what was submitted
and is nowhere to be found is lost; and what was never submitted is new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from valley.cluster import slurm
from valley.ledger import Submission
from valley.plan import Known
from valley.processes import is_alive
from valley.store import Store

LIVE_RUNNING = {"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED", "SUSPENDED"}
LIVE_PENDING = {
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "RESV_DEL_HOLD",
    "SPECIAL_EXIT",
    "RESIZING",
}


class Named(Protocol):
    """A job, or whatever else says a job's kind and identity."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Ticket:
    """A job as a manifest names it: by its folder, which carries a quarter of its identity."""

    kind: str
    identity: str

    @classmethod
    def of(cls, place: str) -> Ticket:
        """From a folder relative to the store, such as `train/ab/label-<hash16>`."""
        return cls(place.split("/")[0], place.rpartition("-")[2])


def knowledge(store: Store, submissions: list[Submission]) -> Callable[[Named], Known]:
    """A function that says what is known of a job. Slurm is asked at most twice, and only if needed."""
    answers: dict[str, dict[tuple[str, int], slurm.Task]] = {}
    on_slurm = [submission for submission in submissions if submission.cluster == "slurm"]
    ids = {s.intent: s.job_id for s in on_slurm if s.job_id is not None}
    if len(ids) < len(on_slurm):
        # The launcher died after sbatch and before it wrote the id; the working folder tells.
        answers["queue"] = slurm.queue()
        folders = {task.folder: array for (array, _), task in answers["queue"].items()}
        ids |= {s.intent: folders[str(s.folder)] for s in on_slurm if str(s.folder) in folders}
    slurm_places: dict[str, tuple[str, int, Submission]] = {}
    for submission in on_slurm:  # later ones win
        if submission.intent in ids:
            for index, identities in enumerate(submission.elements):
                for identity in identities:
                    slurm_places[identity[:16]] = (ids[submission.intent], index, submission)

    def ask_slurm(array: str, index: int) -> slurm.Task | None:
        if "queue" not in answers:
            answers["queue"] = slurm.queue()
        if (task := answers["queue"].get((array, index))) is not None:
            return task
        if "accounting" not in answers:
            answers["accounting"] = slurm.accounting(place[0] for place in slurm_places.values())
        return answers["accounting"].get((array, index))

    def known(job: Named) -> Known:
        if store.result(job.kind, job.identity) is not None:
            return Known("done")
        failure = store.failure(job.kind, job.identity)
        if failure is not None:
            return Known("failed", str(failure.get("error", "")), str(failure.get("log", "")))
        if job.identity[:16] in slurm_places:
            array, index, submission = slurm_places[job.identity[:16]]
            name = f"{array}_{index}" if len(submission.elements) > 1 else array
            log = str(submission.folder / f"{name}_0_log.err")
            return _from_slurm(ask_slurm(array, index), name, log)
        return _from_process(store, job)

    return known


def _from_slurm(task: slurm.Task | None, name: str, log: str) -> Known:
    if task is None:
        return Known("lost", f"Slurm no longer knows job {name}, and it left no result", log)
    if task.state in LIVE_RUNNING:
        return Known("running", f"job {name}", log, name)
    if task.state in LIVE_PENDING:
        return Known("pending", f"job {name}: {task.reason}", log, name)
    said = slurm.ENDED.get(task.state, f"ended as {task.state}")
    reason = f" ({task.reason})" if task.reason and task.reason != "None" else ""
    return Known("failed", f"job {name} {said}{reason}", log)


def _from_process(store: Store, job: Named) -> Known:
    note = store.running(job.kind, job.identity)
    if note is None:
        return Known("new")
    log = str(note.get("log", ""))
    match is_alive(note):
        case True:
            return Known("running", f"process {note['pid']}", log)
        case False:
            return Known("new", "interrupted", log)
        case _:
            return Known("lost", f"started on {note.get('host')}, which cannot be asked here", log)
