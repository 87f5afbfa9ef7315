"""The plan of a launch as things stand now, and what follows of it."""

from __future__ import annotations

import sys

from valley.job import Trail
from valley.ledger import all_submissions
from valley.plan import Decision, Plan, decide
from valley.state import knowledge
from valley.store import Store
from valley.sweep import Sweep


def make_plan(
    planned: Trail, sweep: Sweep, store: Store, retry: frozenset[str] = frozenset()
) -> Plan:
    """The plan as things stand now."""
    store.refresh()
    known = knowledge(store, all_submissions(store.root))
    plan = decide(planned, known, retry, sweep.cluster.retry, sweep.resources)
    warn(store)
    return plan


def warn(store: Store) -> None:
    """Name what was found damaged since the last warning."""
    for sentence in store.damaged:
        print(f"warning: {sentence}", file=sys.stderr)
    store.damaged.clear()


def live(plan: Plan) -> dict[str, str]:
    """Slurm's names of the jobs that are under way: squeue has just shown them."""
    return {d.job.identity: d.place for d in plan.with_action("wait") if d.place}


def to_wait_for(plan: Plan, where: str) -> list[Decision]:
    """Jobs under way that what is to run cannot be made to follow: what Slurm knows, its jobs can."""
    waiting = plan.with_action("wait")
    return [d for d in waiting if not d.place] if where == "slurm" else waiting
