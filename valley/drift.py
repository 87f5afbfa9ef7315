"""Drift: what differs between the making of a result and what today's code would make of its lock."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from valley.checkout import circumstances
from valley.cluster.snapshot import code_hash
from valley.job import Job, Trail
from valley.lock import Locked

LONGEST_VALUE = 60
MISSING = "nothing"


def drift(locked: Locked, planned: Trail) -> list[str]:
    """What differs, one sentence each: what the job is, then the environment that it would run in.

    Args:
        planned: the trail that today's code makes of the lock.
    """
    # <store>/<kind>/<hh>/<label>-<hash16>/result.json
    store = locked.path.parents[3] if len(locked.path.parents) > 3 else locked.path.parent
    return [*_identity_drift(locked.result, planned, store), *_environment_drift(locked.result)]


def _identity_drift(result: dict[str, Any], planned: Trail, store: Path) -> list[str]:
    job = counterpart(result, planned.jobs)
    if job is None:
        return [f"today's plan of it has no {result['kind']} job"]
    if job.identity == result["identity"]:
        return []
    said = list(dict.fromkeys(_job_drift(result, job, store, "")))
    if not said:
        said = ["identities are computed otherwise today: the format of the store has changed"]
    return said


def counterpart(result: Mapping[str, Any], jobs: Iterable[Job]) -> Job | None:
    """The planned job that a result is the result of, or the one that has taken its place."""
    config = result.get("config", {})

    def likeness(job: Job) -> tuple[bool, ...]:
        return (
            job.identity == result["identity"],
            job.label == result["label"],
            job.config.keys() == config.keys(),
            job.config.get("select") == config.get("select"),
        )

    same = [job for job in jobs if job.kind == result["kind"]]
    return max(same, key=likeness, default=None)


def _job_drift(then: Mapping[str, Any], job: Job, store: Path, whose: str) -> Iterator[str]:
    """What differs in a job and in what it is made from."""
    before, after = dict(_flat(then.get("config", {}))), dict(_flat(job.config))
    for name in sorted({*before, *after}):
        if before.get(name, MISSING) != after.get(name, MISSING):
            old, new = (_short(values.get(name, MISSING)) for values in (before, after))
            yield f"{whose or job.kind + ' '}{name}: {old} then, {new} today"
    places: Mapping[str, str] = then.get("inputs", {})
    for role in sorted({*places, *job.inputs}):
        parent, place = job.inputs.get(role), places.get(role)
        if parent is None or place is None:
            yield f"{whose}{role}: {'no' if place is None else 'an'} input then, not so today"
        elif parent.identity[:16] != place[-16:]:
            recorded = _recorded(store, place)
            if recorded is None:
                yield (
                    f"{role} ({parent.kind} {parent.label}): another than then; the store of the "
                    "result is not here to say what of it differs"
                )
            else:
                yield from _job_drift(recorded, parent, store, f"{parent.kind} {parent.label}: ")


def _recorded(store: Path, place: str) -> dict[str, Any] | None:
    """What a job's folder says of it."""
    try:
        value = json.loads((store / place / "job.json").read_text(encoding="utf-8"))
        inputs = {role: said["folder"] for role, said in value["inputs"].items()}
        return {"config": value["config"], "inputs": inputs}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The settings inside a value, by dotted name."""
    if isinstance(value, Mapping) and value:
        for key, inside in value.items():
            yield from _flat(inside, f"{name}.{key}" if name else str(key))
    else:
        # As JSON has it: a tuple is a list.
        yield name, json.loads(json.dumps(value))


def _short(value: Any) -> str:
    text = value if value is MISSING else json.dumps(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _environment_drift(result: Mapping[str, Any]) -> Iterator[str]:
    then: Mapping[str, Any] = result["provenance"]
    kind = result["kind"]
    if then.get("snapshot") != (code := code_hash()):
        yield f"code: snapshot {then.get('snapshot')} then, {code} today"
    launched = then.get("launched", {})
    commits = [_commit(git) for git in (launched.get("git"), circumstances()["git"])]
    if commits[0] != commits[1]:
        yield f"commit: {commits[0]} then, {commits[1]} today"
    resources = result["lock"]["resources"][kind]
    if resources["python"]:
        yield f"python and packages: those of {resources['python']}, which are not looked at"
    else:
        yield from _package_drift(then)
    device = then.get("device", "cpu")
    if kind not in ("train", "generate"):
        return  # they compute on no device but the CPU
    if (device == "cpu") != (resources["gpus_per_node"] == 0):
        asked = f"{resources['gpus_per_node']} GPU per node" if device == "cpu" else "no GPU"
        yield f"device: {device} then, and the lock asks for {asked}"
    elif device != "cpu":
        yield f"device: {device} then; today's is known when it runs"


def _package_drift(then: Mapping[str, Any]) -> Iterator[str]:
    if then.get("python") != (python := sys.version.split()[0]):
        yield f"python: {then.get('python')} then, {python} today"
    for package, old in sorted(then.get("versions", {}).items()):
        try:
            new = version(package)
        except PackageNotFoundError:
            new = "not installed"
        # valley itself is known by its snapshot.
        if package != "valley" and new != old:
            yield f"{package}: {old} then, {new} today"


def _commit(git: Mapping[str, Any] | None) -> str:
    if not git:
        return "none known"
    return f"{git['commit'][:12]}{' with changes' if git['dirty'] else ''}"
