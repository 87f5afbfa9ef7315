"""The valley: score against size, drawn from the document of `summary.py` alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

import sentences
from drawing import (
    BLACK,
    GREEN,
    GREY,
    PROFILE_LOOKS,
    SMALL,
    WIDTH_IN,
    error_bars,
    frame,
    size_axis,
    tick,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sentences import Document

from valley.statistics.curve import NEGLIGIBLE

TWIN_MARKERS = ("D", "P", "X", "v")
DOTS = (0, (1, 1.5))
"""Of baselines: profiles' curves are solid, dashed or dash-dotted."""


def valley(document: Document) -> Figure:
    """Score against size: profiles as series, seeds as dots, the baseline, twins, trough, recovery."""
    figure = Figure(figsize=(WIDTH_IN, 4.3))
    axes = figure.add_subplot()
    series = [document, *document["profiles"].values()]
    planned = _planned_sizes(series)
    for offset, (one, (color, marker, line)) in enumerate(zip(series, PROFILE_LOOKS, strict=False)):
        _draw_curve(axes, one, color, marker, line, shift=1.0 + 0.08 * offset)
    _draw_baselines(axes, series)
    _draw_twins(axes, [t for t in document["twins"] if t["profile"] == document["profile"]])
    _draw_landmarks(axes, document)
    size_axis(axes, planned)
    axes.set_xlabel("distillation traces (log scale; 0 is the baseline, dotted)")
    axes.set_ylabel("pass@1")
    axes.set_ylim(0, None)
    top = min(1.02, max(0.05, axes.get_ylim()[1]))
    axes.set_ylim(-0.02 * top, top)  # so that a marker at zero is whole
    _label_baselines(axes, series)
    _hollow_ticks(axes, document["missing_sizes"])
    seeds = f"seeds: {_seeds(document['curve'])}" if document["curve"] else ""
    small_print = [f"stage {document['stage']}", seeds]
    frame(
        figure,
        document,
        sentences.label(document["valley"]),
        _finding(document),
        small_print,
        [axes],
    )
    return figure


def _planned_sizes(series: Iterable[Document]) -> list[int]:
    found = {point["size"] for one in series for point in one["curve"]}
    return sorted(found | {size for one in series for size in one["missing_sizes"]})


def _draw_curve(
    axes: Axes, series: Document, color: str, marker: str, line: str, shift: float
) -> None:
    curve = series["curve"]
    if not curve:
        return
    for point in curve:
        if len(point["seeds"]) > 1:
            axes.plot(
                [point["size"] * shift * 0.965] * len(point["seeds"]),
                list(point["seeds"].values()),
                linestyle="none",
                marker="o",
                markersize=2.6,
                color=color,
                alpha=0.5,
                markeredgewidth=0,
                zorder=2,
            )
    error_bars(
        axes,
        [point["size"] * shift for point in curve],
        curve,
        color=color,
        marker=marker,
        linestyle=line,
        label=f"{series['profile']}: mean over seeds, 95 % interval",
        zorder=3,
    )


def _draw_baselines(axes: Axes, series: list[Document]) -> None:
    """A dotted line across the plot for each profile, and a band for the first."""
    if (first := series[0]["baseline"]) is not None:
        axes.axhspan(
            *first["interval"], color=PROFILE_LOOKS[0][0], alpha=0.12, linewidth=0, zorder=0
        )
    for value, _, color in _baselines(series):
        axes.axhline(value, color=color, linewidth=1.1, linestyle=DOTS, zorder=1)


def _baselines(series: list[Document]) -> list[tuple[float, list[str], str]]:
    """Each height of a baseline, the profiles that have it, and its colour: black where they share it."""
    found: dict[float, list[tuple[str, str]]] = {}
    for one, (color, *_) in zip(series, PROFILE_LOOKS, strict=False):
        if one["baseline"] is not None:
            found.setdefault(one["baseline"]["value"], []).append((one["profile"], color))
    return [
        (value, [name for name, _ in whose], BLACK if whose[1:] else whose[0][1])
        for value, whose in found.items()
    ]


