"""The display of a sweep that runs on this machine: one line that says where it stands."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from valley.cluster.local import Progress
from valley.plan import Plan
from valley.store import Store

PLAIN_EVERY_S = 15.0


def from_plan(plan: Plan, store: Store) -> Progress:
    """What the display shows of a sweep that runs on Slurm."""
    waiting = [decision.job for decision in plan.with_action("wait")]
    return Progress(
        running=[job for job in waiting if store.running(job.kind, job.identity) is not None],
        finished={d.job.identity for d in plan.with_action("done")},
        failed={d.job.identity: d.reason for d in plan.with_action("failed", "lost", "blocked")},
    )


class Display:
    """Cells done, running and waiting, the current loss, and the time left.

    On a terminal it is redrawn in place; into a file it is a line every 15 seconds.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self.store = store
        self.cells: dict[str, set[str]] = {}
        done = {d.job.identity for d in plan.with_action("done")}
        for row in plan.rows:
            jobs = self.cells.setdefault(row.cell.label, set())
            jobs.update(j.identity for j in (row.train, row.generate, row.grade) if j is not None)
        self.done_before = done
        self.started = self.printed = time.monotonic()
        self.first_left_s: float | None = None
        self.console = Console()
        self.live = (
            Live(console=self.console, refresh_per_second=2) if sys.stdout.isatty() else None
        )

    def __enter__(self) -> Display:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self.live.stop()

    def show(self, progress: Progress) -> None:
        """Draw where the sweep stands."""
        now = time.monotonic()
        if self.live is None and now - self.printed < PLAIN_EVERY_S and progress.running:
            return
        self.printed = now
        text, done = self._text(progress)
        if self.live is None:
            print(text, flush=True)
            return
        table = Table.grid(padding=(0, 1))
        table.add_row(ProgressBar(total=len(self.cells), completed=done, width=24), text)
        self.live.update(table)

    def _text(self, progress: Progress) -> tuple[str, int]:
        finished = self.done_before | progress.finished
        running = {job.identity for job in progress.running} - finished
        failed = progress.failed.keys()
        counts = {"done": 0, "running": 0, "failed": 0, "waiting": 0}
        for jobs in self.cells.values():
            if jobs <= finished:
                counts["done"] += 1
            elif jobs & failed:
                counts["failed"] += 1
            elif jobs & running:
                counts["running"] += 1
            else:
                counts["waiting"] += 1
        parts = [f"{n} {word}" for word, n in counts.items() if n or word != "failed"]
        text = f"cells: {', '.join(parts)} of {len(self.cells)}"
        if current := self._current(progress):
            text += f" | {current}"
        if progress.running and progress.left_s:
            text += f" | {self._left(progress.left_s)} left"
        return text, counts["done"]

    def _current(self, progress: Progress) -> str:
        """The training that runs, with its step and loss; else any job."""
        lines = []
        for job in progress.running:
            said = self.store.progress(job.kind, job.identity)
            if said is None or job.identity in progress.finished:
                continue
            doing = f"{said['doing']} " if "doing" in said else ""
            loss = f" loss {said['loss']:.3f}" if "loss" in said else ""
            lines.append(
                (
                    job.kind != "train",
                    f"{job.kind} {job.label} {doing}{said['step']}/{said['steps']}{loss}",
                )
            )
        return min(lines)[1] if lines else ", ".join(sorted({job.kind for job in progress.running}))

    def _left(self, estimate_s: float) -> str:
        """The estimate, corrected by how fast the estimate itself has been coming down."""
        if self.first_left_s is None:
            self.first_left_s = estimate_s
        passed, worked = time.monotonic() - self.started, self.first_left_s - estimate_s
        if worked > 0.1 * self.first_left_s:
            estimate_s *= passed / worked
        minutes, seconds = divmod(round(estimate_s), 60)
        return f"about {minutes}:{seconds:02d}"
