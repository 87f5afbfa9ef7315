"""The plan: of the jobs that a sweep needs, what exists, and what is to be done about the rest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # `status.py` needs neither, and both take longer to import than it to run
    from valley.cluster.config import ResourcesByKind, RetryPolicy
    from valley.job import Job, Row, Trail

Action = Literal["done", "submit", "wait", "failed", "lost", "blocked"]
RETRIES: dict[str, str] = {"timeout": "time_out", "oom": "out_of_memory"}
"""What `--retry` calls classes of failures."""


@dataclass(frozen=True)
class Known:
    """What is known of a job: its state, why, where its log stands, and the scheduler's name for it."""

    state: Literal["done", "running", "pending", "failed", "lost", "new"]
    reason: str = ""
    log: str = ""
    place: str = ""
    failure: str = ""
    """The class of what failed it: `failures.FailureClass`."""
    line: str = ""
    """The line that shows the class."""
    remedy: str = ""
    """What to do next."""
    attempt: str = ""
    """The submission and element that it failed in, or was lost from."""
    retries: Mapping[str, int] = field(default_factory=dict)
    """How often it was tried again, by the class of the failure before."""


NOTHING = Known("new")


@dataclass(slots=True)
class Decision:
    """What is to be done about a job, and why; and what is known of it."""

    job: Job
    action: Action
    reason: str
    known: Known = NOTHING
    raised: bool = False
    """Whether it is to have what `on_out_of_memory` names."""

    @property
    def log(self) -> str:
        """Where its log stands, if it has any."""
        return self.known.log

    @property
    def place(self) -> str:
        """The scheduler's name for it, if it has any."""
        return self.known.place

    @property
    def failure(self) -> str:
        """The class of what failed it, if it has failed."""
        return self.known.failure


@dataclass(frozen=True)
class Plan:
    """A sweep's trail, and a decision per job, parents before children."""

    rows: list[Row]
    decisions: list[Decision]

    def with_action(self, *actions: Action) -> list[Decision]:
        """The decisions with one of these actions."""
        return [d for d in self.decisions if d.action in actions]

    @property
    def raised(self) -> frozenset[str]:
        """The identities of the jobs that are to have what `on_out_of_memory` names."""
        return frozenset(d.job.identity for d in self.decisions if d.raised)


@dataclass(frozen=True)
class _Rules:
    """What is submitted again: what the command line names, and what the policy has a budget for."""

    named: frozenset[str]
    policy: RetryPolicy | None
    resources: ResourcesByKind | None

    def again(self, job: Job, state: Known) -> str | None:
        """The reason to submit a job again that has failed or is lost; None to leave it alone."""
        after = f"after: {state.reason}"
        if self._is_named(state):
            return f"again, {after}"
        if self.policy is None or self.resources is None or state.state != "failed":
            return None
        budget = self.policy.budget(state.failure, job.kind, getattr(self.resources, job.kind))
        number = state.retries.get(state.failure, 0) + 1
        if budget is None:
            return f"again ({state.failure}, retry {number}), {after}"
        if number <= budget:
            return f"again ({state.failure}, retry {number} of {budget}), {after}"
        return None

    def _is_named(self, state: Known) -> bool:
        if "all" in self.named or state.state in self.named:
            return True
        classes = {RETRIES[name] for name in self.named if name in RETRIES}
        return state.state == "failed" and state.failure in classes


def decide(
    trail: Trail,
    known: Callable[[Job], Known],
    retry: frozenset[str] = frozenset(),
    policy: RetryPolicy | None = None,
    resources: ResourcesByKind | None = None,
) -> Plan:
    """Decide what is to be done about each job.

    A job whose result exists is done even if its parents' results are gone. What only done jobs would
    need is left out of the work: a parent is submitted only if some child needs it.

    Args:
        retry: what is submitted again whatever the policy says: `failed` (of any class), `lost`, the
            classes `timeout` and `oom`, or `all`.
        policy: what is submitted again by itself; None is nothing.
        resources: of each kind, where `on_out_of_memory` may stand.
    """
    rules = _Rules(retry, policy, resources)
    states = {job.identity: known(job) for job in trail.jobs}
    wanted = _wanted(trail.rows, states)
    decisions: list[Decision] = []
    stuck: dict[str, Action] = {}
    for job in trail.jobs:
        state = states[job.identity]
        action, reason = _decide(job, state, wanted, stuck, rules)
        if action in ("failed", "lost", "blocked"):
            stuck[job.identity] = action
        decisions.append(Decision(job, action, reason, state, _is_raised(action, state)))
    return Plan(trail.rows, decisions)


def _is_raised(action: Action, state: Known) -> bool:
    """Whether a job that is submitted ran out of memory, now or before."""
    if action != "submit":
        return False
    return state.failure == "out_of_memory" or bool(state.retries.get("out_of_memory"))


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
    rules: _Rules,
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
        if again := rules.again(job, state):
            return "submit", again
        return ("failed" if state.state == "failed" else "lost"), state.reason
    return "submit", state.reason or "no result yet"
