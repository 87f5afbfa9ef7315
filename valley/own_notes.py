"""A job's own notes: what a job, or the process that was started for it, tells of where it stands.

It is the last word on one machine, which has no scheduler to ask; on Slurm it only says where a job was
stopped.
"""

from __future__ import annotations

from valley.ledger import Submission
from valley.places import Named
from valley.plan import Known
from valley.processes import has_live_task, is_alive
from valley.store import Store


def submission_lives(submission: Submission) -> bool | None:
    """Whether a local submission's processes live; None if they are another host's."""
    if has_live_task(submission.folder):
        return True
    # Without a process in the journal it has done nothing: an element waits for that.
    return is_alive(submission.process) if submission.process else False


def from_stop(store: Store, job: Named) -> Known | None:
    """That a job was stopped at its time limit and can go on; None where it was not."""
    note = store.stopped(job.kind, job.identity)
    if note is None:
        return None
    log = str(note.get("log", ""))
    if "step" not in note:
        return Known("new", "stopped at its time limit; begins again", log, resumes=True)
    reason = f"stopped at its time limit at step {note['step']} of {note.get('steps')}; resumes"
    if note.get("fault"):
        reason += (
            f" after step {note.get('kept')}, since this one could not be kept: {note['fault']}"
        )
    return Known("new", reason, log, resumes=True)


def from_note(store: Store, job: Named) -> Known | None:
    """What the job's own note of the process that runs it tells; None where it left none."""
    note = store.running(job.kind, job.identity)
    if note is None:
        return from_stop(store, job)
    log = str(note.get("log", ""))
    match is_alive(note):
        case True:
            return Known("running", f"process {note['pid']}", log)
        case False:
            return Known("new", "interrupted", log)
        case _:
            return Known("lost", f"started on {note.get('host')}, which cannot be asked here", log)
