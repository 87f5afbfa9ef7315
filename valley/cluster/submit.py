"""Submission to Slurm: every array is one sbatch, and nothing that is queued is ever unknown.

1. The intent goes to the journal.
2. The submission's folder, named by the intent, is made complete: see `script`.
3. sbatch is called, with the folder as the array's working folder.
4. The id goes to the journal.

So a launcher may be killed at any point: only between 3 and 4 is an array queued whose id is not known,
and `orphans` finds it by its working folder. Each job's `job.json` names the submission that it belongs
to now, and an element of any other passes it over.

What Slurm has no room for, by its limits on queued jobs, is cut in half until something fits; the rest
is written down as held, and the next launch tries again.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valley.cluster import sbatch
from valley.cluster.arrays import Array, Element, leader_of
from valley.cluster.config import ClusterConfig
from valley.errors import UserError
from valley.ledger import Ledger
from valley.store import Store

UNSAFE = re.compile(r"[^\w.-]")


def lay_jobs(store: Store, element: Element, submission: Path) -> list[str]:
    """Make the folders of an element's jobs and write their descriptions; their paths."""
    folders = []
    for job in element.jobs:
        execution = {
            **job.execution,
            **element.array.execution,
            "workers": element.array.resources.cpus_per_task,
            "submission": str(submission),
            "short": job.short,
        }
        folders.append(str(store.lay(job, execution)))
    return folders


def new_intent(array: Array) -> str:
    """A name for a submission that is about to be made; a folder may have it."""
    name = UNSAFE.sub("_", array.name)
    return f"{time.strftime('%m%d-%H%M%S')}-{name}-{uuid.uuid4().hex[:6]}"


def journal_intent(
    ledger: Ledger,
    intent: str,
    elements: list[Element],
    cluster: str,
    folder: Path | None = None,
    **more: Any,
) -> Path:
    """Write down what is about to be submitted, and make its folder.

    Args:
        folder: the submission's; null is one in the ledger, named by the intent.

    Returns:
        The folder.
    """
    path = folder or ledger.folder.resolve() / cluster / intent
    path.mkdir(parents=True, exist_ok=True)
    ledger.append(
        {
            "event": "intent",
            "at": time.time(),
            "intent": intent,
            "cluster": cluster,
            "folder": str(folder or f"{cluster}/{intent}"),
            "indices": [element.index for element in elements],
            "elements": [[job.identity for job in element.jobs] for element in elements],
            **more,
        }
    )
    return path


@dataclass
class Outcome:
    """What became of arrays that were to be submitted."""

    submitted: list[tuple[Array, str, int]] = field(default_factory=list)
    """Each sbatch: the array, Slurm's id, and how many elements. Names may be alike."""
    held: list[Element] = field(default_factory=list)
    reason: str = ""
    """What sbatch said when there was no room any more."""


def submit_to_slurm(
    arrays: list[Array],
    config: ClusterConfig,
    ledger: Ledger,
    store: Store,
    snapshot: Path,
    live: Mapping[str, str],
) -> Outcome:
    """Submit arrays, parents before children.

    Args:
        live: of jobs that squeue shows as queued or running, identity -> `array_index`. Of no other
            job that was submitted before may anything depend: what Slurm has forgotten would hold
            nothing back.

    Raises:
        UserError: sbatch refused; what was submitted before stays, and a new launch goes on from it.
    """
    run = _Run(config, ledger, store, snapshot, dict(live))
    for array in arrays:
        run.submit(array)
    run.write_held()
    return run.outcome


