"""What all scores of a sweep stand on: its plan, its code, its token caps."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from collect import Collected
from results import Key
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


def provenance(collected: Collected) -> Document:
    """What the scores rest on, and where the points of one plot were not made alike."""
    samples = Counter(int(c.samples.sum()) for c in collected.counts.values())
    first = next(iter(collected.counts.values()), None)
    found: Document = {}
    for by_kind in collected.provenance.values():
        for kind, name, value in _made_with(by_kind):
            found.setdefault(kind, {}).setdefault(name, set()).add(value)
    mixed = [
        f"{kind}: {len(values)} different {name} ({', '.join(sorted(values))})"
        for kind, facts in sorted(found.items())
        for name, values in facts.items()
        if len(values) > 1
    ]
    digests = collected.table.get("problem_set", pd.Series(dtype=str)).dropna()
    return {
        "problem_set": digests.iloc[0] if len(digests) else None,
        "problems": None if first is None else len(first.samples),
        "samples_per_cell": sorted(samples),
        "infrastructure_errors": _errors(collected.table),
        "made_with": {
            kind: {name: sorted(values) for name, values in facts.items()}
            for kind, facts in sorted(found.items())
        },
        "mixed": mixed,
    }


def _made_with(by_kind: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """What made a score: kind of job, name and value. A job names only the packages that it imported."""
    for kind, made in by_kind.items():
        facts = {name: made.get(name) for name in ("snapshot", "device")}
        if "backend" in made:
            facts["backend"] = made["backend"]
        for name, value in facts.items():
            yield kind, name, str(value)
        for name, value in made.get("versions", {}).items():
            # Shards that were not made alike tell several, as `a/b`.
            for part in str(value).split("/"):
                yield kind, name, part


def made_otherwise(collected: Collected) -> dict[Key, list[str]]:
    """Of each cell and profile whose score was not made as most were: with what it was.

    Most are more than half; where nothing made so many, no score was made otherwise.
    """
    facts = {key: list(_made_with(by_kind)) for key, by_kind in collected.provenance.items()}
    seen: dict[tuple[str, str], Counter[str]] = {}
    for own in facts.values():
        for kind, name, value in own:
            seen.setdefault((kind, name), Counter())[value] += 1
    usual = {
        which: value
        for which, values in seen.items()
        for value, number in values.items()
        if 2 * number > values.total()
    }
    other = {
        key: [
            f"{kind}: {name} {value}"
            for kind, name, value in own
            if value != usual.get((kind, name), value)
        ]
        for key, own in facts.items()
    }
    return {key: found for key, found in other.items() if found}


def footer(collected: Collected, profiles: list[str]) -> Document:
    """What the small print of a figure that draws these profiles says, without a verdict."""
    return {
        "profile": profiles[0],
        "profiles": profiles[1:],
        "footing": footing(collected),
        "sweep": collected.sweep,
        "planned": len(collected.table),
        "missing": collected.missing,
        "damaged": collected.damaged,
        "provenance": provenance(collected),
    }


def _errors(table: pd.DataFrame) -> int:
    """Answers that could not be graded: they stay in the denominator, as not passed."""
    found = table.get("infrastructure_errors", pd.Series(dtype=float))
    return int(found.fillna(0).sum())
