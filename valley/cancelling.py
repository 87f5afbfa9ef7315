"""Cancelling: which elements that Slurm has queued or running may be cancelled for some cells of a sweep.

An element is cancelled whole, so it is kept where any of its jobs is needed by a cell that is not meant:
one of the same sweep beside the filter, or an unfinished one of another sweep, since sweeps share jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from valley.cluster import slurm
from valley.ledger import Ledger
from valley.picture import Row
from valley.places import Place, Ticket
from valley.state import Knowledge


@dataclass(frozen=True)
class Live:
    """An element that is queued or running, and what of it is unfinished."""

    place: Place
    is_running: bool
    jobs: list[str]
    """The first 16 digits of the jobs' identities."""


@dataclass(frozen=True)
class Choice:
    """What is cancelled, and what is kept for whom."""

    cancelled: list[Live]
    kept: list[tuple[Live, str]]

    @property
    def names(self) -> list[str]:
        """What scancel is given."""
        return elements_names(live.place for live in self.cancelled)


def cancel(places: Iterable[Place]) -> None:
    """Have Slurm cancel elements, and write down first, in the journals they stand in, which.

    An element that still waits is forgotten by Slurm at once, and would be taken for lost.
    """
    submissions: dict[str, list[Place]] = {}
    for place in places:
        submissions.setdefault(place.submission.intent, []).append(place)
    for intent, members in submissions.items():
        indices = sorted({place.index for place in members})
        event = {"event": "cancelled", "intent": intent, "elements": indices}
        Ledger(members[0].submission.sweep).append(event)
    slurm.cancel(elements_names(place for members in submissions.values() for place in members))


def elements_names(places: Iterable[Place]) -> list[str]:
    """What scancel is given: elements of one array together."""
    arrays: dict[str, set[int]] = {}
    for place in places:
        arrays.setdefault(place.array, set()).add(place.index)
    return [slurm.elements_name(array, sorted(found)) for array, found in sorted(arrays.items())]


def live_elements(knowledge: Knowledge) -> list[Live]:
    """Every element that is queued or running, by what Slurm's queue shows."""
    elements: dict[tuple[str, int], list[str]] = {}
    places: dict[tuple[str, int], Place] = {}
    for identity, place in knowledge.places.items():
        if place.array:
            key = (place.array, place.index)
            elements.setdefault(key, []).append(identity)
            places[key] = place
    found = []
    for key, identities in elements.items():
        task = knowledge.queue.get(key)
        if task is not None and task.state not in slurm.ENDED:
            found.append(Live(places[key], task.state == "RUNNING", identities))
    return found


def needed_by(rows: Mapping[str, Iterable[Row]]) -> dict[str, str]:
    """For whom unfinished jobs are needed: the name that the unfinished rows are given that rest on them."""
    return {
        Ticket.of(place).identity: name
        for name, members in rows.items()
        for row in members
        if row.state != "done"
        for place, job in row.jobs.items()
        if job.known.state != "done"
    }


def choose(elements: Iterable[Live], meant: set[str], needed: Mapping[str, str]) -> Choice:
    """Which elements to cancel.

    Args:
        meant: the jobs of the cells that are cancelled, by the first 16 digits of their identity.
        needed: jobs that others need, with a word for these.
    """
    cancelled: list[Live] = []
    kept: list[tuple[Live, str]] = []
    for live in elements:
        if not meant.intersection(live.jobs):
            continue
        others = {needed[job] for job in live.jobs if job in needed}
        if others:
            kept.append((live, ", ".join(sorted(others))))
        else:
            cancelled.append(live)
    return Choice(cancelled, kept)
