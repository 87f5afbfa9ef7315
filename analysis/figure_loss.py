"""The trainings' losses, drawn from the document of `summary.py` alone."""

from __future__ import annotations

import matplotlib
from drawing import WIDTH_IN, frame, tick
from marks import Drawing, margin_labels, points
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from sentences import Document
from size_unit import unit

HEIGHT_IN = 2.6
LABELS = 12
"""Of curves, at most, each with its size at its end."""


def losses(document: Document) -> Drawing:
    """Training loss against optimizer steps: a line per training, darker for more traces."""
    subset = (document["difficulty"], document["correctness"])
    entries = [
        entry
        for entry in document["losses"]
        if (entry["student"], entry["stage"]) == (document["student"], document["stage"])
        and entry["curve"]
    ]
    entries.sort(key=lambda entry: (entry["size"], entry["seed"]))
    curves = [e for e in entries if (e["difficulty"], e["correctness"]) == subset]
    usual = [entry for entry in curves if entry.get("train.steps") is None] or curves
    twins = [entry for entry in curves if entry not in usual]
    figure = Drawing(WIDTH_IN, 4.1)
    axes = figure.add_subplot()
    axes.set_label("training loss")
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = list(dict.fromkeys(entry["size"] for entry in usual))
    colors = dict(zip(sizes, _shades(len(sizes)), strict=True))
    for entry in usual:
        _draw(axes, entry, colors[entry["size"]], "-", 0.9)
    for number, entry in enumerate(twins):
        label = "twins with other numbers of steps" if number == 0 else None
        _draw(axes, entry, colors.get(entry["size"], "#666666"), (0, (2, 1)), 0.7, label)
    axes.set_xlabel("optimizer steps (log scale)")
    axes.set_ylabel("training loss (log scale)")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    _label_ends(axes, usual, colors)
    frame(figure, document, *_headline(usual), _small_print(document, entries, curves), [axes])
    return figure


def _shades(number: int) -> list[str]:
    """From light to dark, of one colour-blind safe ramp without its palest end."""
    ramp = matplotlib.colormaps["cividis_r"]
    places = (0.15 + 0.85 * n / max(1, number - 1) for n in range(number))
    return [matplotlib.colors.to_hex(ramp(place)) for place in places]


def _draw(
    axes: Axes, entry: Document, color: str, line: object, width: float, label: str | None = None
) -> None:
    steps, values = zip(*entry["curve"], strict=True)
    points(
        axes,
        steps,
        values,
        entry["cell"],
        "mean loss of the steps up to here",
        color=color,
        linestyle=line,
        linewidth=width,
        marker="." if len(steps) == 1 else "",
        label=label,
    )


def _label_ends(axes: Axes, entries: list[Document], colors: dict[int, str]) -> None:
    """Sizes in the right margin at their curves' last losses, the first seed's; spread over all sizes."""
    ends = {entry["size"]: entry["curve"][-1][1] for entry in reversed(entries)}
    sizes = sorted(ends)
    every = -(-len(sizes) // LABELS) or 1
    low, high = axes.get_ylim()
    scale = axes.transScale
    labels = []
    for size in reversed(list(reversed(sizes))[::every]):
        height = scale.transform((1, ends[size]))[1]
        labels.append((height, f"{tick(size)} {unit() if size > 1 else unit()[:-1]}", colors[size]))
    bottom, top = (scale.transform((1, bound))[1] for bound in (low, high))
    # The labels' heights are shares of the axes', which are logarithmic.
    shares = [((height - bottom) / (top - bottom), text, color) for height, text, color in labels]
    margin_labels(axes, shares, HEIGHT_IN, limits=(0.0, 1.0))


def _headline(entries: list[Document]) -> tuple[str, str]:
    """Where the losses end; nothing is tested of them."""
    if not entries:
        return "No training has logged a loss yet", "a training writes its loss at every step"
    broken = [entry for entry in entries if entry["not_finite"]]
    if broken:
        names = ", ".join(entry["cell"] for entry in broken[:2])
        return f"{len(broken)} of {len(entries)} losses are not finite", f"such as {names}"
    last = [(entry["curve"][-1][1], entry["size"]) for entry in entries]
    (low, at_low), (high, at_high) = min(last), max(last)
    return (
        "Training losses (descriptive; no test is made of them)",
        f"they end between {low:.2g} (size {at_low:,}) and {high:.2g} (size {at_high:,})",
    )


def _small_print(document: Document, entries: list[Document], curves: list[Document]) -> list[str]:
    parts = [f"student {document['student']}", f"stage {document['stage']}"]
    parts.append(f"{len(curves)} trainings, a line for each seed")
    if running := sum(1 for entry in curves if not entry["done"]):
        parts.append(f"{running} of them not done")
    if others := len(entries) - len(curves):
        parts.append(f"{others} trainings on other kinds of traces not drawn")
    return parts
