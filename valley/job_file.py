"""A job as its own folder describes it, and what the job leaves there of its end.

job.json        what it is (`config`, which its identity hashes) and how to run it (`execution`)
result.json     written last: present and valid means done; nothing else means done
failed.json     the last failure: its class, the line that shows it, where the traceback stands
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valley.disk import sync_folder
from valley.errors import UserError
from valley.failures import classify
from valley.records import canonical_json, write_json
from valley.weights import forget_pruning

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
        # Not synced: losing it costs nothing, and it is written often. Nor may it end a job, whose own
        # files will tell what is wrong with the disk.
        path = self.folder / "progress.json"
        temporary = path.with_suffix(".tmp")
        with suppress(OSError):
            temporary.write_text(json.dumps({"schema": PROGRESS_SCHEMA, **progress}))
            temporary.replace(path)


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
    sync_folder(job.folder)  # or after a power cut it would be done, and its outputs empty
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
