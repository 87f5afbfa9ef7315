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
import sys
import time
from pathlib import Path
from typing import Any

from drawn_rounds import follow, say
from from_result import print_drift, read_lock
from grid_notes import grids_that_ship, kinds_to_run, notes
from plan_text import hold_to_budget, print_plan, print_stuck
from planning import make_plan, warn
from running import Launch

from valley.cluster import slurm
from valley.cluster.machine import check_room
from valley.command_line import PLOT, add_root, add_where, next_line
from valley.errors import UserError, exit_on_user_error
from valley.held_out_check import check_held_out
from valley.job import Trail
from valley.ledger import Ledger
from valley.lock import read_locked
from valley.plan import Plan
from valley.pool_check import Pool, check_pool
from valley.root_lock import unusable
from valley.sampling import DrawnRounds
from valley.store import Store
from valley.student_config import check_student
from valley.sweep import Sweep, find_grid, read_grid
from valley.trail import part
from valley.where import Where


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python sweeps/launch.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "grid", nargs="?", help="a grid file, here or in sweeps/; without one, those that ship"
    )
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
    add_where(parser, "cells with these axes, and what they need")
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
        "--site",
        type=Path,
        metavar="FILE",
        help="a site's own `cluster:` and `resources:`, for what the grid leaves open (default: "
        "VALLEY_SITE); with --from, instead of those that the result was made with",
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="on Slurm: stay until all is done, submit what its limits hold back as room appears, and try "
        "again what cluster.retry says; anywhere: wait for another launcher at work on this root",
    )
    parser.add_argument(
        "--canary",
        action="store_true",
        help="first run the smallest cell through all kinds, and the rest only if it passes",
    )
    parser.add_argument(
        "--print-scripts",
        type=Path,
        metavar="DIR",
        help="write every sbatch script that would be submitted to a new folder, and submit nothing",
    )
    parser.add_argument(
        "--break-lock",
        action="store_true",
        help="take over the lock of a launcher on another host that you know to be dead",
    )
    parser.add_argument(
        "--retry",
        action="append",
        default=[],
        choices=("failed", "lost", "timeout", "oom", "all"),
        help="run jobs again whatever cluster.retry says: all that failed, those lost, those past "
        "their time limit, those out of memory, or all of these",
    )
    add_root(parser)
    options = parser.parse_args(arguments)
    if options.grid is None and options.result is None:
        raise UserError(f"no grid; give one of these, or your own:\n{grids_that_ship()}")
    if options.dry_run and options.print_scripts:
        parser.error("--print-scripts writes files, and --dry-run none; leave one of them out")
    return options


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
        grid = read_lock(locked, options.settings, options.dry_run, options.site)
    else:
        path = find_grid(options.grid)
        named = options.site or os.environ.get("VALLEY_SITE")
        site = Path(named) if named else None
        grid = read_grid(path, options.settings, options.dry_run, site)
    sweep, cells = grid.sweep, grid.cells
    for warning in grid.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for name in dict.fromkeys(cell.axes["student"] for cell in cells):
        check_student(name, sweep.students[name])
    # A dry run changes nothing, not even the name of a damaged file.
    store = Store(_root(options.root, options.dry_run), read_only=options.dry_run)
    ledger = Ledger(store.root / "sweeps" / sweep.name)
    where = "slurm" if options.print_scripts else _where(options, sweep)
    rounds = DrawnRounds.of(sweep, cells, store)
    if locked is not None:
        print_drift(locked, rounds.most)
    unknown = _check_pool(rounds.whole, store)
    planned = _part(rounds.whole, conditions)
    retry = frozenset(options.retry)
    plan = make_plan(planned, sweep, store, retry)
    priced = plan
    if rounds.most is not rounds.whole:
        priced = make_plan(_part(rounds.most, conditions), sweep, store, retry)
    say(rounds)
    if options.dry_run:
        if priced is not plan:
            print("what follows counts all rounds, which is the most that may be drawn")
        print_plan(priced, sweep, where, store, options.all)
        for note in [*notes(grid, plan, where, store.root), *unknown]:
            print(note)
    elif where == "local":
        check_room(sweep.resources, kinds_to_run(plan), sweep.cluster)
    if options.budget is not None:
        hold_to_budget(priced, sweep, store, options.budget)
    if options.dry_run:
        return 0
    source = f"--from {locked.path}" if locked else str(find_grid(options.grid))
    origin = " ".join([source, *(f"--set {setting}" for setting in options.settings)])
    if not plan.with_action("submit", "rebuild", "wait"):
        _record(rounds, origin, ledger)
        return _nothing_to_do(plan, sweep, store)
    # What is there by now stays: there is no use in looking at it again and again.
    gc.freeze()
    gc.enable()
    launch = Launch(sweep, store, ledger, where, retry, options.wait, options.break_lock)
    with launch.lock():
        _record(rounds, origin, ledger)
    if options.print_scripts:
        return launch.print_scripts(planned, options.print_scripts)
    if options.canary and (status := launch.canary(planned)):
        return status
    status = launch.run(planned)
    if status or not (where == "local" or options.wait):
        return status

    def record(now: DrawnRounds) -> None:
        with launch.lock():
            _record(now, origin, ledger)

    return follow(rounds, record, lambda whole: launch.run(_part(whole, conditions)))


