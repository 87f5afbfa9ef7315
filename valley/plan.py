"""The plan: of the jobs that a sweep needs, what exists, and what is to be done about the rest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from valley.job import Job, Row, Trail

Action = Literal["done", "submit", "wait", "failed", "lost", "blocked"]


@dataclass(frozen=True)
class Known:
    """What is known of a job: its state, why, where its log stands, and the scheduler's name for it."""

    state: Literal["done", "running", "pending", "failed", "lost", "new"]
    reason: str = ""
    log: str = ""
    place: str = ""


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


def decide(
    trail: Trail,
    known: Callable[[Job], Known],
    retry: frozenset[str] = frozenset(),
) -> Plan:
    """Decide what is to be done about each job.

    A job whose result exists is done even if its parents' results are gone. What only done jobs would
    need is left out of the work: a parent is submitted only if some child needs it.

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


def _wanted(rows: list[Row], states: Mapping[str, Known]) -> set[str]:
    wanted: set[str] = set()
    stack = [row.grade for row in rows]
    while stack:
        job = stack.pop()
        if job.identity in wanted:
            continue
        if states[job.identity].state != "done":
            wanted.add(job.identity)
            stack.extend(parent for parent in job.parents if parent.identity not in wanted)
    return wanted


def _decide(
    job: Job,
    state: Known,
    wanted: set[str],
    stuck: Mapping[str, Action],
    retry: frozenset[str],
) -> tuple[Action, str]:
    if state.state == "done":
        return "done", "result is there"
    if job.identity not in wanted:
        return "done", "not needed: what it is for is done"
    if state.state in ("running", "pending"):
        return "wait", state.reason or state.state
    if stuck and (blocker := next((j for j in job.parents if j.identity in stuck), None)):
        return "blocked", f"{blocker.kind} {blocker.label} {stuck[blocker.identity]}"
    if state.state in ("failed", "lost"):
        if state.state in retry:
            return "submit", f"again, after: {state.reason}"
        return ("failed" if state.state == "failed" else "lost"), state.reason
    return "submit", state.reason or "no result yet"
