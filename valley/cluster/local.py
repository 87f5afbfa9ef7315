"""One machine: submitit's local executor behind a gate.

submitit starts whatever it is given at once and knows no dependencies. The gate keeps them, and starts
at most as many elements as the machine has CPUs, GPUs and memory for, each with GPUs of its own; first
come those on whose end the longest chain waits. When a packed element is killed, only the job that was
at work has failed; what it had not begun runs again in another element.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from valley.cluster import machine
from valley.cluster.arrays import Array, Element
from valley.cluster.config import ClusterConfig
from valley.cluster.local_element import POLL_S, LocalElement, start, stop
from valley.cluster.requeue import RequeuePolicy
from valley.job import Job
from valley.job_file import read_job, write_failure
from valley.ledger import Ledger
from valley.logs import tail_of_last_job
from valley.store import Store
from valley.weights import MARKER


@dataclass
class Progress:
    """What the display shows: jobs by state, and the seconds of work that are left, as estimated."""

    running: list[Job] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    left_s: float = 0.0


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

    A failed element does not stop its siblings; what depends on it is not run. A job that is stopped at
    its time limit goes on in another element. Interrupted, it ends what is running, which keeps what it
    can resume from, and raises KeyboardInterrupt; finished jobs stay finished.

    Raises:
        UserError: an element asks for more than the machine has.
    """
    room = machine.room(config, gpus=any(array.resources.gpus_per_node for array in arrays))
    for array in arrays:
        machine.check_asked(array.kind, array.resources, room)
    whole = replace(room)
    elements = [element for array in arrays for element in array.elements]
    by_job = {job.identity: element for element in elements for job in element.jobs}
    chain_s = _chains(elements, by_job, cost_s)
    waiting = sorted(elements, key=lambda element: -chain_s[element])
    progress = Progress()
    running: list[LocalElement] = []
    try:
        while waiting or running:
            for element in list(waiting):
                if _blocked(element, progress):
                    waiting.remove(element)
                elif _ready(element, by_job, progress) and room.fits(element.array.resources):
                    waiting.remove(element)
                    gpus = room.take(element.array.resources)
                    policy = RequeuePolicy.of(config)
                    running.append(start(element, gpus, ledger, store, snapshot, policy))
            progress.running = [job for item in running for job in item.element.jobs]
            progress.left_s = _left(waiting, running, whole, chain_s, cost_s, progress)
            _note_finished(running, store, progress)
            show(progress)
            for item in running:
                item.end_if_a_rank_is_gone()
            for item in [item for item in running if item.has_ended()]:
                running.remove(item)
                room.give_back(item.asked, item.gpus)
                if unbegun := _settle(item, store, progress):
                    again = Element(unbegun, item.element.array, item.element.index)
                    by_job.update({job.identity: again for job in unbegun})
                    chain_s[again] = chain_s[item.element]
                    waiting.insert(0, again)
            time.sleep(POLL_S)
    except BaseException:
        stop(running)
        raise
    progress.running = []
    show(progress)
    return progress


def _parents(element: Element, by_job: dict[str, Element]) -> list[tuple[Job, Element]]:
    return [
        (parent, by_job[parent.identity])
        for job in element.jobs
        for parent in job.parents
        if parent.identity in by_job and by_job[parent.identity] is not element
    ]


def _chains(
    elements: list[Element], by_job: dict[str, Element], cost_s: Callable[[Job], float]
) -> dict[Element, float]:
    """For each element, the seconds of the longest chain of work that starts with it."""
    chain: dict[Element, float] = {}
    longest_after: dict[Element, float] = {}
    for element in reversed(elements):  # children before parents
        own = sum(cost_s(job) for job in element.jobs)
        chain[element] = own + longest_after.get(element, 0.0)
        for _, parent in _parents(element, by_job):
            longest_after[parent] = max(longest_after.get(parent, 0.0), chain[element])
    return chain


def _ready(element: Element, by_job: dict[str, Element], progress: Progress) -> bool:
    # Asked of every waiting element at each poll, so that the two are not put together.
    return all(
        parent.identity in progress.finished or parent.identity in progress.failed
        for parent, _ in _parents(element, by_job)
    )


def _blocked(element: Element, progress: Progress) -> bool:
    """Whether no job of the element can run, since each has a parent that failed."""
    for job in element.jobs:
        failed = [j for j in job.parents if j.identity in progress.failed]
        if not failed:
            return False
    for job in element.jobs:
        progress.failed[job.identity] = "what it needs failed"
    return True


def _note_finished(running: list[LocalElement], store: Store, progress: Progress) -> None:
    """Count the jobs of packed elements as they finish, not only at their element's end."""
    for item in running:
        for job in item.element.jobs:
            if job.identity not in progress.finished:
                folder = store.folder(job.kind, job.label, job.identity)
                if (folder / "result.json").is_file() and not (folder / MARKER).exists():
                    progress.finished.add(job.identity)


def _settle(item: LocalElement, store: Store, progress: Progress) -> list[Job]:
    """After an element's end: what became of its jobs.

    Returns:
        Jobs that it had not begun, or was stopped in at its time limit, and that are to run in another
        element. There are none where the element ended without getting anywhere, since another would
        hardly fare better.
    """
    log = item.log
    unbegun: list[Job] = []
    for job in item.element.jobs:
        folder = store.folder(job.kind, job.label, job.identity)
        if store.result(job.kind, job.identity) is not None and not (folder / MARKER).exists():
            progress.finished.add(job.identity)
            continue
        progress.finished.discard(job.identity)
        if any(parent.identity in progress.failed for parent in job.parents):
            progress.failed[job.identity] = "what it needs failed"
            continue
        failure = store.failure(job.kind, job.identity)
        if failure is None and store.running(job.kind, job.identity) is None:
            unbegun.append(job)
            continue
        if failure is None:
            # It was at work and could not say so itself: killed, or out of memory.
            spent_s = time.monotonic() - item.started
            said = item.lost or f"its process ended without a result, after {spent_s:.0f} s"
            shown = f"{tail_of_last_job(Path(log))}\n{item.lost}".strip()
            write_failure(read_job(folder), said, log, shown or said)
            failure = {"error": said, "log": log}
        progress.failed[job.identity] = f"{failure['error']} (log: {failure['log'] or log})"
    stopped = any(store.stopped(job.kind, job.identity) for job in unbegun)
    if stopped or len(unbegun) < len(item.element.jobs):
        return unbegun
    for job in unbegun:
        # Not written down as a failure: the next launch begins with it.
        why = item.lost or "its process ended before it began"
        progress.failed[job.identity] = f"{why} (log: {log})"
    return []


def _left(
    waiting: list[Element],
    running: list[LocalElement],
    whole: machine.Room,
    chain_s: dict[Element, float],
    cost_s: Callable[[Job], float],
    progress: Progress,
) -> float:
    """Estimated seconds to the end: the work left spread over the machine, or the longest chain."""
    work = sum(
        cost_s(job) * machine.share(element.array.resources, whole)
        for element in waiting
        for job in element.jobs
    )
    longest = max((chain_s[element] for element in waiting), default=0.0)
    for item in running:
        spent = time.monotonic() - item.started
        own = sum(cost_s(job) for job in item.element.jobs if job.identity not in progress.finished)
        work += max(0.0, own - spent) * machine.share(item.asked, whole)
        longest = max(longest, chain_s[item.element] - spent)
    return max(work, longest)
