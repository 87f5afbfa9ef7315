"""The panels under the valley: what a fall of the score comes with, from the document of `summary.py` alone."""

from __future__ import annotations

from typing import Any

from drawing import GREY, SMALL, size_axis, zero_place
from marks import error_bars, hollow, level, points
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sentences import Document

Look = tuple[str, str, Any]
"""Colour, marker and line."""
PANELS = {
    "think_closed_rate": "thought\nclosed",
    "pass@1_completed": "pass@1 of\ncompleted",
    "completion_tokens_median": "median\ntokens",
}
"""By the name in the document, the panel's label."""


def draw_panel(
    axes: Axes,
    document: Document,
    metric: str,
    series: list[tuple[tuple[str, str, int], Look]],
    planned: list[int],
) -> None:
    """One metric against size, in the looks that the curves have above."""
    axes.set_label(PANELS[metric])
    axes.set_ylabel(PANELS[metric])
    size_axis(axes, planned, zero=True)
    for offset, ((profile, student, stage), look) in enumerate(series):
        entries = curve_of(document, profile, student, stage)
        _draw(axes, entries, metric, f"{student}, stage {stage}, {profile}", look, offset, planned)
    hollow(axes, document["missing_sizes"])
    if metric == "completion_tokens_median":
        axes.set_ylim(0, max(1.0, axes.get_ylim()[1] * 1.1))
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        return
    axes.set_ylim(-0.08, 1.12)
    axes.set_yticks([0, 0.5, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if metric == "pass@1_completed":
        where = (1.012, 0.5)
        text = "selection-biased:\nonly answers\nthat ended count"
        axes.annotate(
            text, where, xycoords="axes fraction", va="center", fontsize=SMALL, color=GREY
        )


def curve_of(document: Document, profile: str, student: str, stage: int) -> list[Document]:
    """The entries of `behaviour` on the curve of a profile, student and stage, the baseline first."""
    subset = (document["difficulty"], document["correctness"])
    found = [
        entry
        for entry in document["behaviour"]
        if (entry["profile"], entry["student"], entry["stage"]) == (profile, student, stage)
        and not entry["steps"]
        and (entry["size"] == 0 or (entry["difficulty"], entry["correctness"]) == subset)
    ]
    return sorted(found, key=lambda entry: entry["size"])


def _draw(
    axes: Axes,
    entries: list[Document],
    metric: str,
    name: str,
    look: Look,
    offset: int,
    planned: list[int],
) -> None:
    color, marker, line = look
    there = [entry for entry in entries if entry[metric] is not None and planned]
    shift = 1.0 + 0.06 * offset
    parts = (
        ([entry for entry in there if entry["size"] == 0], "none"),
        ([entry for entry in there if entry["size"]], line),
    )
    for part, style in parts:
        sizes = [entry["size"] for entry in part]
        places = [(size or zero_place(planned)) * shift for size in sizes]
        values = [entry[metric] for entry in part]
        shown = {"color": color, "marker": marker, "markersize": 3.5, "linestyle": style}
        if metric == "think_closed_rate":
            error_bars(axes, sizes, values, name, places, **shown)
        else:
            points(axes, sizes, values, name, "mean over seeds", places, **shown)
    baseline = [entry[metric] for entry in there if entry["size"] == 0]
    if baseline:
        level(axes, baseline[0], name, color, offset == 0, linewidth=0.8, linestyle=(0, (1, 1.5)))
