"""Score by the difficulty of the evaluation's problems, drawn from the document of `summary.py` alone."""

from __future__ import annotations

from typing import Any

from drawing import BLACK, PROFILE_LOOKS, WIDTH_IN, frame, size_axis, zero_place
from marks import Drawing, error_bars, hollow, level, margin_labels
from sentences import Document
from size_unit import axis_label

LOOKS: tuple[tuple[str, str, Any], ...] = (
    ("#44AA99", "^", "-"),
    ("#999933", "o", "--"),
    ("#882255", "v", "-."),
    (BLACK, "D", ":"),
    PROFILE_LOOKS[1],
    PROFILE_LOOKS[0],
)
HEIGHT_IN = 2.6


def difficulty(document: Document) -> Drawing:
    """pass@1 of the easy, medium and hard problems against size."""
    levels = document["by_level"]["levels"]
    figure = Drawing(WIDTH_IN, 4.1)
    axes = figure.add_subplot()
    axes.set_label("pass@1 by difficulty")
    sizes = sorted(
        {point["size"] for one in levels for point in one["curve"]} | {*document["missing_sizes"]}
    )
    size_axis(axes, sizes, zero=True)
    labels = []
    shown = list(zip(levels, LOOKS, strict=False))
    for number, (one, (color, marker, line)) in enumerate(shown):
        shift = 1 + 0.07 * (number - (len(shown) - 1) / 2)
        name = f"{one['name']} ({one['problems']} problems)"
        look: dict[str, Any] = {"color": color, "marker": marker}
        if one["baseline"] is not None and sizes:
            place = [zero_place(sizes) * shift]
            error_bars(axes, [0], [one["baseline"]], name, place, linestyle="none", **look)
            level(axes, one["baseline"], name, color, False, linewidth=0.9, linestyle=(0, (1, 1.5)))
        at = [point["size"] for point in one["curve"]]
        if at:
            places = [size * shift for size in at]
            error_bars(axes, at, one["curve"], name, places, linestyle=line, label=name, **look)
            labels.append((one["curve"][-1]["value"], one["name"], color))
    axes.set_ylim(0, None)
    axes.set_ylim(-0.02 * axes.get_ylim()[1], min(1.04, axes.get_ylim()[1]))
    margin_labels(axes, labels, HEIGHT_IN)
    hollow(axes, document["missing_sizes"])
    axes.set_xlabel(f"{axis_label()} (log scale, broken at the left for the baseline at 0)")
    axes.set_ylabel("pass@1")
    small = [f"asked as {document['profile']}", f"student {document['student']}"]
    small += [f"stage {document['stage']}", "dotted: each difficulty's baseline"]
    frame(figure, document, *_headline(levels), small, [axes])
    return figure


def _headline(levels: list[Document]) -> tuple[str, str]:
    """On which problems a fall is shown, corrected for all difficulties and sizes."""
    if not levels:
        return "INCONCLUSIVE", "the evaluation set names one difficulty or none, or is not at hand"
    fell = [
        one["name"]
        for one in levels
        if any(point["fall"] and point["fall"]["interval"][0] > 0 for point in one["curve"])
    ]
    tests = sum(len(one["curve"]) for one in levels)
    how = f"95 %, paired, corrected (Bonferroni) for {tests} comparisons with the baselines"
    if not fell:
        return "INCONCLUSIVE: no fall is shown at any difficulty", how
    if len(fell) == len(levels):
        return "The score falls at every difficulty", how
    return f"A fall is shown on {' and '.join(fell)} problems only", how
