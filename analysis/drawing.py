"""What all figures share: how they look, their size axis, their small print, how they are saved.

Readable at a column's width, in Okabe and Ito's colours, which colour-blind readers can tell apart;
series differ by marker and line as well. Numbers stand in legends and margins, where no data can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from sentences import Document

WIDTH_IN = 5.4
BLACK, GREY, BLUE, VERMILION, GREEN = "#000000", "#666666", "#0072B2", "#D55E00", "#009E73"
PURPLE, SKY, AMBER = "#CC79A7", "#56B4E9", "#E69F00"
PROFILE_LOOKS = ((BLUE, "o", "-"), (VERMILION, "s", "--"), (PURPLE, "^", "-."))
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
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,  # TrueType, embedded, so that text stays text
    # The layout is made at the resolution that is saved: at another, text is a little wider.
    "figure.dpi": 220,
    "figure.constrained_layout.use": True,
}
SMALL = 6.5
COLUMNS = 106
"""Characters of small print that fit the width."""
NO_BREAK = "\N{NO-BREAK SPACE}"


@contextmanager
def style() -> Iterator[None]:
    """Figures look alike whatever the user's own settings are; for drawing and for saving."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write PNG and PDF, without a date, so that equal data gives equal files."""
    paths = [folder / f"{name}.png", folder / f"{name}.pdf"]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, and not again for each format
    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
        figure.savefig(path, metadata=metadata)
    return paths


def error_bars(axes: Axes, places: list[float], estimates: list[Document], **look: Any) -> None:
    """Points with their 95 % intervals."""
    values = [estimate["value"] for estimate in estimates]
    low = [value - e["interval"][0] for value, e in zip(values, estimates, strict=True)]
    high = [e["interval"][1] - value for value, e in zip(values, estimates, strict=True)]
    axes.errorbar(places, values, yerr=[low, high], capsize=1.8, elinewidth=0.9, **look)


def size_axis(axes: Axes, sizes: list[int], labels: int = 18) -> None:
    """A log axis with the sizes themselves as ticks; at most `labels` of them, spread."""
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    if not sizes:
        axes.set_xlim(1, 10)
        axes.xaxis.set_major_locator(NullLocator())
        return
    axes.set_xlim(sizes[0] / 1.5, sizes[-1] * 1.5)
    shown = _spread(sizes, labels)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.set_xticks(shown, [tick(size) for size in shown])
    axes.xaxis.set_minor_locator(FixedLocator([size for size in sizes if size not in shown]))
    axes.xaxis.set_minor_formatter("")


def _spread(sizes: list[int], labels: int) -> list[int]:
    """The sizes whose labels fit: each 1/labels of the axis away from the one before."""
    span = (sizes[-1] / sizes[0]) ** (1 / labels)
    shown = [sizes[-1]]
    for size in reversed(sizes[:-1]):
        if shown[-1] / size >= span:
            shown.append(size)
    return sorted(shown)


def tick(size: int) -> str:
    """A size as short as it can be without loss: 1K is 1000, 1024 is 1024."""
    return f"{size // 1000}K" if size >= 1000 and size % 1000 == 0 else str(size)


def frame(
    figure: Figure,
    document: Document,
    headline: str,
    finding: str,
    small_print: Iterable[str] = (),
    legend_of: Iterable[Axes] = (),
) -> None:
    """Everything around the axes: two lines above, one legend of all axes and the small print below.

    The layout engine knows nothing of these, so their heights are set aside from what it lays out.
    """
    handles: dict[str, Any] = {}
    for axes in legend_of:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    # Series first: matplotlib lists what has error bars after all plain lines.
    handles = dict(sorted(handles.items(), key=lambda h: not isinstance(h[1], ErrorbarContainer)))
    columns = 2 if any(len(label) > 24 for label in handles) else 3
    parts = [*_measured(document), *filter(None, small_print)]
    whole = " · ".join(part.replace(" ", NO_BREAK) for part in parts)
    note = fill(whole, COLUMNS, break_on_hyphens=False).replace(NO_BREAK, " ")

    height_in = figure.get_figheight()
    note_in = (note.count("\n") + 1) * SMALL * 1.3 / 72 + 0.06
    legend_in = -(-len(handles) // columns) * 11 / 72 + (0.08 if handles else 0)
    head_in = 0.40
    figure.text(0.01, 1 - 0.06 / height_in, headline, fontsize=9.5, weight="bold", va="top")
    figure.text(0.01, 1 - 0.24 / height_in, finding, fontsize=8, va="top")
    figure.text(0.01, 0.05 / height_in, note, fontsize=SMALL, color=GREY, va="bottom")
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


def _measured(document: Document) -> list[str]:
    """What was measured, what is missing, and what was not made alike."""
    provenance = document["provenance"]
    parts = [f"sweep {document['sweep']}"]
    if problems := provenance["problems"]:
        samples = "/".join(f"{total / problems:g}" for total in provenance["samples_per_cell"])
        parts.append(f"{problems} problems × {samples} sample{'' if samples == '1' else 's'}")
    if backends := provenance["made_with"].get("generate", {}).get("backend"):
        parts.append(f"decoded by {' and '.join(backends)}")
    parts.append(f"{len(document['missing'])} of {document['planned']} scores missing")
    if document["damaged"]:
        parts.append(f"{len(document['damaged'])} damaged")
    return parts + [f"MIXED {mixed.partition(' (')[0]}" for mixed in provenance["mixed"]]
