"""The store: one folder per job, named by the hash of what the job computes.

    <root>/store/<kind>/<hh>/<label>-<hash16>/   job.json, outputs, result.json (written last)

`result.json` present and valid means done; nothing else means done. A damaged one is set aside under
another name and the job is computed again. The root may be a network file system: names are written
in the folder they end in, and no decision rests on modification times.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from valley.disk import set_aside
from valley.job_file import JOB_SCHEMA, RESULT_SCHEMA
from valley.records import parse_json, read_bytes, write_text
from valley.weights import mark_removed_by_hand


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
    spoiled: dict[str, str] = field(default_factory=dict)
    """Of jobs whose result was found damaged and that were not laid anew since, by the first 16 digits of
    their identities: what became of it."""
    _folders: dict[str, dict[str, str]] = field(default_factory=dict)
    """By kind, and by the first 16 digits of an identity. As text, since a path takes longer to make
    than a file to look for."""

    @property
    def path(self) -> Path:
        """The folder that jobs' relative paths start from."""
        return self.root / "store"

    def folder(self, kind: str, label: str, identity: str) -> Path:
        """The folder of a job: the existing one, whatever label it was made with, else the new one."""
        found = self._listing(kind).get(identity[:16])
        if found:
            return Path(found)
        return self.path / kind / identity[:2] / f"{label}-{identity[:16]}"

    def place(self, kind: str, label: str, identity: str) -> str:
        """The same relative to `path`, as manifests and job files name it."""
        found = self._listing(kind).get(identity[:16])
        name = os.path.basename(found) if found else f"{label}-{identity[:16]}"
        return f"{kind}/{identity[:2]}/{name}"

    def _listing(self, kind: str) -> dict[str, str]:
        # Each folder of a kind is listed once, instead of being probed once per job.
        if kind not in self._folders:
            listing = {}
            base = self.path / kind
            if base.is_dir():
                for bucket in os.scandir(base):
                    if not bucket.is_dir():
                        continue
                    for entry in os.scandir(bucket.path):
                        listing[entry.name.rpartition("-")[2]] = entry.path
            self._folders[kind] = listing
        return self._folders[kind]

    def folders(self, kind: str) -> dict[str, Path]:
        """Every folder of a kind, by the first 16 digits of its job's identity."""
        return {identity: Path(folder) for identity, folder in self._listing(kind).items()}

    def laid(self, kind: str) -> Container[str]:
        """Which jobs of a kind have a folder, by the first 16 digits of their identities."""
        return self._listing(kind).keys()

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
        path = f"{folder}/result.json"
        try:
            content = read_bytes(path)
        except FileNotFoundError:
            return None
        try:
            value = parse_json(content)  # bytes that are not UTF-8 are a ValueError too
            if value["schema"] != RESULT_SCHEMA or value["kind"] != kind:
                raise ValueError(f"schema {value['schema']!r}, kind {value['kind']!r}")
            if not value["identity"].startswith(identity):
                raise ValueError(f"identity {value['identity'][:16]}…")
            value["outcome"], value["cost"], value["provenance"]
        except (ValueError, KeyError, TypeError) as error:
            fault = f"{path}: damaged ({type(error).__name__}: {error})"
            done = "not counted" if self.read_only else f"set aside as {set_aside(Path(path)).name}"
            self.damaged.append(f"{fault}; {done}")
            self.spoiled[identity[:16]] = done
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
            with open(f"{folder}/{name}", encoding="utf-8") as file:
                value = json.load(file)
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
        self._listing(job.kind)[job.identity[:16]] = str(folder)
        self.spoiled.pop(job.identity[:16], None)
        return folder
