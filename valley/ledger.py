"""The ledger: a sweep's own folder, with its manifest and its journal of submissions.

    <root>/sweeps/<name>/   sweep.yaml, manifest.jsonl, journal.jsonl, snapshot/,
                            slurm/ or local/, results.csv, figures/

The journal records the intent of a submission before it is made and its id after it, one line each,
appended and synced, so that a launcher that is killed leaves word of what it was about to do. Its events:

    launch      when, and from which grid
    intent      what is about to be submitted: its folder, and the jobs of each element
    submitted   the id that it got
    void        it never reached Slurm, as sbatch or a later launcher's look at the queue told
    held        jobs that Slurm had no room for: the next launch submits them
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.disk import set_aside
from valley.errors import UserError
from valley.job import Job, Row
from valley.records import read_objects, write_text
from valley.store import Store

CELL_SCHEMA = "valley.cell/1"
EVENT_SCHEMA = "valley.event/1"
ESTIMATES_SCHEMA = "valley.estimates/1"
SCRIPT = "submission.sh"


@dataclass(frozen=True)
class Submission:
    """One array or process that was submitted: which jobs lie in which element."""

    intent: str
    cluster: str
    """`slurm`, `local`, or `held` where Slurm had no room for the jobs."""
    folder: Path
    elements: list[list[str]]
    """Job identities by element."""
    job_id: str | None
    """The scheduler's id; None where the launcher died before it could be written down."""
    at: float = 0.0
    """When it was intended, in seconds since the epoch."""
    process: dict[str, Any] | None = None
    """The process that a local submission started, as `processes.this_process` names it."""
    indices: list[int] | None = None
    """The elements' indices in the array; None where they count from 0."""
    printed: bool = False
    """Whether it was only printed, for a person to submit or not."""
    reason: str = ""
    """Why the jobs are held."""
    cancelled: frozenset[int] = frozenset()
    """The indices of elements that `cancel.py` had Slurm cancel. One that waited, Slurm forgets at once."""
    sweep: Path = Path()
    """The folder of the sweep whose journal tells of it."""

    @property
    def is_open(self) -> bool:
        """Whether it may or may not have reached Slurm, as far as the journal tells."""
        return self.cluster == "slurm" and self.job_id is None

    @property
    def script(self) -> Path:
        """What sbatch is given."""
        return self.folder / SCRIPT

    def index(self, position: int) -> int:
        """The index in the array of the element at a position."""
        return position if self.indices is None else self.indices[position]


