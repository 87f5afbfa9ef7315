"""What all figures share: how they look, their size axis, their small print, how they are saved.

Readable at a column's width, in Okabe and Ito's colours, which colour-blind readers can tell apart;
series differ by marker and line as well. Numbers stand in legends and margins, where no data can be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
from marks import Drawing
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.ticker import FixedLocator, NullLocator
from sentences import Document

from valley.records import whole, write_text

WIDTH_IN = 5.4
BLACK, GREY, BLUE, VERMILION, GREEN = "#000000", "#666666", "#0072B2", "#D55E00", "#009E73"
PURPLE, SKY, AMBER = "#CC79A7", "#56B4E9", "#E69F00"
FURTHER_LOOKS: tuple[tuple[str, str, Any], ...] = (
    ("#882255", "P", (0, (6, 2))),
    ("#999933", "X", (0, (4, 1, 1, 1))),
    ("#44AA99", "v", (0, (2, 1))),
    ("#332288", "<", (0, (8, 2, 2, 2))),
)
"""Of other stages' and other students' curves."""
ARM_LOOKS = {
    ("all", "all"): (BLUE, "o"),
    ("easy", "all"): (SKY, "^"),
    ("hard", "all"): (PURPLE, "v"),
    ("all", "correct"): (AMBER, "D"),
    ("all", "incorrect"): (BLACK, "X"),
}
"""Colour and marker of what was trained on, in every figure."""
OTHER_ARM = (GREY, "s")
PROFILE_LOOKS: tuple[tuple[str, str, Any], ...] = (
    (BLUE, "o", "-"),
    (VERMILION, "s", "--"),
    (PURPLE, "^", "-."),
)
"""Colour, marker and line of the first profiles; more would not be told apart."""
STYLE: Any = {
    "backend": "Agg",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,  # TrueType, embedded, so that text stays text
    "svg.fonttype": "path",  # glyphs as outlines: no font is needed to show them
    "svg.hashsalt": "valley",
    # The layout is made at the resolution that is saved: at another, text is a little wider.
    "figure.dpi": 220,
    "figure.constrained_layout.use": True,
}
FORMATS: dict[str, Any] = {"png": None, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""By ending, the metadata that leaves out the date."""
BREAK: dict[str, Any] = {
    "marker": [(-0.6, -1), (0.6, 1)],
    "markersize": 7,
    "markeredgewidth": 1.0,
    "color": "#000000",
    "linestyle": "none",
    "clip_on": False,
}
"""The stroke where a log axis is broken for its zero."""
SMALL = 6.5
COLUMNS = 106
"""Characters of small print that fit the width."""


