"""What all scores of a sweep stand on: its plan, its code, its token caps."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from collect import Collected
from sentences import Document

from valley.ledger import Ledger


def settings_of(sweep_folder: Path) -> dict[str, Any]:
    """The sweep's settings as they were launched; empty where it has no `sweep.yaml`."""
    path = sweep_folder / "sweep.yaml"
    if not path.is_file():
        return {}
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def footing(collected: Collected) -> Document:
    """The plan's hash, the code's snapshots and git commits, and each profile's longest answer in tokens.

    `plan` is the SHA-256 of every planned cell and profile with the folder of its grading, whose name
    carries the hash of all that it rests on: equal plans have equal hashes, whatever is done of them.
    """
    rows = Ledger(collected.folder).rows()
    lines = sorted(f"{r['cell']}\t{r['profile']}\t{r['jobs']['grade'][-16:]}\n" for r in rows)
    made = [one for by_kind in collected.provenance.values() for one in by_kind.values()]
    launches = [one.get("launched", {}).get("git") or {} for one in made]
    profiles = settings_of(collected.folder).get("generate", {}).get("profiles", {})
    return {
        "plan": hashlib.sha256("".join(lines).encode()).hexdigest(),
        "code": sorted({str(one["snapshot"]) for one in made if one.get("snapshot")}),
        "commits": sorted(
            {
                f"{git['commit']}{' with uncommitted changes' if git.get('dirty') else ''}"
                for git in launches
                if git.get("commit")
            }
        ),
        "max_tokens": {name: one.get("max_tokens") for name, one in profiles.items()},
    }