@dataclass
class _Run:
    config: ClusterConfig
    ledger: Ledger
    store: Store
    snapshot: Path
    places: dict[str, str]
    """identity -> `array_index` of what may be depended on."""
    outcome: Outcome = field(default_factory=Outcome)
    held: set[str] = field(default_factory=set)
    full: set[tuple] = field(default_factory=set)
    """Accounts, partitions and the like that have no room."""

    def submit(self, array: Array) -> None:
        """Submit what there is room for, and hold the rest."""
        free = []
        for element in array.elements:
            waits = any(p.identity in self.held for job in element.jobs for p in job.parents)
            self.hold([element]) if waits else free.append(element)
        for elements in by_leader(free, self.places):
            self.send(array, elements)

    def send(self, array: Array, elements: list[Element]) -> None:
        """Submit elements that follow one array, or none, in as few arrays as there is room for."""
        asked = array.resources
        site = (asked.account, asked.partition, asked.qos)
        count = len(elements)
        made: tuple[str, Path, dict[int, list[str]]] | None = None
        while elements and site not in self.full:
            part = elements[:count]
            intent, folder, work = made or (new_intent(array), None, {})
            folder = journal_intent(self.ledger, intent, part, "slurm", folder)
            work = work or {e.index: lay_jobs(self.store, e, folder) for e in part}
            try:
                self.sbatch(array, part, intent, folder, work)
            except sbatch.Refused as refused:
                if not refused.full:
                    raise UserError(
                        f"sbatch refused {array.name} ({len(part)} elements): {refused}; what was "
                        "submitted before it stays; correct the settings and launch again"
                    ) from refused
                made = (intent, folder, work)
                self.outcome.reason = str(refused)
                if count == 1:
                    self.ledger.append({"event": "void", "intent": intent})
                    self.full.add(site)
                count = max(1, count // 2)
            else:
                made, elements = None, elements[len(part) :]
        self.hold(elements)

    def sbatch(
        self,
        array: Array,
        elements: list[Element],
        intent: str,
        folder: Path,
        work: Mapping[int, list[str]],
    ) -> None:
        """Submit elements whose intent is written down, and write down their id."""
        from valley.cluster.script import write_submission

        dependency = dependency_of(array, elements, self.places)
        work = {element.index: work[element.index] for element in elements}
        script = write_submission(array, work, folder, self.config, self.snapshot, dependency)
        job_id = sbatch.submit(script)
        self.ledger.append({"event": "submitted", "intent": intent, "job_id": job_id})
        self.outcome.submitted.append((array, job_id, len(elements)))
        note_places(self.places, elements, job_id)

    def hold(self, elements: list[Element]) -> None:
        """Leave elements, and so what follows them, for a later launch."""
        self.outcome.held += elements
        self.held |= {job.identity for element in elements for job in element.jobs}

    def write_held(self) -> None:
        """Tell later launches, and the status, what found no room."""
        if not self.held:
            return
        for element in self.outcome.held:
            for job in element.jobs:
                if self.store.failure(job.kind, job.identity) is not None:
                    # It is to be run again, so an earlier failure is no longer the last word.
                    self.store.lay(job, {**job.execution, "submission": "held"})
        elements = [[job.identity for job in element.jobs] for element in self.outcome.held]
        last = self.ledger.submissions()[-1:]
        if not last or last[0].cluster != "held" or last[0].elements != elements:
            self.ledger.append(
                {
                    "event": "held",
                    "at": time.time(),
                    "intent": f"held-{uuid.uuid4().hex[:6]}",
                    "elements": elements,
                    "reason": self.outcome.reason,
                }
            )


def by_leader(elements: Iterable[Element], places: Mapping[str, str]) -> list[list[Element]]:
    """Elements that follow, one to one, the same array; they can be submitted together."""
    groups: dict[str, list[Element]] = {}
    for element in elements:
        groups.setdefault(_leading_array(element, places), []).append(element)
    return list(groups.values())


def dependency_of(array: Array, elements: list[Element], places: Mapping[str, str]) -> str | None:
    """What elements of one array must wait for, as sbatch is told it."""
    leading = _leading_array(elements[0], places)
    parts = [f"aftercorr:{leading}"] if leading else []
    # A parent without a place is held, and so are those of the array that need it.
    shared = {places[p.identity] for p in array.parents if p.identity in places}
    return ",".join([*parts, *sorted(f"afterok:{place}" for place in shared)]) or None


def note_places(places: dict[str, str], elements: Iterable[Element], job_id: str) -> None:
    """Write down Slurm's names of an array's elements."""
    for element in elements:
        places.update({job.identity: f"{job_id}_{element.index}" for job in element.jobs})


def _leading_array(element: Element, places: Mapping[str, str]) -> str:
    """The id of the array whose element of the same index this one follows; empty if none."""
    for job in element.jobs:
        leader = leader_of(job)
        if leader is not None and leader.identity in places:
            array, _, index = places[leader.identity].rpartition("_")
            if int(index) == element.index:
                return array
    return ""
