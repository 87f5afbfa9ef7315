"""Evidence: why a job failed, by what it wrote down itself, or by what Slurm and its log say of it."""

from __future__ import annotations

from typing import Any

from valley.cluster import slurm
from valley.failures import Failure, classify
from valley.logs import tail_of_last_job
from valley.places import Place


def reason_of(record: dict[str, Any]) -> str:
    """What a job's own record of its failure says in one line."""
    return str(record.get("error", ""))


def recorded(record: dict[str, Any], kind: str) -> tuple[str, Failure]:
    """The log and the class that a job's own record of its failure names."""
    log = str(record.get("log", ""))
    if "failure" not in record:  # of a version that named no class
        return log, classify(reason_of(record), job=kind)
    line, action = str(record.get("line", "")), str(record.get("action", ""))
    return log, Failure(record["failure"], line, action)


def classified(kind: str, place: Place, task: slurm.Task) -> Failure:
    """Why an element ended that could not say so itself."""
    reason = task.reason if task.reason not in ("", "None") else ""
    state = f"{task.state} ({reason})" if reason else task.state
    signal = reason if reason.startswith("RaisedSignal") else ""
    log = tail_of_last_job(place.log)
    return classify("", log, state, task.exit_code or signal, job=kind)
