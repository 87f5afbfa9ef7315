"""The plan: of the jobs that a sweep needs, what exists, and what is to be done about the rest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # `status.py` needs neither, and both take longer to import than it to run
    from valley.cluster.config import ResourcesByKind, RetryPolicy
    from valley.job import Job, Row, Trail

Action = Literal["done", "submit", "rebuild", "wait", "failed", "lost", "blocked"]
"""`rebuild` is a submission too: of a job that is done, for its weights, which were pruned."""
RETRIES: dict[str, str] = {"timeout": "time_out", "oom": "out_of_memory"}
"""What `--retry` calls classes of failures."""


@dataclass(frozen=True)
class Known:
    """What is known of a job: its state, why, where its log stands, and the scheduler's name for it."""

    state: Literal["done", "running", "pending", "failed", "lost", "new"]
    reason: str = ""
    log: str = ""
    place: str = ""
    pruned: bool = False
    """Whether it has a result, and its weights are gone; `state` is then that of a rebuild, if any."""
    failure: str = ""
    """The class of what failed it: `failures.FailureClass`."""
    line: str = ""
    """The line that shows the class."""
    remedy: str = ""
    """What to do next."""
    is_final: bool = False
    """Whether the job itself found that it would not fare better when it is run again."""
    resumes: bool = False
    """Whether it is new since it was stopped at its time limit, and goes on from there."""
    attempt: str = ""
    """The submission and element that it failed in, or was lost from."""
    retries: Mapping[str, int] = field(default_factory=dict)
    """How often it was tried again, by the class of the failure before."""


NEW = Known("new")
"""Of a job that nothing is known of."""
NEVER_TRIED = "no result yet"


@dataclass(slots=True)
class Decision:
    """What is to be done about a job, and why; and what is known of it."""

    job: Job
    action: Action
    reason: str
    known: Known = NEW
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
    def to_run(self) -> list[Decision]:
        """What a launch submits."""
        return self.with_action("submit", "rebuild")

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
        if self.policy is None or self.resources is None:
            return None
        if state.state != "failed" or state.is_final:
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
    need is left out of the work: a parent is submitted only if some child needs it. The same holds of
    weights that were pruned: they are rebuilt only for a child that is to run.

    Args:
        retry: what is submitted again whatever the policy says: `failed` (of any class), `lost`, the
            classes `timeout` and `oom`, or `all`.
        policy: what is submitted again by itself; None is nothing.
        resources: of each kind, where `on_out_of_memory` may stand.
    """
    rules = _Rules(retry, policy, resources)
    states = {job.identity: known(job) for job in trail.jobs}
    wanted = _wanted(trail, states)
    decisions: list[Decision] = []
    stuck: dict[str, Action] = {}
    for job in trail.jobs:
        identity = job.identity
        state = states[identity]
        if state is NEW and not stuck and identity in wanted:
            # So are most of a large plan.
            decisions.append(Decision(job, "submit", NEVER_TRIED))
            continue
        action, reason = _decide(job, state, wanted, stuck, rules)
        if action in ("failed", "lost", "blocked"):
            stuck[identity] = action
        decisions.append(Decision(job, action, reason, state, _is_raised(action, state)))
    return Plan(trail.rows, decisions)


def _is_raised(action: Action, state: Known) -> bool:
    """Whether a job that is submitted ran out of memory, now or before."""
    if action not in ("submit", "rebuild"):
        return False
    return state.failure == "out_of_memory" or bool(state.retries.get("out_of_memory"))


def _wanted(trail: Trail, states: Mapping[str, Known]) -> dict[str, Job]:
    """What is to be done, each with a job that it is wanted for (a grading for itself).

    Only what starts from a checkpoint, or asks it, has a parent whose weights can be gone.
    """
    wanted = {row.grade.identity: row.grade for row in trail.rows}
    for job in reversed(trail.jobs):  # children before parents
        identity = job.identity
        if identity not in wanted:
            continue
        state = states[identity]
        if state.state == "done" and not state.pruned:
            del wanted[identity]
            continue
        for parent in job.parents:
            wanted[parent.identity] = job
    return wanted


def _decide(
    job: Job,
    state: Known,
    wanted: Mapping[str, Job],
    stuck: Mapping[str, Action],
    rules: _Rules,
) -> tuple[Action, str]:
    if job.identity not in wanted:
        there = state.state == "done"
        return "done", "result is there" if there else "not needed: what it is for is done"
    if state.state in ("running", "pending"):
        return "wait", state.reason or state.state
    if stuck and (blocker := next((j for j in job.parents if j.identity in stuck), None)):
        return "blocked", f"{blocker.kind} {blocker.label} {stuck[blocker.identity]}"
    if state.state in ("failed", "lost"):
        if again := rules.again(job, state):
            return "rebuild" if state.pruned else "submit", again
        return ("failed" if state.state == "failed" else "lost"), state.reason
    if state.pruned:
        child = wanted[job.identity]
        return "rebuild", f"weights were pruned, and {child.kind} {child.label} needs them"
    return "submit", state.reason or NEVER_TRIED
