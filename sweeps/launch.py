"""Plan a sweep and run what is missing: on Slurm where it answers, else on this machine.

python sweeps/launch.py grid.yaml             # run; again = resume
python sweeps/launch.py grid.yaml --dry-run   # show the plan, submit nothing
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from valley.cluster import slurm
from valley.cluster.arrays import make_arrays
from valley.errors import UserError, exit_on_user_error
from valley.ledger import Ledger, all_submissions, root_lock
from valley.plan import Job, Plan, Row, check_pool, decide, trail
from valley.preview import cost_s, costs, detectable
from valley.state import knowledge
from valley.store import Store
from valley.student import check_student
from valley.sweep import Cell, Sweep, find_grid, load_sweep

# Jobs share a process until they last this many start-ups (as far as `pack` allows).
SHARED_STARTUPS = 4


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python sweeps/launch.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("grid", help="a grid file, here or in sweeps/")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and submit nothing")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="override the grid: an axis in every block (seed=[0,1,2]) or a setting (train.epochs=3)",
    )
    parser.add_argument("--cluster", choices=("auto", "slurm", "local"), help="where jobs run")
    parser.add_argument(
        "--retry",
        action="append",
        default=[],
        choices=("failed", "lost"),
        help="run jobs again that failed, or that were lost",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get("VALLEY_ROOT", "runs")),
        help="where results are kept (default: runs, or VALLEY_ROOT)",
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Plan, show, submit."""
    options = parse(sys.argv[1:])
    path = find_grid(options.grid)
    sweep, cells = load_sweep(path, options.settings)
    for name in dict.fromkeys(cell.axes["student"] for cell in cells):
        check_student(name, sweep.students[name])
    store = Store(options.root.resolve())
    ledger = Ledger(store.root / "sweeps" / sweep.name)
    where = _where(options.cluster or sweep.cluster.kind)
    rows, jobs = trail(sweep, cells)
    _check_pool(rows, store)
    retry = frozenset(options.retry)
    if options.dry_run:
        plan = _plan(rows, jobs, store, ledger, retry)
        _print_plan(plan, sweep, where)
        return 0
    plan = _plan(rows, jobs, store, ledger, retry)
    if not plan.with_action("submit", "wait"):
        return _nothing_to_do(plan, ledger, store, sweep)
    with root_lock(store.root):
        ledger.write_manifest(rows, store)
        _warn(store)
        return _run(sweep, cells, rows, jobs, store, ledger, where, retry)


def _run(
    sweep: Sweep,
    cells: list[Cell],
    rows: list[Row],
    jobs: list[Job],
    store: Store,
    ledger: Ledger,
    where: str,
    retry: frozenset[str],
) -> int:
    from valley.cluster.snapshot import take_snapshot

    # Looked at again under the lock: another launcher may have been at work until now.
    plan = _plan(rows, jobs, store, ledger, retry)
    snapshot = take_snapshot(ledger.folder / "snapshot")
    print(_summary(plan, sweep, len(cells), where))
    if where == "slurm":
        return _run_on_slurm(plan, sweep, ledger, store, snapshot)
    while waiting := [d for d in _plan(rows, jobs, store, ledger).with_action("wait")]:
        # An earlier launcher was killed and left its jobs running.
        print(f"waiting for {len(waiting)} jobs that an earlier launch left running", flush=True)
        time.sleep(2)
    plan = _plan(rows, jobs, store, ledger, retry)
    return _run_here(plan, sweep, cells, ledger, store, snapshot)


def _run_on_slurm(plan: Plan, sweep: Sweep, ledger: Ledger, store: Store, snapshot: Path) -> int:
    from valley.cluster.submit import submit_to_slurm

    live = {d.job.identity: d.place for d in plan.with_action("wait")}
    arrays = make_arrays(
        [d.job for d in plan.with_action("submit")],
        sweep.resources,
        lambda job: cost_s(job, sweep),
        sweep.name,
        share_s=SHARED_STARTUPS * sweep.preview.startup_s,
        max_elements=slurm.max_array_size(),
        live=frozenset(live),
    )
    ids = submit_to_slurm(arrays, sweep.cluster, ledger, store, snapshot, live)
    for name, job_id in ids.items():
        print(f"  submitted {job_id:>8}  {name}")
    print(f"logs: {ledger.folder / 'slurm'}")
    print("watch: squeue --me --format='%.18i %.32j %.9T %.10M %R'; python sweeps/status.py")
    return 0


