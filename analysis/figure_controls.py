"""Contrasts and behaviour, drawn from the document of `summary.py` alone."""

from __future__ import annotations

from typing import Any

from drawing import (
    AMBER,
    BLACK,
    BLUE,
    GREY,
    PROFILE_LOOKS,
    PURPLE,
    SKY,
    SMALL,
    WIDTH_IN,
    error_bars,
    frame,
    size_axis,
    tick,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sentences import Document


def contrasts(document: Document) -> Figure:
    """Easy − hard and correct − incorrect by stage, as paired differences around a zero line."""
    entries = document["contrasts"]
    profiles = list(dict.fromkeys(entry["profile"] for entry in entries))
    rows = list(dict.fromkeys((e["axis"], *e["pair"], e["stage"], e["size"]) for e in entries))
    rows.sort(key=lambda row: (row[0] != "difficulty", row[3], row[4]))
    figure = Figure(figsize=(WIDTH_IN, 1.5 + 0.55 * max(1, len(rows))))
    axes = figure.add_subplot()
    axes.axvline(0, color=BLACK, linewidth=0.9)
    looks = dict(zip(profiles, PROFILE_LOOKS, strict=False))
    for entry in entries:
        if entry["profile"] not in looks:
            continue
        color, marker, _ = looks[entry["profile"]]
        place = rows.index((entry["axis"], *entry["pair"], entry["stage"], entry["size"]))
        height = place + 0.3 * (profiles.index(entry["profile"]) - (len(profiles) - 1) / 2)
        _draw_contrast(axes, entry, height, color, marker)
    for profile, (color, marker, _) in looks.items():
        axes.plot([], [], color=color, marker=marker, linestyle="none", label=profile)
    axes.set_yticks(
        range(len(rows)),
        [f"{row[1]} − {row[2]}\nstage {row[3]}, {tick(row[4])} traces" for row in rows],
    )
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axes.set_xlabel("difference of pass@1 in points, paired over problems, 95 % interval")
    axes.annotate(
        "pass@1 of each", (1.01, 1.0), xycoords="axes fraction", fontsize=SMALL, color=GREY
    )
    if not entries:
        axes.set_xlim(-10, 10)
    unmeasured = any(not entry["seeds_measured"] for entry in entries)
    shown = sum(1 for e in entries if e["verdict"] == "DIFFERENT")
    frame(
        figure,
        document,
        "What the traces are like",
        f"{shown} of {len(entries)} pairs DIFFERENT, corrected for all pairs of a profile"
        if entries
        else "no pair has both its scores yet"
        if document["contrasts_planned"]
        else "this grid has no easy and hard, or correct and incorrect, cells to compare",
        ["seed noise unmeasured" if unmeasured else ""],
        [axes],
    )
    return figure


def _draw_contrast(axes: Axes, entry: Document, height: float, color: str, marker: str) -> None:
    value = 100 * entry["difference"]["value"]
    low, high = (100 * bound for bound in entry["difference"]["interval"])
    axes.errorbar(
        [value],
        [height],
        xerr=[[value - low], [high - value]],
        color=color,
        marker=marker,
        capsize=2,
        elinewidth=1.0,
    )
    first, second = (entry["scores"][name] for name in entry["pair"])
    axes.annotate(
        f"{first:.2f} vs {second:.2f}",
        (1.01, height),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=SMALL,
        color=color,
    )


PANELS = (
    ("completion_rate", "completed"),
    ("think_closed_rate", "thought closed"),
    ("pass@1_completed", "pass@1 of\ncompleted"),
)
ARM_LOOKS = {
    ("all", "all"): (BLUE, "o"),
    ("easy", "all"): (SKY, "^"),
    ("hard", "all"): (PURPLE, "v"),
    ("all", "correct"): (AMBER, "D"),
    ("all", "incorrect"): (BLACK, "X"),
}
BESIDE = (1.0, 0.77, 0.88, 1.14, 1.3)
"""Where an arm stands beside its size; on one place arms of one size would hide each other."""


def behaviour(document: Document) -> Figure:
    """Whether answers end, whether thoughts are closed, and the score among those that end."""
    entries = [
        e for e in document["behaviour"] if e["profile"] == document["profile"] and not e["steps"]
    ]
    sizes = sorted({entry["size"] for entry in entries if entry["size"]})
    stages = sorted({entry["stage"] for entry in entries}) or [document["stage"]]
    figure = Figure(figsize=(WIDTH_IN, 5.0))
    grid = figure.subplots(len(PANELS), len(stages), sharex="col", sharey=True, squeeze=False)
    for column, stage in enumerate(stages):
        there = [entry for entry in entries if entry["stage"] == stage]
        for row, (metric, label) in enumerate(PANELS):
            axes = grid[row][column]
            _draw_behaviour(axes, there, metric)
            axes.set_ylim(-0.06, 1.08)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.grid(axis="y", color="#dddddd", linewidth=0.5)
            size_axis(axes, sizes, labels=12 // len(stages))
            axes.set_xlabel("traces" if row == len(PANELS) - 1 else "")
            if column == 0:
                axes.set_ylabel(label)
        grid[0][column].set_title(f"stage {stage}")
    frame(
        figure,
        document,
        "How answers end",
        _fewest_completed(document, entries),
        [f"asked as {document['profile']}", "pass@1 of completed is selected and has no interval"],
        grid.flat,
    )
    return figure


def _fewest_completed(document: Document, entries: list[Document]) -> str:
    curve = [e for e in entries if e["size"] and e["stage"] == document["stage"]]
    if not curve:
        return "no trained size has a score yet"
    fewest = min(curve, key=lambda entry: entry["completion_rate"]["value"])
    low, high = fewest["completion_rate"]["interval"]
    return (
        f"fewest answers complete at {fewest['size']:,} traces of stage {document['stage']}: "
        f"{fewest['completion_rate']['value']:.0%} (95 % interval {low:.0%} to {high:.0%})"
    )


def _draw_behaviour(axes: Axes, entries: list[Document], metric: str) -> None:
    interval = metric != "pass@1_completed"
    for ((difficulty, correctness), (color, marker)), shift in zip(
        ARM_LOOKS.items(), BESIDE, strict=True
    ):
        arms = [
            entry
            for entry in entries
            if (entry["difficulty"], entry["correctness"]) == (difficulty, correctness)
            and entry[metric] is not None
        ]
        trained = sorted((a for a in arms if a["size"]), key=lambda a: a["size"])
        baseline = [arm[metric] for arm in arms if arm["size"] == 0]
        if baseline:
            value = baseline[0]["value"] if interval else baseline[0]
            axes.axhline(value, color=color, linewidth=0.9, linestyle=(0, (5, 3)), label="baseline")
            if interval:
                axes.axhspan(*baseline[0]["interval"], color=color, alpha=0.12, linewidth=0)
        if not trained:
            continue
        curve = (difficulty, correctness) == ("all", "all")
        name = "all traces" if curve else (difficulty if correctness == "all" else correctness)
        look: dict[str, Any] = {
            "color": color,
            "marker": marker,
            "linestyle": "-" if curve else "none",
        }
        places = [arm["size"] * shift for arm in trained]
        if interval:
            error_bars(axes, places, [arm[metric] for arm in trained], label=name, **look)
        else:
            axes.plot(places, [arm[metric] for arm in trained], label=name, **look)
