"""The store: one folder per job, named by the hash of what the job computes.

    <root>/store/<kind>/<hh>/<label>-<hash16>/   job.json, outputs, result.json (written last)

`result.json` present and valid means done; nothing else means done. A damaged one is set aside under
another name and the job is computed again. The root may be a network file system: names are written
in the folder they end in, and no decision rests on modification times.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from valley.errors import UserError
from valley.failures import classify
from valley.records import canonical_json, write_json, write_text
from valley.weights import forget_pruning, mark_removed_by_hand

JOB_SCHEMA = "valley.job/1"
PROGRESS_SCHEMA = "valley.progress/1"
RESULT_SCHEMA = "valley.result/1"
FAILURE_SCHEMA = "valley.failure/1"
KINDS = ("prepare", "train", "generate", "grade")
NOTES = ("lock", "launched", "estimated_s")
"""What a job's file may say beside what the job is: see `valley.lock`."""


def identity_of(kind: str, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The identity of a job: what it computes and from what, and nothing of how or where."""
    return identity_of_text(kind, canonical_json(config), canonical_json(inputs)[1:-1])


def identity_of_text(kind: str, config: str, inputs: str) -> str:
    """`identity_of` what is canonical JSON already: a plan makes hundreds of thousands.

    Args:
        inputs: the identities by role, without the braces around them.
    """
    text = f'{{"config":{config},"inputs":{{{inputs}}},"kind":"{kind}","schema":"{JOB_SCHEMA}"}}'
    return hashlib.sha256(text.encode()).hexdigest()


class Described(Protocol):
    """A job as the plan knows it."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def config(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def inputs(self) -> Mapping[str, Described]: ...  # noqa: D102


@dataclass(frozen=True)
class JobFile:
    """A job as its folder describes it; what `jobs/<kind>.py` is given.

    `config` is what the identity hashes; `execution` is how to run it, which no result depends on.
    """

    identity: str
    kind: str
    label: str
    config: dict[str, Any]
    execution: dict[str, Any]
    inputs: dict[str, Path]
    folder: Path
    notes: dict[str, Any] = field(default_factory=dict)
    """What its launch noted of it, for its result: `NOTES`."""

    def report(self, **progress: Any) -> None:
        """Leave word of how far the job is, for the launcher's display and `status.py`."""
        # Not synced: losing it costs nothing, and it is written often.
        path = self.folder / "progress.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"schema": PROGRESS_SCHEMA, **progress}))
        temporary.replace(path)


@dataclass
class Store:
    """The content-addressed results below one root folder."""

    root: Path
    read_only: bool = False
    """Whether a damaged file is only named, and left where it is: for those who look and do not launch."""
    damaged: list[str] = field(default_factory=list)
    """What was found damaged and set aside, one sentence each."""
    notes: Callable[[Any], Mapping[str, Any]] = lambda job: {}
    """What a launch notes of each job that it lays: `NOTES`."""
    _folders: dict[str, dict[str, Path]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The folder that jobs' relative paths start from."""
        return self.root / "store"

    def folder(self, kind: str, label: str, identity: str) -> Path:
        """The folder of a job: the existing one, whatever label it was made with, else the new one."""
        found = self._listing(kind).get(identity[:16])
        return found or self.path / kind / identity[:2] / f"{label}-{identity[:16]}"

    def place(self, kind: str, label: str, identity: str) -> str:
        """The same relative to `path`, as manifests and job files name it."""
        found = self._listing(kind).get(identity[:16])
        name = found.name if found else f"{label}-{identity[:16]}"
        return f"{kind}/{identity[:2]}/{name}"

    def _listing(self, kind: str) -> dict[str, Path]:
        # Each folder of a kind is listed once, instead of being probed once per job.
        if kind not in self._folders:
            listing = {}
            base = self.path / kind
            if base.is_dir():
                for bucket in os.scandir(base):
                    if not bucket.is_dir():
                        continue
                    for entry in os.scandir(bucket.path):
                        listing[entry.name.rpartition("-")[2]] = Path(entry.path)
            self._folders[kind] = listing
        return self._folders[kind]

    def folders(self, kind: str) -> Mapping[str, Path]:
        """Every folder of a kind, by the first 16 digits of its job's identity."""
        return self._listing(kind)

    def has(self, kind: str, identity: str) -> bool:
        """Whether the job has a folder, so that something may be known of it."""
        return identity[:16] in self._listing(kind)

    def refresh(self) -> None:
        """Forget the listings, since other processes have been writing."""
        self._folders.clear()

    def result(self, kind: str, identity: str) -> dict[str, Any] | None:
        """The result of a job, or None where there is no valid one.

        The identity may be its first 16 digits, which are what a folder's name carries.

        A result that is not JSON, of another schema or of another identity is set aside and named
        in `damaged`.
        """
        folder = self._listing(kind).get(identity[:16])
        if folder is None:
            return None
        path = folder / "result.json"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            value = json.loads(content)  # bytes that are not UTF-8 are a ValueError too
            if value["schema"] != RESULT_SCHEMA or value["kind"] != kind:
                raise ValueError(f"schema {value['schema']!r}, kind {value['kind']!r}")
            if not value["identity"].startswith(identity):
                raise ValueError(f"identity {value['identity'][:16]}…")
            value["outcome"], value["cost"], value["provenance"]
        except (ValueError, KeyError, TypeError) as error:
            fault = f"{path}: damaged ({type(error).__name__}: {error})"
            done = "not counted" if self.read_only else f"set aside as {set_aside(path).name}"
            self.damaged.append(f"{fault}; {done}")
            return None
        return value

    def failure(self, kind: str, identity: str) -> dict[str, Any] | None:
        """The record of the job's last failure, or None."""
        return self._note(kind, identity, "failed.json")

    def running(self, kind: str, identity: str) -> dict[str, Any] | None:
        """Who said last that it runs the job: host, process id, start time, and the log; or None."""
        return self._note(kind, identity, "running.json")

    def stopped(self, kind: str, identity: str) -> dict[str, Any] | None:
        """Where a job was stopped at its time limit, to go on from there when it is run again; or None."""
        return self._note(kind, identity, "stopped.json")

    def progress(self, kind: str, identity: str) -> dict[str, Any] | None:
        """How far the job said that it is, or None."""
        return self._note(kind, identity, "progress.json")

    def _note(self, kind: str, identity: str, name: str) -> dict[str, Any] | None:
        folder = self._listing(kind).get(identity[:16])
        if folder is None:
            return None
        try:
            value = json.loads((folder / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def lay(self, job: Described, execution: Mapping[str, Any]) -> Path:
        """Make the folder of a job that is about to be submitted, and write its `job.json`.

        Traces of an earlier attempt that failed are removed; outputs are left, since a job may
        resume from them, and so is a result whose weights are to be rebuilt.
        """
        folder = self.folder(job.kind, job.label, job.identity)
        if self.has(job.kind, job.identity):
            if done := self.result(job.kind, job.identity):
                mark_removed_by_hand(folder, done)
            for name in ("failed.json", "running.json", "progress.json", "stopped.json"):
                (folder / name).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        value = {
            "schema": JOB_SCHEMA,
            "identity": job.identity,
            "kind": job.kind,
            "label": job.label,
            "config": job.config,
            "execution": execution,
            "inputs": {
                role: {"identity": j.identity, "folder": self.place(j.kind, j.label, j.identity)}
                for role, j in job.inputs.items()
            },
        } | dict(self.notes(job))
        # A line per key. Not synced, since a launch writes thousands: what a power cut takes of them
        # the job refuses to run from, and the next launch writes again.
        lines = (f" {json.dumps(key)}: {json.dumps(value[key])}" for key in sorted(value))
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        write_text(folder / "job.json", text, sync=False)
        self._listing(job.kind)[job.identity[:16]] = folder
        return folder


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that nothing of it is lost; its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.replace(aside)
    return aside


def read_job(path: Path) -> JobFile:
    """Read a `job.json`, or the one in a job's folder.

    Raises:
        UserError: the file is missing, damaged, or not a job's.
    """
    path = path / "job.json" if path.is_dir() else path
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); expected a job.json"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path}: not JSON ({error}); launch the sweep again to rewrite it"
        ) from error
    if not isinstance(value, dict) or value.get("schema") != JOB_SCHEMA:
        raise UserError(f"{path}: not a {JOB_SCHEMA} file; expected a job.json of the store")
    try:
        inputs = {role: place["identity"] for role, place in value["inputs"].items()}
        sound = identity_of(value["kind"], value["config"], inputs) == value["identity"]
        value["label"], value["execution"]
    except (KeyError, TypeError, AttributeError, ValueError):
        sound = False
    if not sound:
        raise UserError(
            f"{path}: its content does not have the identity that it states, so it was edited or "
            "damaged; launch the sweep again to rewrite it, or change the grid instead"
        )
    store = path.resolve().parents[3]
    return JobFile(
        identity=value["identity"],
        kind=value["kind"],
        label=value["label"],
        config=value["config"],
        execution=value["execution"],
        inputs={role: store / place["folder"] for role, place in value["inputs"].items()},
        folder=path.resolve().parent,
        notes={name: value[name] for name in NOTES if name in value},
    )


def write_result(job: JobFile, outcome: Any, cost: Any, provenance: Any) -> None:
    """Declare a job done. The last thing that a job does.

    The result says of itself what the job was: its settings, its inputs' folders relative to the store,
    and what its launch noted.

    Raises:
        OSError: the disk cannot take the file; nothing is declared done.
    """
    store = job.folder.parents[2]
    notes = {"lock": job.notes["lock"]} if "lock" in job.notes else {}
    if "estimated_s" in job.notes:
        cost = {**cost, "estimated_s": job.notes["estimated_s"]}
    if "launched" in job.notes:
        provenance = {**provenance, "launched": job.notes["launched"]}
    result = {
        "schema": RESULT_SCHEMA,
        "kind": job.kind,
        "identity": job.identity,
        "label": job.label,
        "config": job.config,
        "inputs": {role: str(at.relative_to(store)) for role, at in job.inputs.items()},
        "outcome": outcome,
        "cost": cost,
        "provenance": provenance,
    }
    canonical_json(result)  # refuses NaN and foreign types before anything is written
    write_json(job.folder / "result.json", result, notes)
    forget_pruning(job.folder)
    for name in ("running.json", "progress.json", "failed.json"):
        (job.folder / name).unlink(missing_ok=True)


def write_failure(job: JobFile, error: str, log: str, shown: str = "") -> None:
    """Record that a job failed: the error's last line, its class, and where its traceback stands.

    Args:
        shown: what shows the class: the traceback, or the end of the log of a job that was killed.
    """
    try:
        began = json.loads((job.folder / "running.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        began = {}
    failure = classify(shown or error, job=job.kind)
    write_json(
        job.folder / "failed.json",
        {
            "schema": FAILURE_SCHEMA,
            "identity": job.identity,
            "error": error,
            "log": log,
            "failure": failure.kind,
            "line": failure.line,
            "action": failure.action,
            "host": began.get("host"),
            "began": began.get("began"),
            "ended": round(time.time(), 3),
        },
    )
    (job.folder / "running.json").unlink(missing_ok=True)