def _run_here(
    plan: Plan, sweep: Sweep, cells: list[Cell], ledger: Ledger, store: Store, snapshot: Path
) -> int:
    from progress import Display

    from valley.cluster.local import run_locally

    def estimate(job: Job) -> float:
        return cost_s(job, sweep)

    arrays = make_arrays(
        [d.job for d in plan.with_action("submit")],
        sweep.resources,
        estimate,
        sweep.name,
        share_s=SHARED_STARTUPS * sweep.preview.startup_s,
    )
    started = time.monotonic()
    # Said of SIGINT too: a shell that starts a job in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with Display(plan, store) as display:
            progress = run_locally(
                arrays, sweep.cluster, ledger, store, snapshot, estimate, display.show
            )
    except KeyboardInterrupt:
        print("\ninterrupted: finished jobs are kept; the same command goes on from here")
        return 130
    wall_s = time.monotonic() - started
    print(f"{len(progress.finished)} jobs done in {wall_s:.0f} s, {len(progress.failed)} failed")
    identities = {job.identity: job for decision in plan.decisions for job in [decision.job]}
    for identity, reason in progress.failed.items():
        print(f"  failed: {identities[identity].kind} {identities[identity].label}: {reason}")
    if progress.failed:
        print("look at the logs; then: python sweeps/launch.py … --retry failed")
        return 1
    print(f"next: python analysis/plot_valley.py (results in {store.root})")
    return 0


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _where(kind: str) -> str:
    if kind == "auto":
        return "slurm" if slurm.answers() else "local"
    if kind == "slurm" and not slurm.answers():
        raise UserError(
            "--cluster slurm: sbatch is not installed or the controller does not answer "
            "(scontrol ping); launch on a login node, or with --cluster local"
        )
    return kind


def _plan(
    rows: list[Row],
    jobs: list[Job],
    store: Store,
    ledger: Ledger,
    retry: frozenset[str] = frozenset(),
) -> Plan:
    store.refresh()
    plan = decide(rows, jobs, knowledge(store, all_submissions(store.root)), retry)
    _warn(store)
    return plan


def _warn(store: Store) -> None:
    for sentence in store.damaged:
        print(f"warning: {sentence}", file=sys.stderr)
    store.damaged.clear()


def _check_pool(rows: list[Row], store: Store) -> None:
    """Hold the sizes against what the pools hold: exactly, once they are prepared."""
    strata = {}
    for data in {row.generate.inputs["data"] for row in rows}:
        if (result := store.result(data.kind, data.identity)) is not None:
            strata[data.identity] = result["outcome"]["strata"]
    check_pool(rows, strata)


def _summary(plan: Plan, sweep: Sweep, cells: int, where: str) -> str:
    counts = {action: len(plan.with_action(action)) for action in ("done", "submit", "wait")}
    stuck = len(plan.with_action("failed", "lost", "blocked"))
    text = (
        f"{sweep.name}: {cells} cells on {'Slurm' if where == 'slurm' else 'this machine'}: "
        f"{counts['submit']} jobs to run, {counts['wait']} under way, {counts['done']} done"
    )
    return text + (f", {stuck} failed, lost or blocked" if stuck else "")


def _nothing_to_do(plan: Plan, ledger: Ledger, store: Store, sweep: Sweep) -> int:
    cells = len({row.cell.label for row in plan.rows})
    ledger.write_manifest(plan.rows, store)
    _warn(store)
    stuck = plan.with_action("failed", "lost")
    if not stuck:
        print(f"{sweep.name}: nothing to do: all {cells} cells are done")
        print("next: python analysis/plot_valley.py")
        return 0
    print(f"{sweep.name}: nothing to do, but {len(stuck)} jobs have failed or are lost:")
    for decision in stuck:
        print(f"  {decision.action}: {decision.job.kind} {decision.job.label}: {decision.reason}")
        if decision.log:
            print(f"    log: {decision.log}")
    print("run them again with --retry failed (or --retry lost)")
    return 1


def _print_plan(plan: Plan, sweep: Sweep, where: str) -> None:
    print(f"{'action':8} {'kind':9} {'cell':58} {'resources':22} reason")
    for decision in plan.decisions:
        resources = getattr(sweep.resources, decision.job.kind)
        gpus = f" {resources.gpus_per_node} GPU" if resources.gpus_per_node else ""
        asks = (
            f"{resources.nodes}x{resources.tasks_per_node}x{resources.cpus_per_task} CPU{gpus} "
            f"{resources.time_limit_min} min"
        )
        job = decision.job
        print(f"{decision.action:8} {job.kind:9} {job.label:58} {asks:22} {decision.reason}")
    print()
    for kind, cost in costs(plan, sweep).items():
        gpu = f", {cost.gpu_hours:.1f} GPU-hours" if cost.gpu_hours else ""
        print(f"{kind}: {cost.jobs} jobs, about {cost.hours:.2f} hours in sequence{gpu}")
    smallest = detectable(plan, sweep)
    if smallest is not None:
        print(f"detectable difference in pass@1 between two cells, one seed: about {smallest:.3f}")
    cells = len({row.cell.label for row in plan.rows})
    print(_summary(plan, sweep, cells, where) + "; dry run: nothing was submitted")


if __name__ == "__main__":
    exit_on_user_error(main)
