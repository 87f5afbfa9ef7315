"""Score against what a training took instead of its size, drawn from the document of `summary.py` alone."""

from __future__ import annotations

import sentences
from drawing import ARM_LOOKS, GREEN, OTHER_ARM, WIDTH_IN, frame
from figure_behaviour import arm_name
from marks import Drawing, error_bars, level
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from sentences import Document
from size_unit import counted

MEASURES = {"steps": "optimizer steps", "tokens": "tokens trained on", "hours": ""}
"""By the name in the document, the axis' label; the hours' is their unit."""


def cost(document: Document) -> Drawing:
    """pass@1 against optimizer steps, trained tokens and GPU-hours (of CPUs, core-hours)."""
    entries = [
        entry
        for entry in document["behaviour"]
        if (entry["profile"], entry["student"]) == (document["profile"], document["student"])
        and entry["stage"] == document["stage"]
    ]
    units = {entry["train"]["unit"] for entry in entries if entry["train"]} - {None}
    figure = Drawing(WIDTH_IN, 3.5)
    row = figure.subplots(1, len(MEASURES), sharey=True)
    for axes, (measure, label) in zip(row, MEASURES.items(), strict=True):
        unit = units.pop() if measure == "hours" and len(units) == 1 else "GPU- or core-hours"
        axes.set_label(label or unit)
        axes.set_xlabel(label or unit)
        _draw(axes, document, [e for e in entries if e["train"] and e["train"][measure]], measure)
    row[0].set_ylabel("pass@1")
    row[0].set_ylim(0, None)
    row[0].set_ylim(-0.02 * row[0].get_ylim()[1], row[0].get_ylim()[1])
    small = [f"asked as {document['profile']}", f"student {document['student']}"]
    small += [f"stage {document['stage']}", "hours of training alone, as measured"]
    frame(figure, document, *_headline(document), small, row)
    return figure


def _headline(document: Document) -> tuple[str, str]:
    """What the twins of the lowest size say: whether steps or traces were short."""
    trough = document["trough"]
    twins = [
        twin
        for twin in document["twins"]
        if (twin["profile"], twin["stage"]) == (document["profile"], document["stage"])
    ]
    if trough is None or not twins:
        return (
            "INCONCLUSIVE",
            "no twins with other numbers of steps: size and steps go together here",
        )
    # The twin of the lowest size, or else of the size nearest to it.
    twin = min(twins, key=lambda t: (abs(t["size"] - trough["size"]), -t["steps"]))
    gain = twin["difference_to_usual"]
    low, high = gain["interval"]
    said = (
        f"{counted(twin['size'])} with {twin['steps']:,} instead of {twin['usual_steps']:,} steps: "
        f"{sentences.points(gain['value'], True)} points "
        f"({sentences.points(low, True)} to {sentences.points(high, True)}, paired)"
    )
    if low > 0:
        return f"More steps on the same {counted(twin['size'])} score higher", said
    if high < 0:
        return f"More steps on the same {counted(twin['size'])} score lower", said
    return "INCONCLUSIVE: no gain of more steps is shown", said


def _draw(axes: Axes, document: Document, entries: list[Document], measure: str) -> None:
    if document["baseline"] is not None:
        level(
            axes,
            document["baseline"],
            "baseline",
            "#666666",
            True,
            linewidth=0.9,
            linestyle=":",
            label="baseline",
        )
    kinds: dict[tuple[str, str, bool], list[Document]] = {}
    for entry in entries:
        key = (entry["difficulty"], entry["correctness"], bool(entry["steps"]))
        kinds.setdefault(key, []).append(entry)
    for (difficulty, correctness, twin), there in kinds.items():
        there.sort(key=lambda entry: (entry["size"], entry["train"][measure]))
        color, marker = ARM_LOOKS.get((difficulty, correctness), OTHER_ARM)
        curve = len(there) > 1 and not twin
        name = arm_name(difficulty, correctness) + (", twins" if twin else "")
        error_bars(
            axes,
            [entry["train"][measure] for entry in there],
            [entry["score"] for entry in there],
            name,
            color=GREEN if twin else color,
            marker="D" if twin else marker,
            linestyle="-" if curve else "none",
            label=name,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=5))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if not entries:
        axes.set_xlim(1, 10)
