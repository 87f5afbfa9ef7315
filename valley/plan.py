"""The plan: of the jobs that a sweep needs, what exists, and what is to be done about the rest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from valley.job import Job, Row, Trail

Action = Literal["done", "submit", "rebuild", "wait", "failed", "lost", "blocked"]
"""`rebuild` is a submission too: of a job that is done, for its weights, which were pruned."""


@dataclass(frozen=True)
class Known:
    """What is known of a job: its state, why, where its log stands, and the scheduler's name for it."""

    state: Literal["done", "running", "pending", "failed", "lost", "new"]
    reason: str = ""
    log: str = ""
    place: str = ""
    pruned: bool = False
    """Whether it has a result, and its weights are gone; `state` is then that of a rebuild, if any."""


@dataclass(slots=True)
class Decision:
    """What is to be done about a job, and why; its log and the scheduler's name, where it has any."""

    job: Job
    action: Action
    reason: str
    log: str = ""
    place: str = ""


@dataclass(frozen=True)
class Plan:
    """A sweep's trail, and a decision per job, parents before children."""

    rows: list[Row]
    decisions: list[Decision]

    def with_action(self, *actions: Action) -> list[Decision]:
        """The decisions with one of these actions."""
        return [d for d in self.decisions if d.action in actions]

    @property
    def to_run(self) -> list[Decision]:
        """What a launch submits."""
        return self.with_action("submit", "rebuild")


def decide(
    trail: Trail,
    known: Callable[[Job], Known],
    retry: frozenset[str] = frozenset(),
) -> Plan:
    """Decide what is to be done about each job.

    A job whose result exists is done even if its parents' results are gone. What only done jobs would
    need is left out of the work: a parent is submitted only if some child needs it. The same holds of
    weights that were pruned: they are rebuilt only for a child that is to run.

    Args:
        retry: states that are submitted again: `failed`, `lost`.
    """
    states = {job.identity: known(job) for job in trail.jobs}
    wanted = _wanted(trail.rows, states)
    decisions: list[Decision] = []
    stuck: dict[str, Action] = {}
    for job in trail.jobs:
        state = states[job.identity]
        action, reason = _decide(job, state, wanted, stuck, retry)
        if action in ("failed", "lost", "blocked"):
            stuck[job.identity] = action
        decisions.append(Decision(job, action, reason, state.log, state.place))
    return Plan(trail.rows, decisions)


def _wanted(rows: list[Row], states: Mapping[str, Known]) -> dict[str, Job]:
    """What is to be done, each with the job that it is first wanted for (a grading for itself).

    Only what starts from a checkpoint, or asks it, has a parent whose weights can be gone.
    """
    wanted: dict[str, Job] = {}
    stack = [(row.grade, row.grade) for row in rows]
    while stack:
        job, child = stack.pop()
        if job.identity in wanted:
            continue
        state = states[job.identity]
        if state.state != "done" or state.pruned:
            wanted[job.identity] = child
            stack.extend((parent, job) for parent in job.parents if parent.identity not in wanted)
    return wanted


def _decide(
    job: Job,
    state: Known,
    wanted: Mapping[str, Job],
    stuck: Mapping[str, Action],
    retry: frozenset[str],
) -> tuple[Action, str]:
    if job.identity not in wanted:
        there = state.state == "done"
        return "done", "result is there" if there else "not needed: what it is for is done"
    if state.state in ("running", "pending"):
        return "wait", state.reason or state.state
    if stuck and (blocker := next((j for j in job.parents if j.identity in stuck), None)):
        return "blocked", f"{blocker.kind} {blocker.label} {stuck[blocker.identity]}"
    if state.state in ("failed", "lost"):
        if state.state in retry:
            return "rebuild" if state.pruned else "submit", f"again, after: {state.reason}"
        return ("failed" if state.state == "failed" else "lost"), state.reason
    if state.pruned:
        child = wanted[job.identity]
        return "rebuild", f"weights were pruned, and {child.kind} {child.label} needs them"
    return "submit", state.reason or "no result yet"
