"""A plan in words: the table of a dry run, what it costs and detects, and what stands in its way."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from plan_table import print_table

from valley.cluster import slurm
from valley.cluster.machine import room, share
from valley.measured import measure
from valley.plan import Plan
from valley.power import PLANNING_SCORE, Detectable, detectable
from valley.preview import Cost, check_budget, costs, total
from valley.store import Store
from valley.sweep import Sweep

GIB = 2**30
MOST_DESIGNS = 8


def summary(plan: Plan, sweep: Sweep, where: str) -> str:
    """One line: how many cells, where, and how many jobs in which state."""
    cells = len({row.cell for row in plan.rows})
    counts = Counter(decision.action for decision in plan.decisions)
    stuck = counts["failed"] + counts["lost"] + counts["blocked"]
    text = (
        f"{sweep.name}: {cells} cell{'' if cells == 1 else 's'} on {'Slurm' if where == 'slurm' else 'this machine'}: "
        f"{counts['submit'] + counts['rebuild']} jobs to run, {counts['wait']} under way, {counts['done']} done"
    )
    rebuilt = f", {counts['rebuild']} of those to run for weights that were pruned"
    text += rebuilt if counts["rebuild"] else ""
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


def print_plan(plan: Plan, sweep: Sweep, where: str, store: Store, every: bool = False) -> None:
    """The jobs with their actions, reasons and resources; the cost by kind; what the grid can detect."""
    print_table(plan, sweep, every)
    lines = [""]
    parts = costs(
        plan,
        sweep,
        measure(plan, sweep, store),
        slurm.max_array_size() if where == "slurm" else slurm.DEFAULT_ARRAY_SIZE,
        _at_once(sweep) if where == "local" else None,
    )
    if parts:
        lines += [*_costs(parts), *_assumed(plan), *_disk(parts, store.root), ""]
    seed_sd = sweep.preview.seed_sd
    lines += _detectable(detectable(plan.rows, seed_sd), seed_sd)
    lines.append(summary(plan, sweep, where) + "; dry run: nothing was submitted")
    print("\n".join(lines))


def hold_to_budget(plan: Plan, sweep: Sweep, store: Store, gpu_hours: float) -> None:
    """Refuse a plan of more GPU-hours than `--budget` allows.

    Raises:
        UserError: says what is asked, by kind, and how to ask for less.
    """
    parts = costs(plan, sweep, measure(plan, sweep, store))
    if total(parts).gpu_hours == 0:
        print("--budget counts GPU-hours, and this plan asks for none")
    check_budget(parts, gpu_hours)


def _costs(parts: list[Cost]) -> Iterator[str]:
    """What is to run, by kind and in total, and what the hours rest on."""
    yield (
        f"{'estimate':17} {'jobs':>8} {'elements':>9} {'arrays':>7} {'nodes':>6} {'hours':>10} "
        f"{'CPU-hours':>10} {'GPU-hours':>10} {'disk GiB':>9}"
    )
    for cost in [*parts, total(parts)]:
        disk = (cost.weights_bytes + cost.other_bytes) / GIB
        yield (
            f"{cost.name:17} {cost.jobs:8,} {cost.elements:9,} {cost.arrays:7,} {cost.nodes:6} "
            f"{cost.hours:10,.2f} {cost.cpu_hours:10,.2f} {cost.gpu_hours:10,.2f} {disk:9,.2f}"
        )
    yield "hours are of all elements in sequence, nodes those of one element; they rest on:"
    for cost in parts:
        for whose, basis in cost.basis.items():
            yield f"  {' '.join(filter(None, (cost.name, whose)))}: {basis}"


def _assumed(plan: Plan) -> Iterator[str]:
    """How many evaluation problems were made up for the estimates, where their file is missing."""
    sizes = {
        data.evaluation_size
        for data in {id(row.cell.recipe.data): row.cell.recipe.data for row in plan.rows}.values()
        if data.assumes_evaluation_size
    }
    for size in sorted(sizes):
        yield (
            f"  the number of evaluation problems is unknown, since their file is missing: {size} are "
            "assumed, for answers and gradings"
        )


def _at_once(sweep: Sweep) -> int:
    """How many trainings this machine runs at once."""
    asked = sweep.resources.train
    here = room(sweep.cluster, gpus=asked.gpus_per_node > 0)
    return max(1, int(1 / share(asked, here)))


def _disk(parts: list[Cost], root: Path) -> Iterator[str]:
    asked = total(parts)
    kept, weights = asked.other_bytes / GIB, asked.weights_bytes / GIB
    free = shutil.disk_usage(next(at for at in (root, *root.parents) if at.is_dir())).free / GIB
    yield (
        f"disk: weights {weights:,.2f} GiB, which sweeps/prune.py can free as cells are graded; "
        f"answers, verdicts and logs {kept:,.2f} GiB, which stay; free at the root: {free:,.1f} GiB"
    )
    resume = asked.resume_bytes / GIB
    if resume:
        yield (
            f"      while they run, trainings keep up to {resume:,.2f} GiB more to resume from (all that "
            "may run at once, an old and a new checkpoint each)"
        )
    if kept + weights + resume > free:
        ways = []
        if kept + resume < free:
            ways.append("prune as cells are graded")
        if resume:
            ways.append("let fewer trainings run at once (cluster.array_throttle)")
        can = ", ".join([*ways, "run a part"])
        yield f"warning: that is more than is free there; make room, {can}, or take another --root"


def _detectable(designs: list[Detectable], seed_sd: float) -> Iterator[str]:
    if not designs:
        return
    yield "what two cells must differ by in pass@1, or the grid will likely miss it:"
    for design in designs[:MOST_DESIGNS]:
        assumed = " (assumed: their file is missing)" if design.assumed else ""
        yield (
            f"  {100 * design.difference:.1f} points, asked {design.profile!r}: {design.problems} "
            f"problems{assumed} x {_count(design.samples, 'answer')} x {_count(design.seeds, 'training seed')}; "
            f"equal ones can be shown equal within {100 * design.equivalence:.1f}"
        )
    if len(designs) > MOST_DESIGNS:
        yield f"  … and {len(designs) - MOST_DESIGNS} further designs"
    yield (
        "  (such a difference is found in 4 of 5 repetitions of the sweep, by a one-sided 5 % test "
        f"of one pair\n   at a pass@1 near {PLANNING_SCORE:.0%}, if seeds scatter by "
        f"preview.seed_sd, {seed_sd:.1%}; more problems, answers or seeds find less)"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