def _root(path: Path, dry_run: bool) -> Path:
    """The root, which need not exist yet.

    Raises:
        UserError: it cannot be a folder, or nothing can be written there, which a dry run only names.
    """
    root = path.resolve()
    for folder in (root, *root.parents):
        if os.path.isdir(folder):
            break
        if os.path.exists(folder):
            raise UserError(f"--root {path}: {folder} is a file; give a folder, or a new name")
    if not dry_run and (why := unusable(root)):
        raise UserError(why)
    return root


def _record(rounds: DrawnRounds, origin: str, ledger: Ledger) -> None:
    """Leave word of the launch: the sweep as it is now, all its cells, and when."""
    ledger.write_manifest(rounds.whole.rows, rounds.store, rounds.sampling)
    ledger.write_sweep(rounds.sweep.model_dump(mode="json", by_alias=True), origin)
    ledger.append({"event": "launch", "at": time.time(), "origin": origin})
    warn(rounds.store)


def _where(options: argparse.Namespace, sweep: Sweep) -> str:
    kind = options.cluster or sweep.cluster.kind
    # A dry run plans for a cluster from anywhere.
    if kind == "local" or (kind == "slurm" and options.dry_run):
        return str(kind)
    why = slurm.why_silent()
    if kind == "slurm" and why:
        raise UserError(f"--cluster slurm: {why}; launch on a login node, or with --cluster local")
    return "local" if why else "slurm"


def _part(whole: Trail, conditions: Where) -> Trail:
    """The rows that the conditions choose, with the jobs that they need."""
    if not conditions.conditions:
        return whole
    planned = part(whole, [row for row in whole.rows if conditions.matches(row.cell.axes)])
    if not planned.rows:
        there = conditions.vain([row.cell.axes for row in whole.rows])
        raise UserError(f"--where {conditions}: no such cell; {there}")
    return planned


def _check_pool(planned: Trail, store: Store) -> list[str]:
    """Hold the sizes against what the pools hold: exactly, once they are prepared; what is not known."""
    pools, rooms = {}, {}
    for identity in planned.pools:
        if (result := store.result("prepare", identity)) is not None:
            # It brings NumPy, which a first launch does without.
            from valley.data.held_out import room
            from valley.data.subset import capacity

            folder = store.folders("prepare")[identity[:16]]
            pools[identity] = Pool(result["outcome"]["strata"], capacity(folder))
            rooms[identity] = room(folder)
    unknown = check_pool(planned, pools)
    check_held_out(planned, rooms)
    return unknown


def _nothing_to_do(plan: Plan, sweep: Sweep, store: Store) -> int:
    cells = len({row.cell for row in plan.rows})
    stuck = plan.with_action("failed", "lost")
    if not stuck:
        said = f"all {cells} cells are" if cells != 1 else "the only cell is"
        print(f"{sweep.name}: nothing to do: {said} done")
        print(next_line(PLOT, sweep.name, store.root))
        return 0
    print(f"{sweep.name}: nothing to do, but {len(stuck)} jobs have failed or are lost:")
    print_stuck(plan)
    return 1


if __name__ == "__main__":
    exit_on_user_error(main)
