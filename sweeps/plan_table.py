"""The table of a dry run: every job with its action, reason and resources; many alike ones in one row."""

from __future__ import annotations

from collections.abc import Iterator

from valley.plan import Decision, Plan
from valley.sweep import Sweep

FOLDED_ABOVE = 300
"""Jobs from which on those that differ in nothing but the cell share a row."""


def print_table(plan: Plan, sweep: Sweep, every: bool = False) -> None:
    """Print the decisions of a plan.

    Args:
        every: give each job a row of its own, however many they are.
    """
    print(f"{'action':8} {'kind':9} {'cell':58} {'nodes x tasks x CPUs':22} reason")
    asks = {kind: _asks(sweep, kind) for kind in ("prepare", "train", "generate", "grade")}
    if every or len(plan.decisions) <= FOLDED_ABOVE:
        for decision in plan.decisions:
            print(_row(decision, decision.job.label, asks))
        return
    for alike in _folded(plan):
        first = alike[0]
        label = f"{first.job.label} and {len(alike) - 1} more" if alike[1:] else first.job.label
        print(_row(first, label, asks))
    print(f"{len(plan.decisions)} jobs, folded; --all gives each a row of its own")


def _folded(plan: Plan) -> Iterator[list[Decision]]:
    groups: dict[tuple[str, str, str, int], list[Decision]] = {}
    for decision in plan.decisions:
        job = decision.job
        groups.setdefault((decision.action, job.kind, decision.reason, job.depth), []).append(
            decision
        )
    yield from groups.values()


def _row(decision: Decision, label: str, asks: dict[str, str]) -> str:
    kind = decision.job.kind
    return f"{decision.action:8} {kind:9} {label:58} {asks[kind]:22} {decision.reason}"


def _asks(sweep: Sweep, kind: str) -> str:
    resources = getattr(sweep.resources, kind)
    gpus = f" {resources.gpus_per_node} GPU" if resources.gpus_per_node else ""
    return (
        f"{resources.nodes}x{resources.tasks_per_node}x{resources.cpus_per_task} CPU{gpus} "
        f"{resources.time_limit_min} min"
    )
