"""The forecast: when a sweep that is under way will end. Pure.

Each job is expected to take what the launch estimated for it, times how much longer or shorter than
their estimates the finished jobs of its kind took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from valley.picture import Tracked

SAMPLE = 50
"""Most finished jobs of a kind that are looked at."""


@dataclass(frozen=True)
class Forecast:
    """How long it will take, and from what that is known."""

    left_s: float
    lanes: int
    """Jobs at work at once."""
    basis: str


def forecast(
    jobs: Iterable[Tracked],
    estimate_s: Callable[[Tracked], float | None],
    took_s: Callable[[Tracked], float | None],
    elapsed_s: Callable[[Tracked], float],
) -> Forecast | None:
    """When all jobs that are to come will have ended; None where that cannot be said.

    Args:
        estimate_s: the launch's estimate of a job.
        took_s: the wall seconds of a finished job.
        elapsed_s: for how long a running job has been at work.
    """
    jobs = list(jobs)
    to_come = [job for job in jobs if job.known.state in ("running", "pending", "new")]
    estimates = [estimate_s(job) for job in to_come]
    lanes = sum(job.known.state == "running" for job in to_come)
    if not lanes or None in estimates:
        return None
    rates, basis = _rates(jobs, estimate_s, took_s)
    total = longest = 0.0
    for job, estimate in zip(to_come, estimates, strict=True):
        left_s = (estimate or 0.0) * rates.get(job.ticket.kind, 1.0)
        if job.known.state == "running":
            left_s = max(0.0, left_s - elapsed_s(job))
        total += left_s
        longest = max(longest, left_s)
    return Forecast(max(total / lanes, longest), lanes, basis)


def _rates(
    jobs: list[Tracked],
    estimate_s: Callable[[Tracked], float | None],
    took_s: Callable[[Tracked], float | None],
) -> tuple[dict[str, float], str]:
    """By kind, measured over estimated seconds of the finished jobs; and what that rests on."""
    finished: dict[str, list[Tracked]] = {}
    for job in jobs:
        if job.known.state == "done" and estimate_s(job):
            finished.setdefault(job.ticket.kind, []).append(job)
    rates = {}
    for kind, done in finished.items():
        # Spread over all of them: the first were perhaps the smallest.
        sample = done[:: max(1, len(done) // SAMPLE)]
        pairs = [(took, estimate_s(job) or 0.0) for job in sample if (took := took_s(job))]
        if pairs:
            rates[kind] = sum(took for took, _ in pairs) / sum(estimate for _, estimate in pairs)
    basis = ", ".join(f"{len(finished[kind])} {kind}" for kind in rates)
    corrected = f", corrected by finished jobs ({basis})" if basis else ""
    return rates, f"the launch's estimates{corrected}"
