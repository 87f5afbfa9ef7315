"""When a sweep that is under way will have ended, from what its launch estimated and what jobs have taken."""

from __future__ import annotations

import time

from valley.errors import UserError
from valley.forecast import Forecast, forecast
from valley.job_file import read_job
from valley.ledger import Ledger
from valley.picture import Picture, Tracked
from valley.root_lock import launcher_at_work
from valley.store import Store


def expected_end(ledger: Ledger, store: Store, seen: Picture) -> Forecast | str | None:
    """When what is under way will have ended, or why that cannot be said; None where nothing runs."""

    def estimate_s(job: Tracked) -> float | None:
        known = estimates.get(job.ticket.identity)
        return _noted_estimate(store, job) if known is None else known

    def took_s(job: Tracked) -> float | None:
        result = store.result(job.ticket.kind, job.ticket.identity)
        return None if result is None else result["cost"].get("wall_s")

    def elapsed_s(job: Tracked) -> float:
        note = store.running(job.ticket.kind, job.ticket.identity) or {}
        return max(0.0, time.time() - note["began"]) if "began" in note else 0.0

    if not any(job.known.state == "running" for job in seen.jobs.values()):
        return None
    estimates = ledger.estimates()
    # What no one has queued begins only where a launcher is at work, and behind a failure not at all.
    ends = {"done", "running", "pending", *(["new"] if launcher_at_work(store.root) else [])}
    rows = [row for row in seen.rows if row.state not in ("failed", "lost")]
    jobs = {place: seen.jobs[place] for row in rows for place in row.jobs}
    chosen = [job for job in jobs.values() if job.known.state in ends]
    if end := forecast(chosen, estimate_s, took_s, elapsed_s):
        return end
    lacking = sum(job.known.state != "done" and estimate_s(job) is None for job in chosen)
    if not lacking:
        return "not known: what runs is of cells that have failed"
    path = ledger.folder / "estimates.json"
    return f"not known: {lacking} of the jobs to come have no estimate in {path}; launch again"


def _noted_estimate(store: Store, job: Tracked) -> float | None:
    """The estimate that a job's own file carries from the launch that laid it."""
    try:
        laid = read_job(store.folder(job.ticket.kind, "", job.ticket.identity))
    except UserError:
        return None
    return laid.notes.get("estimated_s")
