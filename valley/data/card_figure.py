"""The figure of a data card: how long the traces are, by whether they are correct."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito's colours; the bars are told apart by their hatching as well.
LOOKS = {
    "correct": ("#0072B2", ""),
    "incorrect": ("#E69F00", "///"),
    "unknown": ("#BBBBBB", "..."),
}
SIZE_IN = (5.4, 2.7)
FEW_DOUBLINGS = 3
"""With fewer than these on the axis, lengths between the powers of two are named as well."""
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.dpi": 220,
    "figure.constrained_layout.use": True,
    "hatch.linewidth": 0.5,
}


def draw_lengths(lengths: Mapping[str, Any], path: Path) -> None:
    """Draw a card's `lengths` as stacked bars on a logarithmic scale."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=SIZE_IN)
        axes = figure.subplots()
        edges = lengths["edges"]
        widths = [right - left for left, right in itertools.pairwise(edges)]
        below = [0] * len(widths)
        for name, (color, hatch) in LOOKS.items():
            counts = lengths["counts"][name]
            if not sum(counts):
                continue
            axes.bar(
                edges[:-1],
                counts,
                widths,
                below,
                align="edge",
                color=color,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.5,
                label=f"{name} ({sum(counts):,})",
            )
            below = [low + count for low, count in zip(below, counts, strict=True)]
        median = lengths["percentiles"]["50"]
        axes.axvline(median, color="black", linewidth=1, label=f"median ({median:,})")
        if "max_tokens" in lengths:
            most, too_long = lengths["max_tokens"], lengths["too_long"]
            said = f"longest read ({most:,}; {too_long:,} are longer)"
            look: dict[str, Any] = {
                "color": "#D55E00",
                "linewidth": 1.2,
                "linestyle": "--",
                "label": said,
            }
            if most <= edges[-1] * 2:
                axes.axvline(most, **look)
            else:  # far to the right of all traces: told, and not drawn
                axes.plot([], [], **look)
        axes.set_xscale("log", base=2)
        few = edges[-1] < edges[0] * 2**FEW_DOUBLINGS
        between = (1, 1.25, 1.5, 1.75) if few else (1,)
        axes.xaxis.set_major_locator(LogLocator(base=2, subs=between, numticks=12))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        sampled = ", of a sample" if "sample_of" in lengths else ""
        axes.set_xlabel(f"length of a trace in {lengths['unit']}{sampled}")
        axes.set_ylabel("traces")
        figure.legend(loc="outside upper left", ncols=5, fontsize=7, columnspacing=1.2)
        FigureCanvasAgg(figure)
        figure.savefig(path)