@contextmanager
def style() -> Iterator[None]:
    """Figures look alike whatever the user's own settings are; for drawing and for saving."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def save(figure: Drawing, folder: Path, name: str) -> list[Path]:
    """Write PNG, PDF, SVG and the CSV of what is drawn; equal data gives equal files, without a date."""
    paths = [folder / f"{name}.{ending}" for ending in (*FORMATS, "csv")]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, and not again for each format
    for path, (ending, metadata) in zip(paths, FORMATS.items(), strict=False):
        with whole(path) as temporary:
            figure.savefig(temporary, format=ending, metadata=metadata)
    write_text(paths[-1], figure.csv())
    return paths


GAP = 0.3
"""Between two labels at least, in letters."""


def zero_place(sizes: list[int]) -> float:
    """Where the baseline stands, at the left of a log axis that has no zero."""
    return sizes[0] / max(1.7, (sizes[-1] / sizes[0]) ** 0.09)


def size_axis(axes: Axes, sizes: list[int], labels: float = 14.5, zero: bool = False) -> None:
    """A log axis with the sizes themselves as ticks, as far as there is room for `labels` of four letters.

    `zero` adds a place for the baseline at the left, behind a break of the axis.
    """
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    if not sizes:
        axes.set_xlim(1, 10)
        axes.xaxis.set_major_locator(NullLocator())
        return
    left = zero_place(sizes) if zero else sizes[0]
    axes.set_xlim(left / 1.5, sizes[-1] * 1.5)
    spread = _spread(sizes, math.log(sizes[-1] * 1.5 / (left / 1.5)) / labels)
    shown, names = [*map(float, spread)], [tick(size) for size in spread]
    if zero:
        shown, names = [left, *shown], ["0", *names]
        middle = (left * sizes[0]) ** 0.5
        axes.plot(middle, 0, transform=axes.get_xaxis_transform(), **BREAK)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.set_xticks(shown, names)
    axes.xaxis.set_minor_locator(FixedLocator([size for size in sizes if size not in shown]))
    axes.xaxis.set_minor_formatter("")


def _spread(sizes: list[int], room: float) -> list[int]:
    """The sizes whose labels fit.

    Args:
        room: that a label of four letters needs with the gap beside it, as a logarithm of sizes.
    """
    shown = [sizes[-1]]
    for size in reversed(sizes[:-1]):
        letters = (len(tick(size)) + len(tick(shown[-1]))) / 2
        if math.log(shown[-1] / size) >= room * (letters + GAP) / (4 + GAP):
            shown.append(size)
    return sorted(shown)


def tick(size: int) -> str:
    """A size as short as it can be without loss: 1K is 1000, 1024 is 1024."""
    return f"{size // 1000}K" if size >= 1000 and size % 1000 == 0 else str(size)


def frame(
    figure: Drawing,
    document: Document,
    headline: str,
    finding: str,
    small_print: Iterable[str] = (),
    legend_of: Iterable[Axes] = (),
    around_in: float | None = None,
    k: str = "1",
) -> None:
    """Everything around the axes: the headline and the finding above, one legend of all axes and the small print below.

    The layout engine knows nothing of these, so their heights are set aside from what it lays out.

    Args:
        around_in: what the figure's height has for these; where they need more, it grows.
        k: that of the pass@k that is drawn.
    """
    handles: dict[str, Any] = {}
    for axes in legend_of:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    # Series first: matplotlib lists what has error bars after all plain lines.
    handles = dict(sorted(handles.items(), key=lambda h: not isinstance(h[1], ErrorbarContainer)))
    longest = max(map(len, handles), default=0)
    columns = 1 if longest > 46 else 2 if longest > 24 else 3
    parts = [*_measured(document, k), *filter(None, small_print)]
    notes = _filled(parts)
    warnings = _filled([f"MIXED {m.partition(' (')[0]}" for m in document["provenance"]["mixed"]])

    plain_in = len(notes) * SMALL * 1.3 / 72 + 0.06
    note_in = plain_in + len(warnings) * SMALL * 1.3 / 72
    legend_in = -(-len(handles) // columns) * 11 / 72 + (0.08 if handles else 0)
    head_in = 0.40 + 0.14 * finding.count("\n")
    height_in = figure.get_figheight()
    if around_in is not None:
        height_in += max(0.0, note_in + legend_in + head_in - around_in)
        figure.set_figheight(height_in)
    figure.text(0.01, 1 - 0.06 / height_in, headline, fontsize=9.5, weight="bold", va="top")
    figure.text(0.01, 1 - 0.24 / height_in, finding, fontsize=8, va="top")
    small: list[tuple[list[str], float, dict[str, Any]]] = [
        (notes, 0.05, {"color": GREY}),
        (warnings, plain_in, {"color": VERMILION, "weight": "bold"}),
    ]
    for lines, bottom_in, look in small:
        if lines:
            place = bottom_in / height_in
            figure.text(0.01, place, "\n".join(lines), fontsize=SMALL, va="bottom", **look)
    if handles:
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="lower left",
            bbox_to_anchor=(0, note_in / height_in),
            ncols=columns,
            borderaxespad=0.1,
        )
    below = (note_in + legend_in) / height_in
    figure.set_layout_engine("constrained", rect=(0, below, 1, 1 - below - head_in / height_in))


def _filled(parts: list[str]) -> list[str]:
    """Lines of small print; a part is not broken where it fits a line."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= COLUMNS:
            lines[-1] += f" · {part}"
        else:
            lines += wrap(part, COLUMNS)
    return lines


def _measured(document: Document, k: str) -> list[str]:
    """What was measured, with what, and what is missing."""
    provenance, footing = document["provenance"], document["footing"]
    parts = [f"sweep {document['sweep']}", f"plan {footing['plan'][:12]}"]
    if code := footing["code"]:
        parts.append(f"code {' and '.join(code)}")
    if problems := provenance["problems"]:
        samples = "/".join(f"{total / problems:g}" for total in provenance["samples_per_cell"])
        parts.append(f"evaluation set {provenance['problem_set'][:12]}")
        parts.append(f"{problems} problems × {samples} sample{'' if samples == '1' else 's'}")
    drawn = (document["profile"], *document["profiles"])
    caps = {name: cap for name in drawn if (cap := footing["max_tokens"].get(name))}
    if caps:
        alike = len(set(caps.values())) == 1
        named = [f"{cap:,}" if alike else f"{cap:,} ({name})" for name, cap in caps.items()]
        parts.append(f"at most {', '.join(dict.fromkeys(named))} tokens")
    parts.append(f"k = {k}")
    if backends := provenance["made_with"].get("generate", {}).get("backend"):
        parts.append(f"decoded by {' and '.join(backends)}")
    parts.append(f"{len(document['missing'])} of {document['planned']} scores missing")
    if document["damaged"]:
        parts.append(f"{len(document['damaged'])} damaged")
    return parts
