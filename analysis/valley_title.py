"""The words over the valley, from the document of `summary.py` alone."""

from __future__ import annotations

import sentences
from drawing import tick
from sentences import Document
from size_unit import counted

from valley.statistics.curve import NEGLIGIBLE


def finding(document: Document) -> str:
    """The finding under the headline, and the test that it rests on."""
    lines = [_found(document)]
    valley, truncation = document["valley"], document["truncation"]
    tests = [
        f"{part} {sentences.p_value(valley[part]['p'])}"
        for part in ("fall", "rise")
        if valley.get(part)
    ]
    if tests:
        lines.append(f"valley test: {', '.join(tests)}, corrected")
    if tests and truncation and valley["significant"]:
        lines[-1] += f"; truncation: {truncation['survival']}"
    return "\n".join(lines)


def _found(document: Document) -> str:
    found = document["valley"]
    if found["verdict"] == "VALLEY":
        again = (
            "recovered above it"
            if found["recovered_above_baseline"]
            else "not shown above it again"
        )
        where = counted(document["trough"]["size"])
        return f"{sentences.interval(document['depth'])} below the baseline at {where}, {again}"
    if found["verdict"] == "NO VALLEY":
        fell = "the score falls, but " if found["fell"] else ""
        return f"{fell}a valley of {sentences.points(NEGLIGIBLE)} points or more is excluded"
    return {
        "baseline": "the baseline has no score yet",
        "sizes": "only the baseline has a score yet",
        "second size": "one size alone cannot show a fall and a rise",
        "fall": "no size is shown below the baseline, nor is a valley excluded",
        "rise": "the score falls, and no rise after it is shown",
    }[found["lacking"]]


def seeds_by_size(curve: list[Document]) -> str:
    """Runs of sizes with equal numbers of seeds, such as `3 at 32–512, 1 at 1024–4096`."""
    runs: list[list[int]] = []
    for point in curve:
        number = len(point["seeds"])
        if runs and runs[-1][0] == number:
            runs[-1][2] = point["size"]
        else:
            runs.append([number, point["size"], point["size"]])
    return ", ".join(
        f"{number} at {tick(first)}" + (f"–{tick(last)}" if last != first else "")
        for number, first, last in runs
    )
