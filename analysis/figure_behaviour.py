"""How answers end, against size and against score, drawn from the document of `summary.py` alone."""

from __future__ import annotations

from typing import Any

from drawing import ARM_LOOKS, GREY, OTHER_ARM, WIDTH_IN, frame, size_axis, zero_place
from further_sentences import correlated
from marks import Drawing, error_bars, hollow, level, note
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from sentences import Document
from size_unit import unit

RATES = {"completion_rate": "completed", "think_closed_rate": "thought closed"}
BESIDE = {
    ("all", "all"): 1.0,
    ("easy", "all"): 0.77,
    ("hard", "all"): 0.88,
    ("all", "correct"): 1.14,
    ("all", "incorrect"): 1.3,
}
"""Where an arm stands beside its size; on one place arms of one size would hide each other."""
STAGE_FILLS = ("full", "none", "bottom", "top")


def behaviour(document: Document) -> Drawing:
    """Whether answers end, are truncated, and close their thought, against size by stage."""
    entries = arms_of(document)
    sizes = sorted({entry["size"] for entry in entries if entry["size"]})
    sizes = sorted({*sizes, *document["missing_sizes"]})
    stages = sorted({entry["stage"] for entry in entries}) or [document["stage"]]
    figure = Drawing(WIDTH_IN, 4.7)
    grid = figure.subplots(len(RATES), len(stages), sharex="col", sharey=True, squeeze=False)
    for column, stage in enumerate(stages):
        there = [entry for entry in entries if entry["stage"] == stage]
        for row, (metric, label) in enumerate(RATES.items()):
            axes = grid[row][column]
            axes.set_label(f"{label}, stage {stage}")
            size_axis(axes, sizes, labels=max(2, 11 // len(stages)), zero=True)
            _draw_arms(axes, there, metric, sizes)
            _rate_axis(axes)
            if stage == document["stage"]:
                hollow(axes, document["missing_sizes"])
            axes.set_xlabel(unit() if row == len(RATES) - 1 else "")
            if column == 0:
                axes.set_ylabel(label)
            if row == 0 and column == len(stages) - 1:
                _truncated_axis(axes)
        grid[0][column].set_title(f"stage {stage}")
    frame(
        figure,
        document,
        *_headline(document, "size"),
        [f"asked as {document['profile']}", f"student {document['student']}"],
        grid.flat,
    )
    return figure


def behaviour_by_score(document: Document) -> Drawing:
    """The same rates against the score of each arm."""
    entries = arms_of(document)
    figure = Drawing(WIDTH_IN, 3.6)
    row = figure.subplots(1, len(RATES), sharey=True)
    stages = sorted({entry["stage"] for entry in entries})
    for axes, (metric, label) in zip(row, RATES.items(), strict=True):
        axes.set_label(f"{label} against score")
        axes.set_title(label)
        axes.set_xlabel("pass@1")
        for entry in entries:
            _draw_at_score(axes, entry, metric, stages)
        _rate_axis(axes)
        axes.set_xlim(-0.02, None)
    if not entries:
        row[0].set_xlim(0, 1)
    row[0].set_ylabel("share of answers")
    fills = ", ".join(
        f"stage {stage} {'filled' if STAGE_FILLS[n % 4] == 'full' else 'hollow' if n == 1 else 'half'}"
        for n, stage in enumerate(stages)
    )
    small = [f"asked as {document['profile']}", f"student {document['student']}", fills]
    small.append("truncated is 100 % − completed")
    frame(figure, document, *_headline(document, "score"), small, row)
    return figure


def arms_of(document: Document) -> list[Document]:
    """The arms of the profile and student that verdicts are drawn from, without twins."""
    return [
        entry
        for entry in document["behaviour"]
        if (entry["profile"], entry["student"]) == (document["profile"], document["student"])
        and not entry["steps"]
    ]


def arm_name(difficulty: str, correctness: str) -> str:
    """What was trained on, in a word."""
    if difficulty == "all" or correctness == "all":
        return (
            {"all": "all traces"}.get(correctness, correctness)
            if difficulty == "all"
            else difficulty
        )
    return f"{difficulty}, {correctness}"


def _headline(document: Document, against: str) -> tuple[str, str]:
    """The correlations of both rates with size or score, and whether their intervals leave out zero."""
    found = {c["rate"]: c[against] for c in document["correlations"] if c[against] is not None}
    if not found:
        return "INCONCLUSIVE", f"too few trained arms to correlate rates with {against}"
    shown, said = [], []
    for metric, label in RATES.items():
        if metric not in found:
            continue
        low, high = found[metric]["interval"]
        if low > 0 or high < 0:
            way = "rises" if low > 0 else "falls"
            shown.append(f"{label} {way}")
        value = correlated(found[metric], sign="+")
        said.append(f"{label.removeprefix('thought ')} {value}")
    lead = f"{' and '.join(shown)} with {against}" if shown else "INCONCLUSIVE"
    return lead[0].upper() + lead[1:], f"rank correlations: {', '.join(said)}"


def _rate_axis(axes: Axes) -> None:
    axes.set_ylim(-0.06, 1.08)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color="#dddddd", linewidth=0.5)


def _complement(share: Any) -> Any:
    return 1 - share


def _truncated_axis(axes: Axes) -> None:
    """Truncated is what is not completed: the same points, read at the right."""
    right = axes.secondary_yaxis("right", functions=(_complement, _complement))
    right.set_ylabel("truncated")
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    right.spines["right"].set_visible(True)


def _draw_arms(axes: Axes, entries: list[Document], metric: str, sizes: list[int]) -> None:
    baseline = [entry for entry in entries if entry["size"] == 0]
    if baseline and sizes:
        color, marker = ARM_LOOKS["all", "all"]
        level(axes, baseline[0][metric], "baseline", color, True, linewidth=0.9, linestyle=":")
        error_bars(
            axes,
            [0],
            [baseline[0][metric]],
            "baseline",
            [zero_place(sizes)],
            color=color,
            marker=marker,
            linestyle="none",
        )
    subsets = dict.fromkeys((e["difficulty"], e["correctness"]) for e in entries if e["size"])
    for subset in sorted(subsets, key=lambda s: [*ARM_LOOKS, s].index(s)):
        arms = [e for e in entries if e["size"] and (e["difficulty"], e["correctness"]) == subset]
        arms.sort(key=lambda entry: entry["size"])
        color, marker = ARM_LOOKS.get(subset, OTHER_ARM)
        name = arm_name(*subset)
        look: dict[str, Any] = {"color": color, "marker": marker, "label": name}
        look["linestyle"] = "-" if len(arms) > 1 else "none"
        at = [arm["size"] for arm in arms]
        places = [size * BESIDE.get(subset, 1.45) for size in at]
        error_bars(axes, at, [arm[metric] for arm in arms], name, places, **look)


def _draw_at_score(axes: Axes, entry: Document, metric: str, stages: list[int]) -> None:
    subset = (entry["difficulty"], entry["correctness"])
    color, marker = ARM_LOOKS.get(subset, OTHER_ARM)
    name = "baseline" if entry["size"] == 0 else arm_name(*subset)
    score, rate = entry["score"], entry[metric]
    axes.errorbar(
        [score["value"]],
        [rate["value"]],
        xerr=[[score["value"] - score["interval"][0]], [score["interval"][1] - score["value"]]],
        yerr=[[rate["value"] - rate["interval"][0]], [rate["interval"][1] - rate["value"]]],
        color=GREY if name == "baseline" else color,
        marker="s" if name == "baseline" else marker,
        fillstyle=STAGE_FILLS[stages.index(entry["stage"]) % len(STAGE_FILLS)],
        elinewidth=0.6,
        linestyle="none",
        label=name,
    )
    series = f"{name}, stage {entry['stage']}, {entry['size']} {unit()}"
    note(axes, series, "rate, 95 % interval", score["value"], rate["value"], *rate["interval"])
