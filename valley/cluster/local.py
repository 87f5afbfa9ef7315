"""One machine: submitit's local executor behind a gate.

submitit starts whatever it is given at once and knows no dependencies. The gate keeps them, and starts
at most as many elements as the machine has CPUs for, those first on whose end the longest chain waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valley.cluster.arrays import Array, Element
from valley.cluster.config import ClusterConfig
from valley.cluster.element import run_element
from valley.cluster.submit import changed_environment, environment_of, journal_intent, lay_jobs
from valley.errors import UserError
from valley.ledger import Ledger
from valley.plan import Job
from valley.store import Store, read_job, write_failure

POLL_S = 0.1
STOP_S = 15.0


@dataclass
class Progress:
    """What the display shows: jobs by state, and the seconds of work that are left, as estimated."""

    running: list[Job] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    left_s: float = 0.0


@dataclass
class _Running:
    element: Element
    handle: Any
    cpus: int
    started: float


def run_locally(
    arrays: list[Array],
    config: ClusterConfig,
    ledger: Ledger,
    store: Store,
    snapshot: Path,
    cost_s: Callable[[Job], float],
    show: Callable[[Progress], None],
) -> Progress:
    """Run arrays to their end, and return what became of every job.

    A failed element does not stop its siblings; what depends on it is not run. Interrupted, it ends what
    is running and raises KeyboardInterrupt; finished jobs stay finished.

    Raises:
        UserError: an element asks for more CPUs or nodes than the machine has.
    """
    cpus = config.local_cpus or len(os.sched_getaffinity(0))
    elements = [element for array in arrays for element in array.elements]
    for element in elements:
        _check_room(element, cpus)
    by_job = {job.identity: element for element in elements for job in element.jobs}
    chain_s = _chains(elements, by_job, cost_s)
    waiting = sorted(elements, key=lambda element: -chain_s[id(element)])
    progress = Progress()
    running: list[_Running] = []
    try:
        while waiting or running:
            free = cpus - sum(item.cpus for item in running)
            for element in list(waiting):
                if _blocked(element, by_job, progress):
                    waiting.remove(element)
                elif _ready(element, by_job, progress) and _cpus(element) <= free:
                    waiting.remove(element)
                    running.append(_start(element, ledger, store, snapshot))
                    free -= _cpus(element)
            progress.running = [job for item in running for job in item.element.jobs]
            progress.left_s = _left(waiting, running, cpus, chain_s, cost_s, progress)
            _note_finished(running, store, progress)
            show(progress)
            for item in [item for item in running if item.handle.done()]:
                running.remove(item)
                _settle(item, store, progress)
            time.sleep(POLL_S)
    except BaseException:
        _stop(running)
        raise
    progress.running = []
    show(progress)
    return progress


def _check_room(element: Element, cpus: int) -> None:
    resources = element.array.resources
    if resources.nodes > 1:
        raise UserError(
            f"resources.{element.array.kind}.nodes is {resources.nodes}, and this is one machine; "
            "set it to 1, or launch on a cluster"
        )
    if _cpus(element) > cpus:
        raise UserError(
            f"resources.{element.array.kind} asks for {_cpus(element)} CPUs (tasks_per_node x "
            f"cpus_per_task), and jobs may use {cpus} here; ask for fewer"
        )


def _cpus(element: Element) -> int:
    resources = element.array.resources
    return resources.tasks_per_node * resources.cpus_per_task


def _parents(element: Element, by_job: dict[str, Element]) -> list[tuple[Job, Element]]:
    return [
        (parent, by_job[parent.identity])
        for job in element.jobs
        for parent in job.inputs.values()
        if parent.identity in by_job and by_job[parent.identity] is not element
    ]


def _chains(
    elements: list[Element], by_job: dict[str, Element], cost_s: Callable[[Job], float]
) -> dict[int, float]:
    """For each element, the seconds of the longest chain of work that starts with it."""
    chain: dict[int, float] = {}
    longest_after: dict[int, float] = {}
    for element in reversed(elements):  # children before parents
        own = sum(cost_s(job) for job in element.jobs)
        chain[id(element)] = own + longest_after.get(id(element), 0.0)
        for _, parent in _parents(element, by_job):
            longest_after[id(parent)] = max(longest_after.get(id(parent), 0.0), chain[id(element)])
    return chain


def _ready(element: Element, by_job: dict[str, Element], progress: Progress) -> bool:
    settled = progress.finished | progress.failed.keys()
    return all(parent.identity in settled for parent, _ in _parents(element, by_job))


def _blocked(element: Element, by_job: dict[str, Element], progress: Progress) -> bool:
    """Whether no job of the element can run, since each has a parent that failed."""
    for job in element.jobs:
        failed = [j for j in job.inputs.values() if j.identity in progress.failed]
        if not failed:
            return False
    for job in element.jobs:
        progress.failed[job.identity] = "what it needs failed"
    return True


def _start(element: Element, ledger: Ledger, store: Store, snapshot: Path) -> _Running:
    import submitit

    resources = element.array.resources
    intent, folder = journal_intent(ledger, element.array, [element], "local")
    work = lay_jobs(store, element)
    python = {"local_python": resources.python} if resources.python else {}
    executor = submitit.AutoExecutor(folder=folder, cluster="local", **python)
    executor.update_parameters(
        tasks_per_node=resources.tasks_per_node,
        gpus_per_node=resources.gpus_per_node,
        timeout_min=resources.time_limit_min,
        stderr_to_stdout=True,
    )
    with changed_environment(environment_of(resources, snapshot)):
        handle = executor.submit(run_element, work, str(snapshot))
    ledger.append({"event": "submitted", "intent": intent, "job_id": str(handle.job_id)})
    return _Running(element, handle, _cpus(element), time.monotonic())


def _note_finished(running: list[_Running], store: Store, progress: Progress) -> None:
    """Count the jobs of packed elements as they finish, not only at their element's end."""
    for item in running:
        for job in item.element.jobs:
            if job.identity not in progress.finished:
                folder = store.folder(job.kind, job.label, job.identity)
                if (folder / "result.json").is_file():
                    progress.finished.add(job.identity)


