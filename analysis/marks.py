"""Marks on axes that note what they show: from the notes a CSV of exactly what is drawn is written.

Marks of one size stand beside each other; the notes have the numbers themselves and not the places.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sentences import Document

COLUMNS = ("panel", "series", "what", "x", "value", "low", "high")
HOLLOW: dict[str, Any] = {
    "marker": "o",
    "markersize": 6,
    "markerfacecolor": "white",
    "markeredgecolor": "#666666",
    "linestyle": "none",
    "clip_on": False,
    "zorder": 6,
}


class Drawing(Figure):
    """A figure and the notes of its marks. The panel is the axes' label."""

    def __init__(self, width_in: float, height_in: float) -> None:
        super().__init__(figsize=(width_in, height_in))
        self.drawn: list[tuple[Any, ...]] = []

    def csv(self) -> str:
        """A row per mark; numbers as they are in the document."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(self.drawn)
        return text.getvalue()


def note(
    axes: Axes, series: str, what: str, x: Any, value: Any, low: Any = None, high: Any = None
) -> None:
    """Note one mark."""
    if isinstance(axes.figure, Drawing):
        panel = str(axes.get_label()).replace("\n", " ")
        axes.figure.drawn.append((panel, series, what, x, value, low, high))


def error_bars(
    axes: Axes,
    xs: Sequence[float],
    estimates: list[Document],
    series: str,
    places: Sequence[float] | None = None,
    **look: Any,
) -> None:
    """Points with their 95 % intervals, drawn at `places` where those are not `xs`."""
    values = [estimate["value"] for estimate in estimates]
    low = [value - e["interval"][0] for value, e in zip(values, estimates, strict=True)]
    high = [e["interval"][1] - value for value, e in zip(values, estimates, strict=True)]
    where = xs if places is None else places
    axes.errorbar(where, values, yerr=[low, high], capsize=1.8, elinewidth=0.9, **look)
    for x, found in zip(xs, estimates, strict=True):
        note(axes, series, "mean, 95 % interval", x, found["value"], *found["interval"])


def points(
    axes: Axes,
    xs: Sequence[float],
    values: Sequence[float],
    series: str,
    what: str,
    places: Sequence[float] | None = None,
    **look: Any,
) -> None:
    """Points without an interval."""
    axes.plot(xs if places is None else places, values, **look)
    for x, value in zip(xs, values, strict=True):
        note(axes, series, what, x, value)


def level(
    axes: Axes, estimate: Document | float, series: str, color: str, band: bool, **look: Any
) -> None:
    """A baseline across the panel, with its interval as a band."""
    found: Document = {"value": estimate, "interval": (None, None)}
    if isinstance(estimate, dict):
        found = estimate
    axes.axhline(found["value"], color=color, zorder=1, **look)
    if band and isinstance(estimate, dict):
        axes.axhspan(*found["interval"], color=color, alpha=0.12, linewidth=0, zorder=0)
    note(axes, series, "baseline", 0, found["value"], *found["interval"])


def hollow(axes: Axes, sizes: list[int], label: str = "cells missing at this size") -> None:
    """Hollow marks on the axis where cells are missing."""
    if not sizes:
        return
    axes.plot(sizes, [0] * len(sizes), transform=axes.get_xaxis_transform(), label=label, **HOLLOW)
    for size in sizes:
        note(axes, "", "missing", size, None)


LABEL_IN = 6.5 * 1.5 / 72
"""The height of a line of a margin's label."""


def fit_margin(labels: list[tuple[float, str, str]], height_in: float) -> bool:
    """Whether so many lines stand below each other beside axes of a height."""
    return LABEL_IN * sum(text.count("\n") + 1 for _, text, _ in labels) <= height_in


def margin_labels(
    axes: Axes,
    labels: list[tuple[float, str, str]],
    height_in: float,
    limits: tuple[float, float] | None = None,
) -> None:
    """Texts right of the axes at heights of data, moved apart where they would cover each other.

    Args:
        labels: height, text and colour of each.
        height_in: the axes' height, about; from it the texts' share of the height is known.
        limits: what the heights run between, where that is not the axes' own data.
    """
    bottom, top = limits or axes.get_ylim()
    line = LABEL_IN / height_in
    ordered = sorted(labels, key=lambda label: -label[0])
    heights = [line * (text.count("\n") + 1) for _, text, _ in ordered]
    places: list[float] = []
    ceiling = 1.0 + line / 2
    for (value, _, _), height in zip(ordered, heights, strict=True):
        places.append(min((value - bottom) / (top - bottom), ceiling - height / 2))
        ceiling = places[-1] - height / 2
    floor = -line / 2
    for index in reversed(range(len(places))):
        places[index] = max(places[index], floor + heights[index] / 2)
        floor = places[index] + heights[index] / 2
    for (_, text, color), place in zip(ordered, places, strict=True):
        axes.annotate(
            text,
            (1.012, place),
            xycoords="axes fraction",
            va="center",
            fontsize=6.5,
            color=color,
            linespacing=1.1,
        )
