"""The picture of a sweep: of every cell and kind of job, what the plan expects against what is there.

It is computed from the manifest, which the launch wrote, and not from what Slurm happens to know:

1. each job that a cell rests on is looked up once, however many cells share it;
2. a row (a cell under one decoding profile) is as far as its first job that is not done, and a graded
   row is done, whatever has become of what it was made from;
3. the rows of a cell are one line of the matrix, with a tally per kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from valley.places import Ticket
from valley.plan import Known

KINDS = ("prepare", "train", "generate", "grade")
# The first of these that any job is in says how a group of jobs stands.
STATES = ("failed", "lost", "running", "pending", "new", "done")
DONE = Known("done")


@dataclass(frozen=True)
class Tracked:
    """A job and what is known of it."""

    ticket: Ticket
    known: Known


@dataclass(frozen=True)
class Row:
    """A cell under one decoding profile: the job that it stands at, and how all of its jobs stand."""

    cell: str
    profile: str
    axes: Mapping[str, Any]
    at: Tracked
    jobs: Mapping[str, Tracked]
    """By folder, parents before children."""
    sampling: Mapping[str, Any] | None = None
    """How far its profile is, where its samples are drawn in rounds."""

    @property
    def state(self) -> str:
        """The state of the first job that is not done, or `done`."""
        return self.at.known.state

    @property
    def tallies(self) -> dict[str, Counter[str]]:
        """How many of its jobs of each kind are in which state."""
        return tallies(self.jobs.values())


@dataclass(frozen=True)
class Line:
    """A cell with all its profiles: a tally of states per kind."""

    cell: str
    axes: Mapping[str, Any]
    state: str
    tallies: Mapping[str, Counter[str]]


@dataclass(frozen=True)
class Stuck:
    """Jobs that failed or were lost for one reason, and the cells that wait for them."""

    jobs: list[Tracked]
    cells: list[str]

    @property
    def known(self) -> Known:
        """What is known of the first of them."""
        return self.jobs[0].known


@dataclass
class Picture:
    """A sweep's rows, and each of its jobs once, by folder."""

    rows: list[Row] = field(default_factory=list)
    jobs: dict[str, Tracked] = field(default_factory=dict)

    @property
    def lines(self) -> list[Line]:
        """The matrix, a line per cell, in the manifest's order."""
        cells: dict[str, list[Row]] = {}
        # Graded rows first: what they take for done, another row of their cell may know better.
        for row in sorted(self.rows, key=lambda row: row.state != "done"):
            cells.setdefault(row.cell, []).append(row)
        order = dict.fromkeys(row.cell for row in self.rows)
        return [
            Line(
                cell,
                rows[0].axes,
                worst(row.state for row in rows),
                tallies({place: job for row in rows for place, job in row.jobs.items()}.values()),
            )
            for cell, rows in ((cell, cells[cell]) for cell in order)
        ]

    @property
    def totals(self) -> dict[str, Counter[str]]:
        """A tally per kind over distinct jobs."""
        return tallies(self.jobs.values())

    @property
    def is_live(self) -> bool:
        """Whether any job is running or queued."""
        return any(job.known.state in ("running", "pending") for job in self.jobs.values())

    @property
    def stuck(self) -> list[Stuck]:
        """What failed or was lost: alike failures together, those that hold up most cells first."""
        cells: dict[str, dict[str, None]] = {}
        for row in self.rows:
            for place, job in row.jobs.items():
                if job.known.state in ("failed", "lost"):
                    cells.setdefault(place, {})[row.cell] = None
        alike: dict[tuple[str, ...], list[str]] = {}
        for place in cells:
            known = self.jobs[place].known
            said = known.line or known.reason
            key = (self.jobs[place].ticket.kind, known.state, known.failure, said)
            alike.setdefault(key, []).append(place)
        found = [
            Stuck(
                [self.jobs[place] for place in places],
                list(dict.fromkeys(cell for place in places for cell in cells[place])),
            )
            for places in alike.values()
        ]
        return sorted(found, key=lambda stuck: -len(stuck.cells))


def worst(states: Iterable[str]) -> str:
    """How a group stands: the first of `STATES` that is among its states."""
    found = set(states)
    return next((state for state in STATES if state in found), "done")


def tallies(jobs: Iterable[Tracked]) -> dict[str, Counter[str]]:
    """How many jobs of each kind are in which state."""
    found: dict[str, Counter[str]] = {}
    for job in jobs:
        found.setdefault(job.ticket.kind, Counter())[job.known.state] += 1
    return found


def picture(
    lines: Iterable[Mapping[str, Any]],
    known: Callable[[Ticket], Known],
    matches: Callable[[Mapping[str, Any]], bool] = lambda axes: True,
) -> Picture:
    """The picture of a manifest's lines.

    Args:
        known: what is known of a job, as `state.knowledge` tells it.
        matches: of which cells, by their axes.
    """
    made = Picture()
    asked: dict[str, Tracked] = {}

    def look(place: str) -> Tracked:
        if place not in asked:
            ticket = Ticket.of(place)
            asked[place] = Tracked(ticket, known(ticket))
        return asked[place]

    for line in lines:
        if not matches(line["axes"]):
            continue
        own = [place for place in line["jobs"].values() if place is not None]
        last = own[-1]
        graded = look(last).known.state == "done"
        places = [*line["before"], *own]
        jobs = {p: Tracked(Ticket.of(p), DONE) if graded else look(p) for p in places}
        unfinished = (job for job in jobs.values() if job.known.state != "done")
        at = jobs[last] if graded else next(unfinished)
        made.rows.append(
            Row(line["cell"], line["profile"], line["axes"], at, jobs, line.get("sampling"))
        )
        made.jobs |= {place: job for place, job in jobs.items() if place not in made.jobs}
    # What another row had looked up is known better.
    made.jobs |= asked
    return made