@dataclass(frozen=True)
class Ledger:
    """One sweep's folder."""

    folder: Path

    @property
    def manifest(self) -> Path:
        """The file of cells and the folders of their jobs."""
        return self.folder / "manifest.jsonl"

    @property
    def journal(self) -> Path:
        """The file of submissions."""
        return self.folder / "journal.jsonl"

    def write_manifest(
        self, rows: list[Row], store: Store, sampling: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Write the trail from every cell to its jobs' folders.

        Args:
            sampling: of profiles that are drawn in rounds, how far they are.
        """

        def place(job: Job) -> str:
            return store.place(job.kind, job.label, job.identity)

        lines = []
        rest_on = _Before(place)
        for row in rows:
            value = {
                "schema": CELL_SCHEMA,
                "cell": row.cell.label,
                "profile": row.profile,
                "axes": row.cell.axes,
                "steps": row.train.steps if row.train else 0,
                "before": rest_on.places(row),
                "jobs": {
                    "train": place(row.train) if row.train else None,
                    "generate": place(row.generate),
                    "grade": place(row.grade),
                },
            }
            if sampling and row.profile in sampling:
                value["sampling"] = sampling[row.profile]
                value["earlier"] = [
                    {"generate": place(generate), "grade": place(grade)}
                    for generate, grade in row.earlier
                ]
            lines.append(json.dumps(value) + "\n")
        self.folder.mkdir(parents=True, exist_ok=True)
        text = "".join(lines)
        if self.manifest.is_file():
            if self.manifest.read_text(encoding="utf-8", errors="replace") == text:
                return
            try:
                self.rows()
            except UserError as error:
                aside = set_aside(self.manifest)
                store.damaged.append(f"{error}; set aside as {aside.name} and written again")
        write_text(self.manifest, text)

    def rows(self) -> list[dict[str, Any]]:
        """The manifest's lines.

        Raises:
            UserError: it is missing or damaged.
        """
        lines = read_objects(self.manifest)
        for number, line in enumerate(lines, start=1):
            if line.get("schema") != CELL_SCHEMA:
                raise UserError(
                    f"{self.manifest}, line {number}: not a {CELL_SCHEMA} record; launch the sweep "
                    "again to rewrite it"
                )
        return lines

    def write_sweep(self, document: dict[str, Any], origin: str) -> None:
        """Write the sweep as it was launched, every default filled in: a grid file of its own.

        Args:
            origin: the grid file and what the command line set, for the comment on top.
        """
        from valley.yaml_faults import write_yaml

        text = f"# Written at the launch of {origin}\n{write_yaml(document)}"
        path = self.folder / "sweep.yaml"
        if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
            write_text(path, text)

    def write_estimates(self, seconds: Mapping[str, float]) -> None:
        """Write down how long jobs are estimated to take, by identity, for `status.py`."""
        short = {identity[:16]: round(value, 3) for identity, value in seconds.items()}
        # Of jobs that this launch leaves alone an earlier one has told.
        before = self.estimates()
        short = before | short
        if short == before:
            return
        value = {"schema": ESTIMATES_SCHEMA, "seconds": short}
        write_text(self.folder / "estimates.json", json.dumps(value) + "\n")

    def estimates(self) -> dict[str, float]:
        """The launches' estimates in seconds, by the first 16 digits of a job's identity."""
        try:
            value = json.loads((self.folder / "estimates.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        known = isinstance(value, dict) and value.get("schema") == ESTIMATES_SCHEMA
        return dict(value["seconds"]) if known else {}

    def launched_at(self) -> float:
        """When the sweep was launched last, in seconds since the epoch; 0 where that is not known."""
        launches = [event["at"] for event in self.events() if event.get("event") == "launch"]
        return max(launches, default=0.0)

    def events(self) -> Iterator[dict[str, Any]]:
        """The journal's lines. One that a dying launcher left half-written is passed over."""
        if not self.journal.is_file():
            return
        for line in self.journal.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event

    def append(self, event: dict[str, Any]) -> None:
        """Add one line to the journal, and do not return before it is on the disk."""
        with self.journal.open("ab+") as file:
            # A launcher that died in the midst of a line left it open; close it before going on.
            torn = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
            line = json.dumps({"schema": EVENT_SCHEMA, **event})
            file.write((b"\n" if torn else b"") + line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def submissions(self) -> list[Submission]:
        """All submissions, oldest first, without those that are known never to have reached Slurm."""
        intents: dict[str, dict[str, Any]] = {}
        made: dict[str, dict[str, Any]] = {}
        cancelled: dict[str, set[int]] = {}
        for event in self.events():
            match event:
                case {"event": "intent", "intent": str(name), "cluster": str(), "folder": str()}:
                    # Told again where sbatch refused it for its size, with the elements left in it.
                    intents[name] = event
                case {"event": "held", "intent": str(name)}:
                    intents[name] = {**event, "cluster": "held", "folder": ""}
                case {"event": "submitted", "intent": str(name), "job_id": str()}:
                    made[name] = event
                case {"event": "cancelled", "intent": str(name), "elements": list(elements)}:
                    cancelled.setdefault(name, set()).update(elements)
                case {"event": "void", "intent": str(name)}:
                    intents.pop(name, None)
        return [
            Submission(
                intent=name,
                sweep=self.folder,
                cluster=event["cluster"],
                folder=self.folder / event["folder"],
                elements=event.get("elements", []),
                job_id=made.get(name, {}).get("job_id"),
                at=event.get("at", 0.0),
                process=made.get(name, {}).get("process"),
                indices=event.get("indices"),
                printed=event.get("printed", False),
                reason=event.get("reason", ""),
                cancelled=frozenset(cancelled.get(name, ())),
            )
            for name, event in intents.items()
        ]


class _Before:
    """What rows' own jobs rest on, parents before children: data, students, earlier stages."""

    def __init__(self, place: Callable[[Job], str]) -> None:
        self._place = place
        self._found: dict[tuple[int, ...], list[str]] = {}

    def places(self, row: Row) -> list[str]:
        """Their folders. Rows that rest on the same share the list."""
        own = [job for job in (row.train, row.generate, row.grade) if job is not None]
        outside = [p for job in own for p in job.parents if not any(p is job for job in own)]
        key = tuple(map(id, outside))
        if key not in self._found:
            found: dict[Job, None] = {}
            for job in outside:
                _visit(job, found)
            self._found[key] = [self._place(job) for job in found]
        return self._found[key]


def _visit(job: Job, found: dict[Job, None]) -> None:
    for parent in job.parents:
        _visit(parent, found)
    found.setdefault(job)


def all_submissions(root: Path) -> list[Submission]:
    """The submissions of every sweep below this root, oldest first: sweeps share jobs."""
    journals = sorted(root.glob("sweeps/*/journal.jsonl"))
    found = [s for path in journals for s in Ledger(path.parent).submissions()]
    return sorted(found, key=lambda submission: submission.at)


def find_sweep(root: Path, name: str | None) -> Ledger:
    """The ledger of a sweep by its name or its grid file; the one launched last where none is named.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    ledgers = {
        path.parent.name: Ledger(path.parent) for path in root.glob("sweeps/*/manifest.jsonl")
    }
    if name is None:
        if not ledgers:
            raise UserError(
                f"{root}: no sweep here yet; run `python sweeps/launch.py grid.yaml` first"
            )
        return max(ledgers.values(), key=lambda ledger: ledger.launched_at())
    if name.endswith((".yaml", ".yml")):
        from valley.sweep import find_grid, load_sweep

        name = load_sweep(find_grid(name))[0].name
    if name not in ledgers:
        raise UserError(
            f"no sweep {name!r} in {root} (there: {', '.join(sorted(ledgers)) or 'none'})"
        )
    return ledgers[name]
