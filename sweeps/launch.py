"""Plan a sweep and run what is missing: on Slurm where it answers, else on this machine.

python sweeps/launch.py grid.yaml             # run; again = resume
python sweeps/launch.py grid.yaml --dry-run   # show the plan, submit nothing
python sweeps/launch.py grid.yaml --where size=0,1000   # a part of the grid, and what it needs
python sweeps/launch.py --schema              # a JSON Schema of grid files, for editors
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

from from_result import print_drift, read_lock
from grid_notes import NO_SLURM, notes
from plan_text import hold_to_budget, print_plan, print_stuck, summary

from valley.checkout import circumstances
from valley.cluster import slurm
from valley.cluster.arrays import make_arrays
from valley.cluster.machine import check_room
from valley.errors import UserError, exit_on_user_error
from valley.job import Job, Trail
from valley.ledger import Ledger, all_submissions, root_lock
from valley.lock import launch_notes, read_locked
from valley.plan import Decision, Plan, decide
from valley.preview import cost_s
from valley.state import knowledge
from valley.store import Store
from valley.student import check_student
from valley.sweep import Sweep, find_grid, read_grid
from valley.trail import check_pool, part, trail
from valley.where import Where

# Jobs share a process until they last this many start-ups (as far as `pack` allows).
SHARED_STARTUPS = 4
DEFAULT_ROOT = "runs"


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python sweeps/launch.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("grid", nargs="?", help="a grid file, here or in sweeps/")
    what.add_argument(
        "--from",
        type=Path,
        dest="result",
        metavar="RESULT",
        help="instead of a grid: run the cell of this result again, by the lock that it carries, and "
        "say what differs today (a result.json or its folder; give another --root to compute it anew)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the plan and submit nothing; what is not there yet of students and data is named",
    )
    parser.add_argument(
        "--all", action="store_true", help="in a dry run, a row for each job, however many they are"
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="only these cells and what they need: size=0,1000 stage!=2 size<4000 (repeatable; all hold)",
    )
    parser.add_argument(
        "--schema", action=_Schema, nargs=0, help="print a JSON Schema of grid files, and exit"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="override the grid: an axis in every block (seed=[0,1,2]) or a setting (train.epochs=3)",
    )
    parser.add_argument(
        "--budget",
        type=_gpu_hours,
        metavar="GPU_HOURS",
        help="refuse a plan that asks for more than about so many GPU-hours",
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
        default=Path(os.environ.get("VALLEY_ROOT", DEFAULT_ROOT)),
        help="where results are kept (default: runs, or VALLEY_ROOT)",
    )
    return parser.parse_args(arguments)


class _Schema(argparse.Action):
    """Prints the schema and exits, whatever else is asked, as `--help` does."""

    def __call__(self, *_: Any) -> None:
        from valley.grid_schema import schema_text

        print(schema_text(), end="")
        raise SystemExit(0)


def _gpu_hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not hours >= 0:  # which is also so of nan
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number of hours, 0 or more")
    return hours


def main() -> int:
    """Plan, show, submit."""
    options = parse(sys.argv[1:])
    # A plan is many objects and no garbage; looking for some takes a third of the time.
    gc.disable()
    conditions = Where.parse(options.where)
    locked = read_locked(options.result) if options.result else None
    if locked is not None:
        grid = read_lock(locked, options.settings, options.dry_run)
    else:
        grid = read_grid(find_grid(options.grid), options.settings, options.dry_run)
    sweep, cells = grid.sweep, grid.cells
    for warning in grid.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for name in dict.fromkeys(cell.axes["student"] for cell in cells):
        check_student(name, sweep.students[name])
    # A dry run changes nothing, not even the name of a damaged file.
    store = Store(_root(options.root), read_only=options.dry_run)
    ledger = Ledger(store.root / "sweeps" / sweep.name)
    where = _where(options.cluster or sweep.cluster.kind, options.dry_run)
    whole = trail(sweep, cells)
    if locked is not None:
        print_drift(locked, whole)
    _check_pool(whole, store)
    planned = _part(whole, conditions)
    retry = frozenset(options.retry)
    plan = _plan(planned, store, retry)
    if where == "local":
        kinds = {d.job.kind for d in plan.to_run}
        check_room(sweep.resources, kinds, sweep.cluster)
    if options.dry_run:
        print_plan(plan, sweep, where, store, options.all)
        for note in notes(grid, where):
            print(note)
    if options.budget is not None:
        hold_to_budget(plan, sweep, store, options.budget)
    if options.dry_run:
        return 0
    source = f"--from {locked.path}" if locked else str(find_grid(options.grid))
    origin = " ".join([source, *(f"--set {setting}" for setting in options.settings)])
    if not plan.with_action("submit", "rebuild", "wait"):
        _record(sweep, whole, origin, store, ledger)
        return _nothing_to_do(plan, sweep, store)
    gc.enable()
    with root_lock(store.root):
        _record(sweep, whole, origin, store, ledger)
        return _run(sweep, planned, store, ledger, where, retry)


def _root(path: Path) -> Path:
    """The root, which need not exist yet.

    Raises:
        UserError: it cannot be a folder.
    """
    root = path.expanduser().resolve()
    for folder in (root, *root.parents):
        if folder.is_dir():
            return root
        if folder.exists():
            raise UserError(f"--root {path}: {folder} is a file; give a folder, or a new name")
    return root


def _record(sweep: Sweep, whole: Trail, origin: str, store: Store, ledger: Ledger) -> None:
    """Leave word of the launch: the sweep as it is now, all its cells, and when."""
    ledger.write_manifest(whole.rows, store)
    ledger.write_sweep(sweep.model_dump(mode="json", by_alias=True), origin)
    ledger.append({"event": "launch", "at": time.time(), "origin": origin})
    _warn(store)


def _run(
    sweep: Sweep,
    planned: Trail,
    store: Store,
    ledger: Ledger,
    where: str,
    retry: frozenset[str],
) -> int:
    from valley.cluster.snapshot import take_snapshot

    # Looked at again under the lock: another launcher may have been at work until now.
    plan = _plan(planned, store, retry)
    snapshot = take_snapshot(ledger.folder / "snapshot")
    store.notes = launch_notes(sweep, plan.rows, circumstances(), lambda job: cost_s(job, sweep))
    print(summary(plan, sweep, where))
    print_stuck(plan)
    if left := len(_to_wait_for(plan, where)):
        # An earlier launcher was killed, or submitted elsewhere, and its jobs run on.
        print(f"waiting for {left} jobs that an earlier launch left running", flush=True)
        while _to_wait_for(plan, where):
            time.sleep(2)
            plan = _plan(planned, store, retry)
    if where == "slurm":
        return _run_on_slurm(plan, sweep, ledger, store, snapshot)
    return _run_here(plan, sweep, ledger, store, snapshot)


def _to_wait_for(plan: Plan, where: str) -> list[Decision]:
    """Jobs under way that what is to run cannot be made to follow: what Slurm knows, its jobs can."""
    waiting = plan.with_action("wait")
    return [d for d in waiting if not d.place] if where == "slurm" else waiting


def _run_on_slurm(plan: Plan, sweep: Sweep, ledger: Ledger, store: Store, snapshot: Path) -> int:
    from valley.cluster.submit import submit_to_slurm

    live = {d.job.identity: d.place for d in plan.with_action("wait")}
    # What waits for ever for a parent that failed has a place too, which its successor takes over.
    slurm.cancel(sorted({d.place for d in plan.to_run if d.place}))
    arrays = make_arrays(
        [d.job for d in plan.to_run],
        sweep.resources,
        lambda job: cost_s(job, sweep),
        sweep.name,
        share_s=SHARED_STARTUPS * sweep.preview.startup_s,
        max_elements=slurm.max_array_size(),
        live=frozenset(live),
    )
    for array, job_id in submit_to_slurm(arrays, sweep.cluster, ledger, store, snapshot, live):
        print(f"  submitted {job_id:>8}  {array.name} ({len(array.elements)})")
    print(f"logs: {ledger.folder / 'slurm'}")
    print("watch: squeue --me --format='%.18i %.32j %.9T %.10M %R'; python sweeps/status.py")
    return 0


def _run_here(plan: Plan, sweep: Sweep, ledger: Ledger, store: Store, snapshot: Path) -> int:
    from progress import Display

    from valley.cluster.local import run_locally

    def estimate(job: Job) -> float:
        return cost_s(job, sweep)

    arrays = make_arrays(
        [d.job for d in plan.to_run],
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
    print(_next(sweep, store))
    return 0


def _next(sweep: Sweep, store: Store) -> str:
    """What to type next: the sweep is named, and the root where it is not the default one."""
    elsewhere = store.root != Path(DEFAULT_ROOT).resolve()
    root = f" --root {shlex.quote(str(store.root))}" if elsewhere else ""
    return f"next: python analysis/plot_valley.py --sweep {sweep.name}{root}"


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _where(kind: str, dry_run: bool) -> str:
    if kind == "auto":
        return "slurm" if slurm.answers() else "local"
    # A dry run plans for a cluster from anywhere.
    if kind == "slurm" and not dry_run and not slurm.answers():
        raise UserError(f"--cluster slurm: {NO_SLURM}, or with --cluster local")
    return kind


def _part(whole: Trail, conditions: Where) -> Trail:
    """The rows that the conditions choose, with the jobs that they need."""
    if not conditions.conditions:
        return whole
    planned = part(whole, [row for row in whole.rows if conditions.matches(row.cell.axes)])
    if not planned.rows:
        axes = dict.fromkeys(name for row in whole.rows for name in row.cell.axes)
        raise UserError(f"--where {conditions}: no such cell; the axes here: {', '.join(axes)}")
    return planned


def _plan(planned: Trail, store: Store, retry: frozenset[str]) -> Plan:
    store.refresh()
    plan = decide(planned, knowledge(store, all_submissions(store.root)), retry)
    _warn(store)
    return plan


def _warn(store: Store) -> None:
    for sentence in store.damaged:
        print(f"warning: {sentence}", file=sys.stderr)
    store.damaged.clear()


def _check_pool(planned: Trail, store: Store) -> None:
    """Hold the sizes against what the pools hold: exactly, once they are prepared."""
    strata = {}
    for identity in planned.pools:
        if (result := store.result("prepare", identity)) is not None:
            strata[identity] = result["outcome"]["strata"]
    check_pool(planned, strata)


def _nothing_to_do(plan: Plan, sweep: Sweep, store: Store) -> int:
    cells = len({row.cell for row in plan.rows})
    stuck = plan.with_action("failed", "lost")
    if not stuck:
        print(f"{sweep.name}: nothing to do: all {cells} cells are done")
        print(_next(sweep, store))
        return 0
    print(f"{sweep.name}: nothing to do, but {len(stuck)} jobs have failed or are lost:")
    print_stuck(plan)
    return 1


if __name__ == "__main__":
    exit_on_user_error(main)
