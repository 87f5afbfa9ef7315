"""A plan in words: the table of a dry run, what it costs, and what stands in its way."""

from __future__ import annotations

from plan_table import print_table

from valley.plan import Plan
from valley.preview import costs, detectable
from valley.sweep import Sweep


def summary(plan: Plan, sweep: Sweep, where: str) -> str:
    """One line: how many cells, where, and how many jobs in which state."""
    cells = len({row.cell for row in plan.rows})
    counts = {action: len(plan.with_action(action)) for action in ("done", "submit", "wait")}
    stuck = len(plan.with_action("failed", "lost", "blocked"))
    text = (
        f"{sweep.name}: {cells} cells on {'Slurm' if where == 'slurm' else 'this machine'}: "
        f"{counts['submit']} jobs to run, {counts['wait']} under way, {counts['done']} done"
    )
    return text + (f", {stuck} failed, lost or blocked" if stuck else "")


def print_stuck(plan: Plan) -> None:
    """Name what failed before and is left alone, with its class, the log and what to do."""
    stuck = plan.with_action("failed", "lost")
    for decision in stuck:
        job, known = decision.job, decision.known
        word = known.failure.replace("_", " ") or decision.action
        print(f"  {decision.action}: {job.kind} {job.label}: {word}: {decision.reason}")
        if known.remedy:
            print(f"    next: {known.remedy}")
        if known.log:
            print(f"    log: {known.log}")
    if stuck:
        ways = " ".join(f"--retry {action}" for action in sorted({d.action for d in stuck}))
        print(f"they are left alone; to run them again: the same command with {ways}")


def print_plan(plan: Plan, sweep: Sweep, where: str, every: bool = False) -> None:
    """The jobs with their actions, reasons and resources; the cost by kind; what the grid can detect."""
    print_table(plan, sweep, every)
    print()
    for kind, cost in costs(plan, sweep).items():
        gpu = f", {cost.gpu_hours:.1f} GPU-hours" if cost.gpu_hours else ""
        print(f"{kind}: {cost.jobs} jobs, about {cost.hours:.2f} hours in sequence{gpu}")
    smallest = detectable(plan, sweep)
    if smallest is not None:
        print(f"detectable difference in pass@1 between two cells, one seed: about {smallest:.3f}")
    print(summary(plan, sweep, where) + "; dry run: nothing was submitted")
