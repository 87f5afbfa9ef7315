"""Links from a report to what a cell left in the store: its logs, its answers, its data cards.

Only what is there is linked, relative to the report's folder, so that both may be moved together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

OUTPUTS = {
    "prepare": (("data card", "card.md"),),
    "train": (("training log", "log.jsonl"), ("traces drawn", "subset.json")),
    "generate": (("answers", "samples.jsonl"),),
    "grade": (("verdicts", "verdicts.jsonl"),),
}
"""By kind of job what is linked from its folder, and under which name."""

Link = tuple[str, str]
"""A text and an address."""


class EvidenceLinks:
    """The links of a sweep's cells. Each job's folder is looked at once, since cells share jobs."""

    def __init__(self, store: Path, report_folder: Path) -> None:
        self._store = store
        self._from = report_folder
        self._of_job: dict[str, list[Link]] = {}
        self._logs: dict[str, Path] = {}

    def of(self, line: Mapping[str, Any]) -> list[Link]:
        """The links of a manifest's line, in the order in which its jobs ran."""
        found: list[Link] = []
        for place in (*line["before"], *line["jobs"].values()):
            if place is None:
                continue
            if place not in self._of_job:
                self._of_job[place] = self._look(place)
            # Of what only prepares a cell the card is of interest, not how it was made.
            own = place in line["jobs"].values()
            found += [link for link in self._of_job[place] if own or link[0] == "data card"]
        return found

    def _look(self, place: str) -> list[Link]:
        kind, folder = place.partition("/")[0], self._store / place
        links = [
            (text, self._address(folder / name))
            for text, name in OUTPUTS.get(kind, ())
            if (folder / name).is_file()
        ]
        if (log := self._log(folder)) is not None:
            links.append((f"{kind} job's log", self._address(log)))
        return links

    def _log(self, folder: Path) -> Path | None:
        """The log that a failed job names, else the one of the submission that it was last part of."""
        failed = _record(folder / "failed.json").get("log")
        if failed and Path(failed).is_file():
            return Path(failed)
        submission = _record(folder / "job.json").get("execution", {}).get("submission")
        if not submission:
            return None
        if submission not in self._logs:
            self._logs[submission] = _log_of(Path(submission))
        log = self._logs[submission]
        return log if log.exists() else None

    def _address(self, path: Path) -> str:
        return quote(os.path.relpath(path.absolute(), self._from.absolute()))


def _log_of(submission: Path) -> Path:
    """A submission's log; its folder where several elements left one each."""
    logs = sorted(submission.glob("*_log.out"))
    return logs[0] if len(logs) == 1 else submission


def _record(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
