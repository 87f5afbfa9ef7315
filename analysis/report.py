"""Write what a sweep found as a Markdown report: `python analysis/report.py`.

Every sentence is computed by `sentences.py` from the results; nothing is written in advance.
"""

from __future__ import annotations

import argparse
from typing import Any

import sentences
from collect import STATUS, Collected, next_line, writable
from plot_valley import FIGURES, figure_options, plot
from sentences import Document

from valley.errors import exit_on_user_error
from valley.records import write_text


def markdown(collected: Collected, document: Document) -> str:
    """The report's text; figures are linked by their names, beside it."""
    valley = document["valley"]
    blocks = [
        f"# Sweep {document['sweep']}",
        valley["sentence"],
        *(f"![{name}]({name}.png)" for name in FIGURES),
        "## Findings",
        "\n".join(f"- {line}" for line in _findings(document)) or "None yet.",
        "## Where the curve turns",
        _landmarks([document, *document["profiles"].values()]),
        "## Cells",
        "Scores are pass@1 of one checkpoint, without interval.",
        _cells(collected),
        "## Missing",
        _missing(document),
        "## Provenance",
        _provenance(document["provenance"]),
    ]
    return "\n\n".join(blocks) + "\n"


def _findings(document: Document) -> list[str]:
    """What there is to say beside the verdict."""
    return [line for line in document["sentences"] if line != document["valley"]["sentence"]]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |" for line in lines)


def _score(estimate: Document | None) -> str:
    if estimate is None:
        return "–"
    low, high = estimate["interval"]
    return f"{estimate['value']:.3f} ({low:.3f} to {high:.3f})"


def _landmarks(series: list[Document]) -> str:
    head = ["Profile", "Verdict", "Baseline", "Lowest size", "Its score", "Depth", "Recovery size"]
    rows = []
    for one in series:
        trough, recovery = one["trough"], one["recovery_size"]
        rows.append(
            [
                one["profile"],
                one["valley"]["verdict"],
                _score(one["baseline"]),
                "–" if trough is None else sentences.size(trough["size"]),
                _score(trough),
                _score(one["depth"]),
                "–" if recovery is None else sentences.recovery(one),
            ]
        )
    return _table(head, rows)


def _cells(collected: Collected) -> str:
    metrics = ["steps", "pass@1", "completion_rate", "think_closed_rate", "train_wall_s"]
    there = [name for name in metrics if name in collected.table]
    columns = [*collected.axes, "profile", "state", *there]
    rows = [[_spelled(row[name]) for name in columns] for row in collected.table.to_dict("records")]
    return _table(columns, rows)


def _spelled(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value)


def _missing(document: Document) -> str:
    rows = [[row["cell"], row["profile"], row["reason"]] for row in document["missing"]]
    blocks = [_table(["Cell", "Profile", "Reason"], rows) if rows else "Nothing is missing."]
    if document["damaged"]:
        blocks.append("\n".join(f"- left out: {sentence}" for sentence in document["damaged"]))
    return "\n\n".join(blocks)


def _provenance(provenance: Document) -> str:
    lines = [
        f"- Problem set: {provenance['problem_set'] or 'none graded yet'}",
        *(
            f"- {kind}: " + ", ".join(f"{name} {' / '.join(v)}" for name, v in facts.items())
            for kind, facts in provenance["made_with"].items()
        ),
    ]
    lines += [f"- **Not made alike**: {mixed}" for mixed in provenance["mixed"]]
    return "\n".join(lines)


def main() -> int:
    """Write `report.md` with its figures and `valley.json`, and name it."""
    parser = argparse.ArgumentParser(
        prog="python analysis/report.py", description="Write a sweep's findings so far as Markdown."
    )
    figure_options(parser)
    options = parser.parse_args()
    collected, document, paths = plot(options)
    path = paths[-1].with_name("report.md")
    with writable(path.parent):
        write_text(path, markdown(collected, document))
    print(path)
    if collected.missing:
        print(next_line(STATUS, options))
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
