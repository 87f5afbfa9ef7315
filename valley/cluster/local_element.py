"""An element that runs on this machine: submitit's controller, and the ranks that it has started.

submitit asks for its controller alone, and the controller waits until all ranks have ended. Where one is
killed, the others may wait for it for half an hour, to join them or in a collective operation. So whoever
watches the element ends the others too, once a rank has been gone for `LOST_RANK_S`. What a job has to
write is written before its first rank ends, so nothing is lost of one that is merely slow to end.
"""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valley.cluster.arrays import Element
from valley.cluster.config import Resources
from valley.cluster.element import JOURNALED, run_element
from valley.cluster.environment import changed_environment, environment_of
from valley.cluster.requeue import RequeuePolicy
from valley.cluster.submit import journal_intent, lay_jobs, new_intent
from valley.ledger import Ledger
from valley.processes import children_of, has_live_task, process_start, this_process
from valley.store import Store

POLL_S = 0.1
STOP_S = 15.0
LOST_RANK_S = 10.0
LOOK_S = 1.0


@dataclass
class LocalElement:
    """One that was started. `gpus` are its own."""

    element: Element
    handle: Any
    gpus: list[str]
    started: float = field(default_factory=time.monotonic)
    lost: str = ""
    """What is said of it where a rank was gone, and the others were ended for it."""
    _looked: float = 0.0
    _whole: float = 0.0

    @property
    def asked(self) -> Resources:
        """What it occupies of the machine."""
        return self.element.array.resources

    @property
    def controller(self) -> int:
        """The process of submitit's controller."""
        return int(self.handle.job_id)

    @property
    def log(self) -> str:
        """The output of its first rank."""
        return str(self.handle.paths.stdout)

    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        # The controller may have been killed without its task.
        return self.handle.done() and not has_live_task(Path(self.handle.paths.folder))

    def end_if_a_rank_is_gone(self) -> None:
        """End what is left of it, where one of its ranks ended long enough before the others."""
        now, count = time.monotonic(), self.asked.tasks_per_node
        if count == 1 or self.lost or now - self._looked < LOOK_S:
            return
        self._looked = now
        ranks = children_of(self.controller)
        if len(ranks) in (0, count):  # not begun or ended, or whole
            self._whole = now
        elif now - self._whole > LOST_RANK_S:
            gone = ", ".join(map(str, sorted({*range(count)} - set(map(_rank_of, ranks)))))
            self.lost = f"rank {gone} of {count} ended without a word, and the others waited for it"
            for pid in ranks:
                _send(pid, signal.SIGKILL)


def start(
    element: Element,
    gpus: list[str],
    ledger: Ledger,
    store: Store,
    snapshot: Path,
    policy: RequeuePolicy,
) -> LocalElement:
    """Journal an element's submission, and start it."""
    import submitit

    resources = element.array.resources
    intent = new_intent(element.array)
    folder = journal_intent(ledger, intent, [element], "local")
    work = lay_jobs(store, element, folder)
    me = this_process()
    python = {"local_python": shlex.quote(resources.python)} if resources.python else {}
    executor = submitit.AutoExecutor(folder=folder, cluster="local", **python)
    executor.update_parameters(
        tasks_per_node=resources.tasks_per_node,
        gpus_per_node=resources.gpus_per_node,
        timeout_min=resources.time_limit_min,
        stderr_to_stdout=True,
    )
    # A Ctrl-C reaches every process of the terminal; at it submitit's controller would kill its tasks
    # within a second, which is too short for a checkpoint. Ignored signals are inherited.
    with changed_environment(environment_of(resources, snapshot)), _ignored(signal.SIGINT):
        handle = executor.submit(
            run_element, work, str(snapshot), launcher=me, gpus=gpus, requeue=policy
        )
    controller = int(handle.job_id)
    ledger.append(
        {
            "event": "submitted",
            "intent": intent,
            "job_id": str(controller),
            "process": {**me, "pid": controller, "start": process_start(controller)},
        }
    )
    (folder / JOURNALED).touch()
    return LocalElement(element, handle, gpus)


def stop(running: list[LocalElement]) -> None:
    """End the elements that run: asked first, so that trainings keep a checkpoint, and then killed."""
    for item in running:
        _send(item.controller, signal.SIGTERM)  # the controller passes it on to its tasks
    deadline = time.monotonic() + STOP_S
    while time.monotonic() < deadline and not all(item.handle.done() for item in running):
        time.sleep(POLL_S)
    for item in running:
        if not item.handle.done():
            for pid in (*children_of(item.controller), item.controller):
                _send(pid, signal.SIGKILL)


def _rank_of(pid: int) -> int:
    """The rank that a process of submitit's controller is; -1 where it has ended since."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except OSError:
        return -1
    ranks = [v.partition("=")[2] for v in variables if v.startswith("SUBMITIT_LOCAL_GLOBALID=")]
    return int(ranks[0]) if ranks else -1


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """Have a signal ignored for a while, and in the processes that are started meanwhile."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
