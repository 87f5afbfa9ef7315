"""A launch that goes ahead: what its plan says is to be run, on Slurm or on this machine."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from patience import patiently
from plan_text import print_stuck, summary
from planning import live, make_plan, to_wait_for
from submitted import Submitted

from valley.attempts import note_attempt
from valley.canary import smallest_cell
from valley.cancelling import cancel
from valley.checkout import circumstances
from valley.cluster import slurm
from valley.cluster.arrays import Array, make_arrays
from valley.cluster.orphans import settle
from valley.command_line import PLOT, next_line
from valley.job import Job, Trail
from valley.ledger import Ledger, all_submissions
from valley.lock import launch_notes
from valley.plan import Plan
from valley.preview import cost_s
from valley.root_lock import root_lock
from valley.state import Knowledge
from valley.store import Store
from valley.sweep import Sweep

# Jobs share a process until they last this many start-ups (as far as `pack` allows).
SHARED_STARTUPS = 4
# The queue is looked at after 2 s, and less and less often while nothing changes.
POLL_S = (2.0, 30.0)
POLL_GROWTH = 1.3
SQUEUE_FORMAT = "%.18i %.9P %.36j %.9T %.10M %R"


@dataclass
class Launch:
    """One sweep, the place where it runs, and how far this launch goes."""

    sweep: Sweep
    store: Store
    ledger: Ledger
    where: str
    retry: frozenset[str] = frozenset()
    """What is run again whatever `cluster.retry` says, as `plan.decide` takes it."""
    wait: bool = False
    """Whether to stay until all is done."""
    break_lock: bool = False
    held: int = 0
    """How many jobs Slurm had no room for, as was said last."""
    submitted: Submitted = field(init=False)

    def __post_init__(self) -> None:
        self.submitted = Submitted(self.sweep.cluster.retry)

    def run(self, planned: Trail) -> int:
        """Run what is missing; the status that the command ends with."""
        if self.where == "local":
            with self.lock():
                return self._run_here(self._plan_alone(planned))
        if self.wait:
            return self.follow(planned)
        self._submit_all(planned)
        print(f"logs: {self.ledger.folder / 'slurm'}")
        print(f"watch: SQUEUE_FORMAT='{SQUEUE_FORMAT}' squeue --me; python sweeps/status.py")
        return 0

    def print_scripts(self, planned: Trail, target: Path) -> int:
        """Write what would be submitted to Slurm, for a person to read and submit."""
        from valley.cluster.printing import SUBMIT_ALL, check_empty, print_scripts

        target = check_empty(target)
        with self.lock():
            plan = self._plan_alone(planned)
            self.note_attempts(plan)
            scripts = print_scripts(
                self.arrays(plan),
                self.sweep.cluster,
                self.ledger,
                self.store,
                self.snapshot(),
                live(plan),
                target,
            )
        for script in scripts:
            print(f"  {script}")
        print(
            f"nothing was submitted; to submit all of it: {shlex.quote(str(target / SUBMIT_ALL))}"
        )
        return 0

    def canary(self, planned: Trail) -> int:
        """Run the smallest cell through all kinds, and stay until it is done; 0 if it passes."""
        first = smallest_cell(planned, self.cost_s)
        print(f"canary: {first.rows[0].cell.label}", flush=True)
        status = replace(self, wait=True).run(first)
        if status:
            print("the canary did not pass; nothing else was submitted", file=sys.stderr)
        return status

    def follow(self, planned: Trail) -> int:
        """Submit, and stay until nothing is under way on Slurm; submit what was held as room appears,
        and what `cluster.retry` tries again. A silence of Slurm is borne with.
        """
        from progress import Display, from_plan

        look = partial(make_plan, planned, self.sweep, self.store)
        pause, before = POLL_S[0], (-1, -1)
        try:
            patiently(partial(self._submit_all, planned))
            plan = patiently(look)
            with Display(plan, self.store) as display:
                while True:
                    display.show(from_plan(plan, self.store))
                    now = (len(plan.with_action("wait")), len(plan.with_action("done")))
                    held = bool(self.submitted.fresh(plan))
                    if not now[0] and not held:
                        break
                    pause = POLL_S[0] if now != before else min(pause * POLL_GROWTH, POLL_S[1])
                    # Room may also appear where another's jobs end, of which nothing is seen here.
                    if held and (now != before or pause == POLL_S[1]):
                        patiently(partial(self._submit_more, planned))
                    before = now
                    time.sleep(pause)
                    plan = patiently(look)
        except KeyboardInterrupt:
            print("\ninterrupted: what is submitted goes on; the same command follows it again")
            return 130
        return self._end(plan)

    def _submit_all(self, planned: Trail) -> None:
        """Submit what is missing, as the launch's own options have it."""
        with self.lock():
            self._submit(self._plan_alone(planned))

    def _submit_more(self, planned: Trail) -> None:
        """Submit what is missing by now."""
        with self.lock():
            settle(self.store.root)
            self._submit(make_plan(planned, self.sweep, self.store))

    def lock(self) -> AbstractContextManager[None]:
        """The root's lock, as far as this launch may wait for it or break it."""
        waits = partial(print, flush=True) if self.wait else None
        return root_lock(self.store.root, break_it=self.break_lock, waits=waits)

    def arrays(self, plan: Plan) -> list[Array]:
        """What is to be submitted, grouped for the place where it runs."""
        on_slurm = self.where == "slurm"
        return make_arrays(
            [decision.job for decision in self.submitted.fresh(plan)],
            self.sweep.resources,
            self.cost_s,
            self.sweep.name,
            share_s=SHARED_STARTUPS * self.sweep.preview.startup_s,
            max_elements=slurm.max_array_size() if on_slurm else sys.maxsize,
            live=live(plan),
            raised=plan.raised,
        )

    def note_attempts(self, plan: Plan) -> None:
        """Write down what failed of the jobs that are to be submitted, before they are laid anew."""
        for decision in self.submitted.fresh(plan):
            job, known = decision.job, decision.known
            if known.state in ("failed", "lost"):
                folder = self.store.folder(job.kind, job.label, job.identity)
                note_attempt(folder, known.attempt, known.failure or known.state)

    def cost_s(self, job: Job) -> float:
        """Estimated seconds of a job."""
        return cost_s(job, self.sweep)

    def snapshot(self) -> Path:
        """The frozen code that the jobs run."""
        from valley.cluster.snapshot import take_snapshot

        return take_snapshot(self.ledger.folder / "snapshot")

    def _plan_alone(self, planned: Trail) -> Plan:
        """The plan under the lock: another launcher may have been at work until now."""
        if self.where == "slurm" and not slurm.why_silent():
            settle(self.store.root)
        plan = make_plan(planned, self.sweep, self.store, self.retry)
        # Before anything is laid: every job carries what it can be run again from.
        self.store.notes = launch_notes(self.sweep, plan.rows, circumstances, self.cost_s)
        told = self.ledger.estimates()
        waiting = [d for d in plan.with_action("wait") if d.job.identity[:16] not in told]
        to_come = [decision.job for decision in (*plan.to_run, *waiting)]
        self.ledger.write_estimates({job.identity: self.cost_s(job) for job in to_come})
        print(summary(plan, self.sweep, self.where))
        print_stuck(plan)
        if left := len(to_wait_for(plan, self.where)):
            # An earlier launcher was killed, or submitted elsewhere, and its jobs run on.
            print(f"waiting for {left} jobs that an earlier launch left running", flush=True)
            while to_wait_for(plan, self.where):
                time.sleep(POLL_S[0])
                plan = make_plan(planned, self.sweep, self.store, self.retry)
        return plan

    def _submit(self, plan: Plan) -> None:
        self.submitted.settle(plan)
        fresh = self.submitted.fresh(plan)
        if not fresh:
            self.held = 0
            return
        from valley.cluster.submit import submit_to_slurm

        if waiting := {d.job.identity[:16] for d in fresh if d.place}:
            # What waits for ever for a parent that failed has a place, which its successor takes over.
            places = Knowledge(self.store, all_submissions(self.store.root)).places
            cancel(places[name] for name in waiting)
        self.note_attempts(plan)
        self.submitted.begin(d.job for d in fresh)
        outcome = submit_to_slurm(
            self.arrays(plan),
            self.sweep.cluster,
            self.ledger,
            self.store,
            self.snapshot(),
            live(plan),
        )
        for array, job_id, count in outcome.submitted:
            print(f"  submitted {job_id:>8}  {array.name} ({count})", flush=True)
        held = {job.identity for element in outcome.held for job in element.jobs}
        if again := self.submitted.retries(d for d in fresh if d.job.identity not in held):
            print(f"  {again} of these jobs are tried again, by cluster.retry", flush=True)
        self.submitted.note(d.job for d in fresh if d.job.identity not in held)
        if held and len(held) != self.held:
            way = "as room appears" if self.wait else "by the next launch, or at once with --wait"
            print(
                f"  {len(held)} jobs held back, to be submitted {way}: {outcome.reason}", flush=True
            )
        self.held = len(held)

    def _run_here(self, plan: Plan) -> int:
        from progress import Display

        from valley.cluster.local import run_locally

        started = time.monotonic()
        # Said of SIGINT too: a shell that starts a job in the background has it ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        self.note_attempts(plan)
        arrays, snapshot = self.arrays(plan), self.snapshot()
        try:
            with Display(plan, self.store) as display:
                progress = run_locally(
                    arrays,
                    self.sweep.cluster,
                    self.ledger,
                    self.store,
                    snapshot,
                    self.cost_s,
                    display.show,
                )
        except KeyboardInterrupt:
            print("\ninterrupted: finished jobs are kept; the same command goes on from here")
            return 130
        wall_s = time.monotonic() - started
        print(
            f"{len(progress.finished)} jobs done in {wall_s:.0f} s, {len(progress.failed)} failed"
        )
        jobs = {decision.job.identity: decision.job for decision in plan.decisions}
        for identity, reason in progress.failed.items():
            print(f"  failed: {jobs[identity].kind} {jobs[identity].label}: {reason}")
        if progress.failed:
            print(
                "look at the logs; what is corrected in the grid or its data is run by the same command, "
                "what was wrong outside them with --retry failed"
            )
            return 1
        print(next_line(PLOT, self.sweep.name, self.store.root))
        return 0

    def _end(self, plan: Plan) -> int:
        """Say how a launch that stayed to the end has ended; its status."""
        left = [d for d in plan.decisions if d.action != "done"]
        print(f"{len(plan.decisions) - len(left)} of {len(plan.decisions)} jobs are done")
        if not left:
            print(next_line(PLOT, self.sweep.name, self.store.root))
            return 0
        print_stuck(plan)
        for decision in plan.to_run:
            job = decision.job
            print(f"  left: {job.kind} {job.label}: {decision.reason}; the same command runs it")
        return 1


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
