"""A launch that goes ahead: what its plan says is to be run, on Slurm or on this machine."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

from plan_text import print_stuck, summary

from valley.cluster import slurm
from valley.cluster.arrays import make_arrays
from valley.job import Job, Trail
from valley.ledger import Ledger, all_submissions
from valley.plan import Decision, Plan, decide
from valley.preview import cost_s
from valley.state import knowledge
from valley.store import Store
from valley.sweep import Sweep

# Jobs share a process until they last this many start-ups (as far as `pack` allows).
SHARED_STARTUPS = 4
DEFAULT_ROOT = "runs"


def make_plan(planned: Trail, store: Store, retry: frozenset[str]) -> Plan:
    """The plan as things stand now."""
    store.refresh()
    plan = decide(planned, knowledge(store, all_submissions(store.root)), retry)
    warn(store)
    return plan


def run(
    sweep: Sweep,
    planned: Trail,
    store: Store,
    ledger: Ledger,
    where: str,
    retry: frozenset[str],
) -> int:
    """Run what is missing; the status that the command ends with."""
    from valley.cluster.snapshot import take_snapshot

    # Looked at again under the lock: another launcher may have been at work until now.
    plan = make_plan(planned, store, retry)
    snapshot = take_snapshot(ledger.folder / "snapshot")
    print(summary(plan, sweep, where))
    print_stuck(plan)
    if left := len(_to_wait_for(plan, where)):
        # An earlier launcher was killed, or submitted elsewhere, and its jobs run on.
        print(f"waiting for {left} jobs that an earlier launch left running", flush=True)
        while _to_wait_for(plan, where):
            time.sleep(2)
            plan = make_plan(planned, store, retry)
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
    slurm.cancel(sorted({d.place for d in plan.with_action("submit") if d.place}))
    arrays = make_arrays(
        [d.job for d in plan.with_action("submit")],
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
    print(next_step(sweep, store))
    return 0


def next_step(sweep: Sweep, store: Store) -> str:
    """What to type next: the sweep is named, and the root where it is not the default one."""
    elsewhere = store.root != Path(DEFAULT_ROOT).resolve()
    root = f" --root {shlex.quote(str(store.root))}" if elsewhere else ""
    return f"next: python analysis/plot_valley.py --sweep {sweep.name}{root}"


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def warn(store: Store) -> None:
    """Name what was found damaged since the last warning."""
    for sentence in store.damaged:
        print(f"warning: {sentence}", file=sys.stderr)
    store.damaged.clear()