def _label_baselines(axes: Axes, series: list[Document]) -> None:
    """Name each baseline in the right margin, where no data can be, each label below the one before."""
    bottom, top = axes.get_ylim()
    place = math.inf
    for value, profiles, color in sorted(_baselines(series), reverse=True):
        place = min((value - bottom) / (top - bottom), place - 0.13)
        whose = "\n".join(profiles)
        axes.annotate(
            f"baseline\n{whose}\n{value:.3f}",
            (1.01, place),
            xycoords="axes fraction",
            va="center",
            fontsize=SMALL,
            color=color,
            linespacing=1.1,
        )


def _draw_twins(axes: Axes, twins: list[Document]) -> None:
    """The lowest stage's twins, left of their size; each number of steps is a series of its own."""
    by_steps: dict[int, list[Document]] = {}
    for twin in twins:
        if twin["stage"] == twins[0]["stage"]:
            by_steps.setdefault(twin["steps"], []).append(twin)
    for number, (steps, there) in enumerate(sorted(by_steps.items())):
        error_bars(
            axes,
            [twin["size"] * 0.93 ** (number + 1) for twin in there],
            there,
            color=GREEN,
            marker=TWIN_MARKERS[number % len(TWIN_MARKERS)],
            linestyle="none",
            label=f"{there[0]['profile']}, same traces, {steps:,} steps (twins)",
            zorder=4,
        )


def _draw_landmarks(axes: Axes, document: Document) -> None:
    trough, recovery = document["trough"], document["recovery_size"]
    if trough is None:
        return
    axes.plot(
        [trough["size"]],
        [trough["value"]],
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=BLACK,
        markeredgewidth=0.9,
        linestyle="none",
        clip_on=False,  # whole at a score of zero
        label=sentences.lowest(document),
        zorder=5,
    )
    if not document["valley"]["significant"] or recovery is None or recovery["value"] is None:
        return
    low, high = recovery["interval"]
    axes.axvspan(
        low, high or recovery["largest_size"], color=GREY, alpha=0.2, linewidth=0, zorder=0
    )
    axes.axvline(
        recovery["value"],
        color=GREY,
        linewidth=0.9,
        linestyle=":",
        zorder=1,
        label=f"baseline crossed at {sentences.recovery(document)}",
    )


def _hollow_ticks(axes: Axes, sizes: list[int]) -> None:
    if sizes:
        axes.plot(
            sizes,
            [0] * len(sizes),
            transform=axes.get_xaxis_transform(),
            marker="o",
            markersize=6,
            markerfacecolor="white",
            markeredgecolor=GREY,
            linestyle="none",
            clip_on=False,
            zorder=6,
            label="cells missing at this size",
        )


def _finding(document: Document) -> str:
    """The finding under the headline, in one line."""
    found = document["valley"]
    if found["verdict"] == "VALLEY":
        again = (
            "recovered above it"
            if found["recovered_above_baseline"]
            else "not shown above it again"
        )
        where = sentences.size(document["trough"]["size"])
        return (
            f"{sentences.interval(document['depth'])} below the baseline at {where} traces, {again}"
        )
    if found["verdict"] == "NO VALLEY":
        fell = "the score falls, and a rise" if found["fell"] else "a valley"
        return f"{fell} of {sentences.points(NEGLIGIBLE)} points or more is excluded"
    return {
        "baseline": "the baseline has no score yet",
        "sizes": "only the baseline has a score yet",
        "second size": "one size alone cannot show a fall and a rise",
        "fall": "no size is shown below the baseline, nor is a valley excluded",
        "rise": "the score falls, and no rise after it is shown",
    }[found["lacking"]]


def _seeds(curve: list[Document]) -> str:
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
