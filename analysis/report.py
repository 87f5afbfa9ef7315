"""Write what a sweep found as one HTML file: `python analysis/report.py`.

The file needs no network and no other file: figures, style and script stand in it. Every sentence is
computed by `sentences.py` from the results; nothing is written in advance. Beside it stand the
figures, `valley.json`, and the tables as LaTeX and Markdown.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
from collections.abc import Iterator
from inspect import isfunction
from pathlib import Path
from typing import Any

from collect import Collected, writable
from costs import costs, hours
from costs import sentence as cost_sentence
from evidence_links import EvidenceLinks
from plot_valley import FIGURES, figure_options, plot
from sentences import Document
from tables import latex, markdown, tables

from valley.command_line import STATUS, next_line
from valley.errors import exit_on_user_error
from valley.ledger import Ledger
from valley.records import write_text

TEMPLATES = Path(__file__).parent / "templates"
FORMATS = {".svg": "image/svg+xml", ".png": "image/png"}
"""Those that a page can hold, the preferred first."""
RATES = ("pass@1", "completion_rate", "think_closed_rate")
METRICS = ("steps", *RATES, "train_wall_s")
TRACES, ARTEFACTS, CURVE = "Kinds of traces", "A valley, or an artefact", "The curve"


def page(collected: Collected, document: Document, figures: list[Path], folder: Path) -> str:
    """The report as HTML.

    Args:
        figures: Files of figures; of each name the preferred format is shown.
        folder: Where the report will stand, for links to the store.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["hours"] = hours
    lines = [
        line
        for line in Ledger(collected.folder).rows()
        if (line["cell"], line["profile"]) in collected.cells
    ]
    jobs = [place for line in lines for place in (*line["before"], *line["jobs"].values()) if place]
    found = costs(collected.folder, jobs)
    style, script = (
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "report.js")
    )
    return environment.get_template("report.html").render(
        document=document,
        verdicts=[_verdict(one) for one in (document, *document["profiles"].values())],
        figures=list(_figures(document, figures)),
        findings=_findings(document),
        tables=tables(document),
        cells=_cells(collected, lines, folder),
        costs=found,
        cost_sentence=cost_sentence(found[-1]),
        steps=_next_steps(document),
        commits=document["footing"]["commits"],
        latest=_latest(collected),
        measured=len(collected.counts),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _hash(text: str) -> str:
    """What a page's security policy names a style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _verdict(series: Document) -> Document:
    """A verdict's word, and the rest of its sentence."""
    word, sentence = series["valley"]["verdict"], series["valley"]["sentence"]
    return {"word": word, "rest": sentence.removeprefix(word), "profile": series["profile"]}


def _next_steps(document: Document) -> list[str]:
    """What each profile's verdict asks for next."""
    return [
        f"{one['profile']}: {step.removeprefix('Next: ')}"
        for one in (document, *document["profiles"].values())
        if (step := one["valley"].get("next"))
    ]


def _findings(document: Document) -> list[tuple[str, list[str]]]:
    """Every sentence that stands neither at the top nor among what is next, by what it is about."""
    artefacts = document["profile_comparisons"] + document["twins"]
    curve = [part for name in ("shape", "truncation") if (part := document[name])]
    about = {e["sentence"]: TRACES for e in document["contrasts"] + document["interactions"]}
    about |= {e["sentence"]: ARTEFACTS for e in artefacts + curve[1:]}
    about |= {e["sentence"]: CURVE for e in curve[:1] + document["correlations"]}
    told = {series["valley"]["sentence"] for series in (document, *document["profiles"].values())}
    told.add(document["valley"].get("next", ""))
    groups: dict[str, list[str]] = {
        TRACES: [],
        ARTEFACTS: [],
        CURVE: [],
        "Seeds and conditions": [],
    }
    for sentence in document["sentences"]:
        if sentence not in told:
            groups[about.get(sentence, "Seeds and conditions")].append(sentence)
    return [(heading, said) for heading, said in groups.items() if said]


def _figures(document: Document, paths: list[Path]) -> Iterator[Document]:
    """Each figure as data, with what it shows in words for those who do not see it."""
    said = {
        "valley": [document["valley"]["sentence"]],
        "contrasts": [c["sentence"] for c in document["contrasts"]],
        "behaviour": [c["sentence"] for c in document["correlations"]],
        "cost": [twin["sentence"] for twin in document["twins"]],
        "behaviour_by_score": [c["sentence"] for c in document["correlations"]],
        "difficulty": [s for s in (document["by_level"]["sentence"],) if s],
        "continuous": [m["sentence"] for m in (document["continuous"] or {}).values()],
        "pass_at_k": [m["sentence"] for m in document["pass_at_k"].values()],
    }
    by_name: dict[str, dict[str, Path]] = {}
    for path in paths:
        if path.suffix in FORMATS:
            by_name.setdefault(path.stem, {})[path.suffix] = path
    for name, files in by_name.items():
        path = next(files[suffix] for suffix in FORMATS if suffix in files)
        figure = FIGURES.get(name)
        shows = (figure.__doc__ or "").partition("\n")[0] if isfunction(figure) else ""
        title = name.replace("_", " ").capitalize()
        data = base64.b64encode(path.read_bytes()).decode()
        yield {
            "title": title,
            "shows": shows,
            "alt": " ".join([shows or title, *said.get(name, [])]),
            "source": f"data:{FORMATS[path.suffix]};base64,{data}",
        }


def _cells(collected: Collected, lines: list[Document], folder: Path) -> Document:
    """The table of cells: what all share apart, then a row of texts and links for each."""
    columns = [*collected.axes, "profile", "state", *(m for m in METRICS if m in collected.table)]
    texts = {name: [_spelled(name, value) for value in collected.table[name]] for name in columns}
    shared = {
        name: texts[name][0]
        for name in columns
        if len(set(texts[name])) == 1 and len(lines) > 1 and texts[name][0]
    }
    shown = [name for name in columns if name not in shared and any(texts[name])]
    links = EvidenceLinks(collected.folder.parent.parent / "store", folder)
    rows = zip(
        zip(*(texts[name] for name in shown), strict=True), map(links.of, lines), strict=True
    )
    return {
        "shared": shared,
        "columns": [(name, all(map(_is_number, filter(None, texts[name])))) for name in shown],
        "rows": list(rows),
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _spelled(name: str, value: Any) -> str:
    """A value of a column; whole numbers are floats where the column has gaps."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if name in RATES else f"{value:.6g}"
    return str(value)


def _latest(collected: Collected) -> str | None:
    """When the last result was finished."""
    ends = (
        provenance.get("finished_at")
        for by_kind in collected.provenance.values()
        for provenance in by_kind.values()
    )
    return max(filter(None, ends), default=None)


def main() -> int:
    """Write `report.html` with its figures, tables and `valley.json`, and name it."""
    parser = argparse.ArgumentParser(
        prog="python analysis/report.py",
        description="Write a sweep's findings so far as one HTML file that needs no network, "
        "report.html, and beside it the figures, valley.json, table.tex and table.md.",
    )
    figure_options(parser)
    options = parser.parse_args()
    collected, document, paths = plot(options)
    path = paths[-1].with_name("report.html")
    found = tables(document)
    with writable(path.parent):
        write_text(path.with_name("table.tex"), latex(found))
        write_text(path.with_name("table.md"), markdown(found))
        write_text(path, page(collected, document, paths, path.parent))
    print(path)
    if collected.missing:
        print(next_line(STATUS, options.sweep, options.root))
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
