"""State: what is known of each job, from results first, then from what runs it; never a guess.

Order of trust: a valid result file is done; a failure that the job wrote down is failed; then whatever
it was submitted to last: Slurm's queue, then its accounting, or on one machine the process that was
started. What was submitted and is nowhere to be found is lost; what was never submitted is new.

A job that is done and whose weights were pruned stays done; a rebuild that was submitted since is told
of as if the job had no result, since it has none that its children could start from.

An element that was killed has failed for the one job that was at work. Jobs that shared it and had not
begun, and jobs that waited for another in vain, are new again: nothing was ever tried of them. New too
is what a person cancelled: they stopped it, and launching again is how they start it.

Of what failed the class is told too, with the line that shows it: `failures`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from valley.attempts import retries
from valley.cluster import slurm
from valley.errors import UserError
from valley.evidence import classified, reason_of, recorded
from valley.failures import Failure
from valley.job_file import KINDS, read_job
from valley.ledger import Submission
from valley.own_notes import from_note, from_stop, submission_lives
from valley.places import Named, Place, last_places
from valley.places import Ticket as Ticket
from valley.plan import NEW, Known
from valley.store import Store
from valley.weights import gone_since, lacks_weights

NEVER_SATISFIED = "DependencyNeverSatisfied"
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
LIVE = LIVE_RUNNING | LIVE_PENDING
# Slurm's own words in a log of why it cancelled something: no person did.
NOT_BY_A_PERSON = {"out_of_memory", "time_out", "preempted", "node_failure"}

DONE = Known("done")


def knowledge(store: Store, submissions: list[Submission]) -> Callable[[Named], Known]:
    """A function that says what is known of a job: `Knowledge.known`.

    Args:
        submissions: oldest first.
    """
    return Knowledge(store, submissions).known


class Knowledge:
    """What is known of jobs: where each was submitted last, and what was answered so far.

    Slurm is asked at most twice, and only if needed.
    """

    def __init__(self, store: Store, submissions: list[Submission]) -> None:
        self.store = store
        self.alive: dict[str, bool | None] = {}
        self.told: dict[str, Known] = {}
        self.places = last_places(submissions, lambda: self.queue)
        self._laid = {kind: store.laid(kind) for kind in KINDS}

    @cached_property
    def queue(self) -> dict[tuple[str, int], slurm.Task]:
        """What squeue shows of this user's jobs."""
        return slurm.queue()

    @cached_property
    def accounting(self) -> dict[tuple[str, int], slurm.Task]:
        """What sacct remembers of the arrays that jobs were submitted in last."""
        return slurm.accounting({place.array for place in self.places.values() if place.array})

    @cached_property
    def keeps_invalid(self) -> bool:
        """Whether Slurm keeps tasks that will never start."""
        return any(task.reason == NEVER_SATISFIED for task in self.queue.values())

    def known(self, job: Named) -> Known:
        """What is known of a job."""
        name = job.identity[:16]
        if name not in self.places and name not in self._laid[job.kind]:
            return NEW
        if name not in self.told:
            self.told[name] = self._known(job)
        return self.told[name]

    def _known(self, job: Named) -> Known:
        place = self.places.get(job.identity[:16])
        result = self.store.result(job.kind, job.identity)
        if result is None:
            known = self._undone(job, place)
            spoiled = self.store.spoiled.get(job.identity[:16])
            if spoiled and known.state in ("new", "lost"):
                # It had ended well, so that nothing of it can be under way.
                return Known("new", f"its result is damaged: {spoiled}", retries=known.retries)
            return known
        folder = self.store.folder(job.kind, "", job.identity)
        if not lacks_weights(folder, result):
            return DONE
        if place is not None and place.submission.at <= gone_since(folder, result):
            place = None  # what made the weights
        rebuild = self._undone(job, place)
        if rebuild.state == "new":
            return replace(rebuild, state="done", pruned=True)
        return replace(rebuild, pruned=True)

    def _undone(self, job: Named, place: Place | None) -> Known:
        """What is known of a job that has no result, or none that its weights are there for."""
        # Of what is requeued an earlier failure says nothing, and most of a large sweep is queued.
        if place is None or not self._is_requeued(place):
            record = self.store.failure(job.kind, job.identity)
            if record is not None:
                recorded = self._recorded(job, place, record)
                known = self._failed(job, place, reason_of(record), *recorded)
                # At its limit a job that gained something is requeued, as often as it may be.
                return replace(known, is_final=known.failure == "time_out")
        if place is None:
            return replace(from_note(self.store, job) or NEW, retries=self._retries(job))
        if place.submission.cluster == "held":
            held = f"held back: {place.submission.reason}"
            return Known("new", held, retries=self._retries(job))
        if place.array:
            return self._from_slurm(job, place)
        return self._from_machine(job, place)

    def _recorded(
        self, job: Named, place: Place | None, record: dict[str, Any]
    ) -> tuple[str, Failure]:
        """The log and the failure that a job recorded; of what Slurm did to its nodes Slurm knows better.

        Ranks that lose another see a broken connection.
        """
        log, failure = recorded(record, job.kind)
        if failure.kind in ("infrastructure", "unknown") and place is not None and place.array:
            key = (place.array, place.index)
            task = self.queue.get(key) or self.accounting.get(key)
            if task is not None and task.state in slurm.TAKEN_AWAY:
                failure = classified(job.kind, place, task)
        return log, failure

    def _retries(self, job: Named, place: Place | None = None) -> Counter[str]:
        folder = self.store.folder(job.kind, "", job.identity)
        return retries(folder, place.attempt if place else "")

    def _failed(
        self, job: Named, place: Place | None, reason: str, log: str, failure: Failure
    ) -> Known:
        return Known(
            "failed",
            reason,
            log,
            failure=failure.kind,
            line=failure.line,
            remedy=failure.action,
            attempt=place.attempt if place else "",
            retries=self._retries(job, place),
        )

    def _from_slurm(self, job: Named, place: Place) -> Known:
        name, log = place.name, str(place.log)
        key = (place.array, place.index)
        task = self.queue.get(key)
        if task is None:
            task = self.accounting.get(key)
            if task is not None and task.state in LIVE:
                task = None  # the queue knows better: its end never reached accounting
        is_live = task is not None and task.state in LIVE
        if not is_live and (stopped := from_stop(self.store, job)):
            return replace(self._new(job, place, stopped.reason), resumes=True)
        if task is None and place.index in place.submission.cancelled:
            return self._new(job, place, f"job {name} was cancelled")
        begun = task is None and self.store.running(job.kind, job.identity) is not None
        if task is None and not begun and (waited := self._missing(job)):
            # Cancelled by Slurm for a parent that failed, and forgotten since.
            return self._new(job, place, _vain(waited[0]))
        if task is None:
            said = f"Slurm no longer knows job {name}, and it left no result"
            return Known("lost", said, log, attempt=place.attempt)
        if task.state in LIVE_RUNNING:
            if self._has_not_come_to(job, place):
                return Known("pending", f"job {name} has not come to it yet", log, name)
            return Known("running", f"job {name}", log, name)
        if task.state in LIVE_PENDING and self._waits_in_vain(job, task):
            # Its place is told, so that it can be cancelled before a new one is sent.
            return self._new(job, place, f"job {name} waits for what failed", name)
        if task.state in LIVE_PENDING:
            return Known("pending", f"job {name}: {task.reason}", log, name)
        return self._ended(job, place, task)

    def _has_not_come_to(self, job: Named, place: Place) -> bool:
        """Whether an element that runs is at work on another of its jobs."""
        others = (name for name in place.element if name[:16] != job.identity[:16])
        return self.store.running(job.kind, job.identity) is None and any(
            self.store.running(job.kind, name) is not None for name in others
        )

    def _missing(self, job: Named) -> list[Ticket]:
        """The inputs of a job that have no result, or not the weights that it needs."""
        inputs = [(ticket, self.known(ticket)) for ticket in _inputs(self.store, job)]
        return [ticket for ticket, known in inputs if known.state != "done" or known.pruned]

    def _ended(self, job: Named, place: Place, task: slurm.Task) -> Known:
        """What is known of a job without a result whose element has ended."""
        said = slurm.ENDED.get(task.state, f"ended as {task.state}")
        why = f" ({task.reason})" if task.reason and task.reason != "None" else ""
        said = f"job {place.name} {said}{why}"
        if self.store.running(job.kind, job.identity) is not None:
            failure = classified(job.kind, place, task)
            if task.state == "CANCELLED" and failure.kind not in NOT_BY_A_PERSON:
                return self._new(job, place, said)
            return self._failed(job, place, said, str(place.log), failure)
        if waited := self._missing(job):
            return self._new(job, place, _vain(waited[0]))
        # Completed: it was passed over for an input that is there by now. Otherwise the first job of
        # an element stands for what kept the element itself from beginning.
        if task.state not in ("CANCELLED", "COMPLETED") and self._is_blamed(job, place):
            return self._failed(job, place, said, str(place.log), classified(job.kind, place, task))
        return self._new(job, place, f"had not begun: {said}")

    def _new(self, job: Named, place: Place, reason: str, name: str = "") -> Known:
        """A job that is to be submitted again as if for the first time, with what it had to be given."""
        return Known("new", reason, str(place.log), name, retries=self._retries(job, place))

    def _is_requeued(self, place: Place) -> bool:
        """Whether an element that has run waits to run again: what failed in it is begun anew.

        A training fails in the ranks that are left when a node of theirs does, and Slurm requeues it.
        """
        task = self.queue.get((place.array, place.index)) if place.array else None
        return task is not None and task.state in LIVE_PENDING

    def _waits_in_vain(self, job: Named, task: slurm.Task) -> bool:
        """Whether a queued task will never start.

        Slurm says so of those that wait for what failed, and not of those that wait for these.
        """
        if task.reason == NEVER_SATISFIED:
            return True
        if task.reason != "Dependency" or not self.keeps_invalid:
            return False
        live = ("running", "pending")
        return any(self.known(parent).state not in live for parent in self._missing(job))

    def _is_blamed(self, job: Named, place: Place) -> bool:
        """Whether this is the first of an element's jobs, of which none left a trace."""
        store, kind = self.store, job.kind
        here = [name for name in place.element if self.places[name[:16]] is place]
        begun = any(
            store.result(kind, name) or store.failure(kind, name) or store.running(kind, name)
            for name in here
        )
        return place.element[0][:16] == job.identity[:16] and not begun

    def _from_machine(self, job: Named, place: Place) -> Known:
        submission = place.submission
        noted = from_note(self.store, job)
        if noted is not None and noted.state != "new":
            return noted
        if submission.intent not in self.alive:
            self.alive[submission.intent] = submission_lives(submission)
        match self.alive[submission.intent]:
            case True if self._has_not_come_to(job, place):
                return Known("pending", "its process has not come to it yet")
            case True:
                return Known("running", "its process begins")
            case False:
                new = noted or Known("new", "its process ended before it began")
                return replace(new, retries=self._retries(job, place))
            case _:
                host = (submission.process or {}).get("host")
                said = f"started on {host}, which cannot be asked here"
                return Known("lost", said, attempt=place.attempt)


def _vain(parent: Ticket) -> str:
    return f"was waiting for {parent.kind} {parent.label}, which has no result"


def _inputs(store: Store, job: Named) -> list[Ticket]:
    """A job's inputs, as its folder names them."""
    try:
        folders = read_job(store.folder(job.kind, "", job.identity)).inputs.values()
    except UserError:  # of a job whose folder is gone or damaged nothing more can be said
        return []
    return [Ticket.of("/".join(folder.parts[-3:])) for folder in folders]
