"""The tables of a report: from the document of `summary.py`, as Markdown and as LaTeX.

`table.tex` is for `\\input` into a paper whose preamble has `\\usepackage{booktabs,graphicx}`; a table that
is wider than the text is made as small as it has to be.
"""

from __future__ import annotations

from dataclasses import dataclass

import sentences
from sentences import Document
from size_unit import counted_in, size, unit

LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "−": "$-$",
    "×": r"$\times$",
    "–": "--",
}
MARKDOWN = str.maketrans({"|": "\\|", "<": "&lt;", ">": "&gt;", "\n": " "})
NONE = "–"


@dataclass(frozen=True)
class Table:
    """A table of texts, the first column naming the row."""

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(document: Document) -> list[Table]:
    """The scores by size, where each curve turns, and the pairs of arms where there are any."""
    series = [document, *document["profiles"].values()]
    with counted_in(document["size_in"]):
        at_k = [_at_k(*one) for one in enumerate(series, start=1) if one[1]["pass_at_k"]]
        found = [_scores(series), *at_k, _landmarks(series)]
        return [*found, _pairs(document["contrasts"])] if document["contrasts"] else found


def _scores(series: list[Document]) -> Table:
    """Every size of the curve; each profile has a column."""
    first = series[0]
    points = {one["profile"]: {point["size"]: point for point in one["curve"]} for one in series}
    sizes = sorted({size for by_size in points.values() for size in by_size})
    baseline = ("0 (baseline)", NONE, NONE, *(_score(one["baseline"]) for one in series))
    rows = [baseline]
    for one in sizes:
        there = [by_size.get(one) for by_size in points.values()]
        known = next(point for point in there if point is not None)
        steps, seeds = f"{known['steps']:,}", str(len(known["seeds"]))
        rows.append((size(one), steps, seeds, *map(_score, there)))
    return Table(
        "scores",
        f"Pass@1 by size with 95 % intervals: stage {first['stage']}, difficulty "
        f"{first['difficulty']}, correctness {first['correctness']}",
        (unit().capitalize(), "Steps", "Seeds", *(one["profile"] for one in series)),
        tuple(rows),
    )


def _at_k(number: int, one: Document) -> Table:
    """Every size of one profile's curve; each k above 1 has a column."""
    columns = one["pass_at_k"]
    curves = {k: {p["size"]: p for p in found["curve"]} for k, found in columns.items()}
    sizes = sorted({size for curve in curves.values() for size in curve})
    baseline = ("0 (baseline)", *(_score(found["baseline"]) for found in columns.values()))
    rows = [(size(at), *(_score(curve.get(at)) for curve in curves.values())) for at in sizes]
    return Table(
        f"at-k-{number}",
        f"{', '.join(columns)} by size with 95 % intervals: {one['profile']}, stage {one['stage']}",
        (unit().capitalize(), *columns),
        (baseline, *rows),
    )


def _landmarks(series: list[Document]) -> Table:
    rows = []
    for one in series:
        trough, recovery = one["trough"], one["recovery_size"]
        rows.append(
            (
                one["profile"],
                sentences.label(one["valley"]),
                _score(one["baseline"]),
                NONE if trough is None else size(trough["size"]),
                _score(trough),
                _depth(one),
                NONE if recovery is None else sentences.recovery(one),
            )
        )
    head = (
        "Profile",
        "Verdict",
        "Baseline",
        "Lowest size",
        "Its score",
        "Depth",
        "Baseline crossed at",
    )
    return Table("landmarks", "Where the curve turns", head, tuple(rows))


def _depth(series: Document) -> str:
    """How deep the curve is, with an interval where it has a valley: of flat ones it covers too seldom."""
    depth = series["depth"]
    if depth is None:
        return NONE
    if series["valley"]["verdict"] == "VALLEY":
        return sentences.interval(depth)
    return f"{sentences.points(depth['value'])} points"


def _pairs(contrasts: list[Document]) -> Table:
    rows = tuple(
        (
            " − ".join(entry["pair"]),
            str(entry["stage"]),
            size(entry["size"]),
            entry["profile"],
            sentences.interval(entry["difference"], True),
            entry["verdict"],
        )
        for entry in contrasts
    )
    head = ("Pair", "Stage", unit().capitalize(), "Profile", "Difference", "Verdict")
    return Table("pairs", "Kinds of traces: paired differences with 95 % intervals", head, rows)


def _score(estimate: Document | None) -> str:
    if estimate is None:
        return NONE
    low, high = estimate["interval"]
    return f"{estimate['value']:.3f} ({low:.3f} to {high:.3f})"


def markdown(found: list[Table]) -> str:
    """All tables, each under its caption."""
    blocks = []
    for table in found:
        lines = [table.head, ("---",) * len(table.head), *table.rows]
        text = "\n".join(
            f"| {' | '.join(cell.translate(MARKDOWN) for cell in line)} |" for line in lines
        )
        blocks.append(f"**{table.caption.translate(MARKDOWN)}**\n\n{text}\n")
    return "\n".join(blocks)


def latex(found: list[Table]) -> str:
    """All tables, each a float with a label of its own."""
    head = "% Needs \\usepackage{booktabs,graphicx} in the preamble.\n"
    return head + "\n".join(map(_float, found))


def _float(table: Table) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return " & ".join(map(escaped, cells)) + r" \\"

    parts = [
        r"\begin{table}",
        r"\centering",
        r"\small",
        rf"\caption{{{escaped(table.caption)}}}",
        rf"\label{{tab:valley-{table.name}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
        r"\toprule",
        line(table.head),
        r"\midrule",
        *map(line, table.rows),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """A text in which LaTeX finds no command."""
    return "".join(LATEX.get(sign, sign) for sign in " ".join(text.split()))