def _settle(item: _Running, store: Store, progress: Progress) -> None:
    """After an element's end: what has no valid result has failed."""
    log = str(item.handle.paths.stdout)
    for job in item.element.jobs:
        if store.result(job.kind, job.identity) is not None:
            progress.finished.add(job.identity)
            continue
        progress.finished.discard(job.identity)
        if any(parent.identity in progress.failed for parent in job.inputs.values()):
            progress.failed[job.identity] = "what it needs failed"
            continue
        failure = store.failure(job.kind, job.identity)
        if failure is None:
            # It could not say so itself: killed, out of memory, past its time limit.
            said = (
                f"its process ended without a result, after {time.monotonic() - item.started:.0f} s"
            )
            folder = store.folder(job.kind, job.label, job.identity)
            write_failure(read_job(folder), said, log)
            failure = {"error": said, "log": log}
        progress.failed[job.identity] = f"{failure['error']} (log: {failure['log'] or log})"


def _left(
    waiting: list[Element],
    running: list[_Running],
    cpus: int,
    chain_s: dict[int, float],
    cost_s: Callable[[Job], float],
    progress: Progress,
) -> float:
    """Estimated seconds to the end: the work left spread over the CPUs, or the longest chain."""
    work = sum(cost_s(job) * _cpus(element) for element in waiting for job in element.jobs)
    longest = max((chain_s[id(element)] for element in waiting), default=0.0)
    for item in running:
        spent = time.monotonic() - item.started
        own = sum(cost_s(job) for job in item.element.jobs if job.identity not in progress.finished)
        work += max(0.0, own - spent) * item.cpus
        longest = max(longest, chain_s[id(item.element)] - spent)
    return max(work / cpus, longest)


def _stop(running: list[_Running]) -> None:
    """End the elements that run. submitit's controller interrupts its tasks, then kills them."""
    for item in running:
        item.handle.cancel()
    deadline = time.monotonic() + STOP_S
    while time.monotonic() < deadline and not all(item.handle.done() for item in running):
        time.sleep(POLL_S)
