"""A sweep on disk as jobs would have left it: finished, running, failed, or never begun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from valley.job_file import RESULT_SCHEMA, JobFile, write_failure
from valley.ledger import Ledger
from valley.processes import this_process
from valley.records import digest, write_json


class StatusWorld:
    """Writes a manifest line by line, and what the jobs of each line left."""

    def __init__(self, root: Path, name: str = "s") -> None:
        self.root = root
        self.ledger = Ledger(root / "sweeps" / name)
        self.ledger.folder.mkdir(parents=True)
        self.lines: list[dict[str, Any]] = []

    def cell(self, size: int, *, profile: str = "p", steps: int = 10, **axes: Any) -> None:
        """Add a cell under one profile. Its jobs share the sweep's pool."""
        axes = {"student": "tiny", "stage": 1, "size": size, "difficulty": "all", **axes}
        label = f"tiny-n{size}" + "".join(
            f"-{name}{value}" for name, value in axes.items() if name in ("seed", "stage")
        )
        jobs = {"train": self.place("train", label)}
        jobs |= {kind: self.place(kind, f"{label}-{profile}") for kind in ("generate", "grade")}
        self.lines.append(
            {
                "schema": "valley.cell/1",
                "cell": label,
                "profile": profile,
                "axes": axes,
                "steps": steps,
                "before": [self.place("prepare", "pool")],
                "jobs": jobs,
            }
        )

    def write(self) -> None:
        """Write the manifest."""
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        self.ledger.manifest.write_text(text)

    def place(self, kind: str, label: str) -> str:
        identity = digest([kind, label])
        return f"{kind}/{identity[:2]}/{label}-{identity[:16]}"

    def folder(self, kind: str, label: str) -> Path:
        folder = self.root / "store" / self.place(kind, label)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def done(self, kind: str, label: str, wall_s: float = 2.0, outcome: Any = None) -> None:
        value = {
            "schema": RESULT_SCHEMA,
            "kind": kind,
            "identity": digest([kind, label]),
            "label": label,
            "outcome": outcome or {},
            "cost": {"wall_s": wall_s},
            "provenance": {},
        }
        write_json(self.folder(kind, label) / "result.json", value)

    def running(self, kind: str, label: str, began: float = 0.0, log: str = "") -> None:
        """As if the calling process ran it."""
        note = {**this_process(), "began": began, "log": log}
        write_json(self.folder(kind, label) / "running.json", note)

    def failed(self, kind: str, label: str, error: str, log: str = "") -> None:
        folder = self.folder(kind, label)
        job = JobFile(digest([kind, label]), kind, label, {}, {}, {}, folder)
        write_failure(job, error, log)
