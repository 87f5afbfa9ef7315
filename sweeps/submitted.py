"""What one launch has submitted: nothing twice, but for what `cluster.retry` tries again by itself.

With a job that is tried again goes what rests on it: Slurm cancels, or never starts, what waited for a
job that failed. What a person cancelled meanwhile is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from valley.cluster.config import RetryPolicy
from valley.job import Job
from valley.plan import Decision, Plan


@dataclass
class Submitted:
    """How often each job was submitted, by its identity."""

    policy: RetryPolicy
    times: dict[str, int] = field(default_factory=dict)
    _parents: dict[str, int] = field(default_factory=dict)
    """How often a job's parents had been submitted when it was."""
    _begun: frozenset[str] = frozenset()
    """What is being submitted; if Slurm fell silent in it, its queue tells later what of it got there."""

    def fresh(self, plan: Plan) -> list[Decision]:
        """What is to be submitted of a plan that no `--retry` was asked of."""
        left: set[str] = set()
        again: set[str] = set()
        fresh = []
        for decision in plan.to_run:  # parents before children
            job = decision.job
            parents = {parent.identity for parent in job.parents}
            tried = job.identity in self.times
            if parents & left or (tried and not (parents & again or self._is_due(decision))):
                left.add(job.identity)
                continue
            if tried:
                again.add(job.identity)
            fresh.append(decision)
        return fresh

    def begin(self, jobs: Iterable[Job]) -> None:
        """Remember what is about to be submitted, of which `note` tells how it went."""
        self._begun = frozenset(job.identity for job in jobs)

    def settle(self, plan: Plan) -> None:
        """Remember what was submitted by an attempt that Slurm's silence ended, as the queue shows it."""
        if self._begun:
            waiting = [decision.job for decision in plan.with_action("wait")]
            self.note([job for job in waiting if job.identity in self._begun])

    def note(self, jobs: Iterable[Job]) -> None:
        """Remember what was submitted, parents before children."""
        self._begun = frozenset()
        for job in jobs:
            self.times[job.identity] = self.times.get(job.identity, 0) + 1
            self._parents[job.identity] = self._of_parents(job)

    def retries(self, decisions: Iterable[Decision]) -> int:
        """How many of these are tried again."""
        return sum(decision.job.identity in self.times for decision in decisions)

    def _is_due(self, decision: Decision) -> bool:
        """Whether a job that was submitted is to be so again."""
        job, known = decision.job, decision.known
        if known.state == "failed":
            return True  # or the plan would leave it alone: the policy has a budget for it
        if known.resumes:
            return self.times[job.identity] <= self.policy.time_outs
        return self._of_parents(job) > self._parents[job.identity]

    def _of_parents(self, job: Job) -> int:
        return sum(self.times.get(parent.identity, 0) for parent in job.parents)
