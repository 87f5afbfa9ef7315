"""The forecast: when a sweep that is under way will end, from how long its finished jobs took. Pure.

A training is expected to take as long per step as the finished ones, any other job as long as the
finished ones of its kind. What has no finished like is taken from the plan's estimate where there is
one; where there is none nothing is said.
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
    basis: str


def forecast(
    jobs: Iterable[Tracked],
    took_s: Callable[[Tracked], float | None],
    elapsed_s: Callable[[Tracked], float],
    estimate_s: Callable[[Tracked], float | None],
) -> Forecast | None:
    """When the jobs that are running or queued will have ended; None where that cannot be said.

    Args:
        took_s: the wall seconds of a finished job.
        elapsed_s: for how long a running job has been at work.
        estimate_s: the plan's estimate of a job.
    """
    jobs = list(jobs)
    lanes = sum(job.known.state == "running" for job in jobs)
    if not lanes:
        return None
    rates = _Rates(jobs, took_s, estimate_s)
    total = longest = 0.0
    for job in jobs:
        if job.known.state not in ("running", "pending", "new"):
            continue
        expected = rates.seconds(job)
        if expected is None:
            return None
        if job.known.state == "running":
            expected = max(0.0, expected - elapsed_s(job))
        total += expected
        longest = max(longest, expected)
    return Forecast(max(total / lanes, longest), lanes, rates.basis)


class _Rates:
    """Seconds per unit of work of each kind: a step of a training, a job of the others."""

    def __init__(
        self,
        jobs: list[Tracked],
        took_s: Callable[[Tracked], float | None],
        estimate_s: Callable[[Tracked], float | None],
    ) -> None:
        self._estimate_s = estimate_s
        self._measured: dict[str, tuple[int, float]] = {}
        self._estimated: set[str] = set()
        finished: dict[str, list[Tracked]] = {}
        for job in jobs:
            if job.known.state == "done":
                finished.setdefault(job.ticket.kind, []).append(job)
        for kind, done in finished.items():
            # Spread over all of them: the first were perhaps the smallest.
            sample = done[:: max(1, len(done) // SAMPLE)]
            took = [(job, seconds) for job in sample if (seconds := took_s(job)) is not None]
            if took:
                units = sum(_units(job) for job, _ in took)
                seconds = sum(seconds for _, seconds in took)
                self._measured[kind] = len(done), seconds / units

    def seconds(self, job: Tracked) -> float | None:
        """How long a job is expected to take."""
        kind = job.ticket.kind
        if kind in self._measured:
            return self._measured[kind][1] * _units(job)
        self._estimated.add(kind)
        return self._estimate_s(job)

    @property
    def basis(self) -> str:
        """From what it is known."""
        parts = [f"{count} finished {kind} jobs" for kind, (count, _) in self._measured.items()]
        parts += [f"the plan's estimate of {kind} jobs" for kind in sorted(self._estimated)]
        return ", ".join(parts)


def _units(job: Tracked) -> int:
    return max(1, job.steps) if job.ticket.kind == "train" else 1
