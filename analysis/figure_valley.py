"""The valley: score against size over four aligned panels, drawn from the document of `summary.py` alone."""

from __future__ import annotations

from textwrap import fill

import sentences
from drawing import (
    BLACK,
    FURTHER_LOOKS,
    GREEN,
    GREY,
    PROFILE_LOOKS,
    WIDTH_IN,
    frame,
    size_axis,
    zero_place,
)
from figure_otherwise import cross_otherwise
from figure_panels import PANELS, Look, draw_panel
from marks import Drawing, error_bars, fit_margin, hollow, level, margin_labels, note, points
from matplotlib.axes import Axes
from sentences import Document
from size_unit import axis_label
from valley_title import finding, seeds_by_size

TWIN_MARKERS = ("D", "P", "X", "v")
OVERLAY_MARKERS = ("*", "h", "p", "8")
DOTS = (0, (1, 1.5))
"""Of baselines: profiles' curves are solid, dashed or dash-dotted."""
HEIGHT_IN = 2.5
LEAST_IN = 2.0
"""What the layout leaves the first panel of its height, at least."""
PANEL_IN = 0.95
AROUND_IN = 1.7
"""For the headline, the legend and the small print."""


Curve = tuple[Document, tuple[str, str, int], Look]
"""A series of the document with its `name`; its profile, student and stage; how it looks."""


def valley(document: Document) -> Drawing:
    """Score against size, and under it, of one width, what tells a valley from an artefact."""
    figure = Drawing(WIDTH_IN, HEIGHT_IN + PANEL_IN * len(PANELS) + AROUND_IN)
    rows = figure.subplots(
        1 + len(PANELS), sharex=True, height_ratios=[HEIGHT_IN, *[PANEL_IN] * len(PANELS)]
    )
    axes = rows[0]
    axes.set_label("pass@1")
    series = _with_looks(document)
    planned = _planned_sizes(document)
    size_axis(axes, planned, zero=True)
    _draw_band(axes, document)
    for offset, (one, _, look) in enumerate(series):
        _draw_curve(axes, one, look, 1.0 + 0.06 * offset, planned)
    _draw_baselines(axes, series)
    _draw_twins(axes, [t for t in document["twins"] if t["profile"] == document["profile"]])
    _draw_overlays(axes, document["overlays"], planned)
    _draw_landmarks(axes, document)
    crossed = cross_otherwise(
        axes, document, [(one["name"], key) for one, key, _ in series], planned
    )
    axes.set_ylabel("pass@1")
    axes.set_ylim(0, None)
    top = min(1.02, max(0.05, axes.get_ylim()[1]))
    axes.set_ylim(-0.02 * top, top)  # so that a marker at zero is whole
    _label_margin(axes, series)
    hollow(axes, document["missing_sizes"])
    for panel, metric in zip(rows[1:], PANELS, strict=True):
        draw_panel(panel, document, metric, [(key, look) for _, key, look in series], planned)
    rows[-1].set_xlabel(f"{axis_label()} (log scale, broken at the left for the baseline at 0)")
    size_axis(rows[-1], planned, zero=True)
    for row in rows[:-1]:
        row.tick_params(labelbottom=False)
    seeds = f"seeds: {seeds_by_size(document['curve'])}" if document["curve"] else ""
    students = "student " + ", ".join(document["students"])
    small_print = [students, f"stage {document['stage']}", seeds]
    undrawn = 1 + len(document["profiles"]) + len(document["further_curves"]) - len(series)
    small_print += [f"{undrawn} further curves are in valley.json alone"] if undrawn else []
    small_print += [f"{o['label']}: {o['evaluation']}" for o in document["overlays"]]
    small_print += [f"crossed, made otherwise than most: {'; '.join(crossed)}"] if crossed else []
    headline = sentences.label(document["valley"])
    frame(figure, document, headline, finding(document), small_print, [axes], AROUND_IN)
    return figure


def _with_looks(document: Document) -> list[Curve]:
    """The curves: profiles, then further stages and students; each with profile, student and stage."""
    student, stage = document["student"], document["stage"]
    several = bool(document["students"][1:])
    found: list[Curve] = []
    profiles = [document, *document["profiles"].values()]
    for one, look in zip(profiles, PROFILE_LOOKS, strict=False):
        name = ", ".join([*([student] if several else []), one["profile"]])
        found.append((one | {"name": name}, (one["profile"], student, stage), look))
    for one, look in zip(document["further_curves"], FURTHER_LOOKS, strict=False):
        stages = [f"stage {one['stage']}"] if one["stage"] != stage else []
        name = ", ".join([*([one["student"]] if several else []), *stages])
        found.append((one | {"name": name}, (one["profile"], one["student"], one["stage"]), look))
    return found


def _planned_sizes(document: Document) -> list[int]:
    """Every size on the axis: planned in some curve, or published."""
    every = [document, *document["profiles"].values(), *document["further_curves"]]
    found = {point["size"] for one in every for point in one["curve"]}
    found |= {size for one in every for size in one["missing_sizes"]}
    published = (s for overlay in document["overlays"] for s in overlay["series"])
    return sorted(found | {p["size"] for s in published for p in s["points"] if p["size"]})


def _draw_band(axes: Axes, document: Document) -> None:
    """From all truncated answers counted wrong to all counted right."""
    band = (document["truncation"] or {"band": {}})["band"]
    sizes = sorted(int(size) for size in band if size != "0")
    if not sizes:
        return
    low, high = ([band[str(size)][end] for size in sizes] for end in (0, 1))
    axes.fill_between(
        sizes,
        low,
        high,
        color=PROFILE_LOOKS[0][0],
        alpha=0.16,
        linewidth=0,
        zorder=0.5,
        label="truncated answers all wrong … all right",
    )
    for size in ("0", *map(str, sizes)):
        note(axes, document["profile"], "truncated all wrong to all right", size, None, *band[size])


def _draw_curve(axes: Axes, series: Document, look: Look, shift: float, planned: list[int]) -> None:
    color, marker, line = look
    name = series["name"]
    for point in series["curve"]:
        if len(point["seeds"]) > 1:
            values = list(point["seeds"].values())
            points(
                axes,
                [point["size"]] * len(values),
                values,
                name,
                "one seed",
                places=[point["size"] * shift * 0.965] * len(values),
                linestyle="none",
                marker="o",
                markersize=2.6,
                color=color,
                alpha=0.5,
                markeredgewidth=0,
                zorder=2,
            )
    sizes = [point["size"] for point in series["curve"]]
    shared = {"color": color, "marker": marker, "zorder": 3}
    if series["baseline"] is not None and planned:
        place = [zero_place(planned) * shift]
        error_bars(axes, [0], [series["baseline"]], name, place, linestyle="none", **shared)
    if sizes:
        label = f"{name}: mean over seeds, 95 % interval"
        places = [size * shift for size in sizes]
        error_bars(
            axes, sizes, series["curve"], name, places, linestyle=line, label=label, **shared
        )


def _draw_baselines(axes: Axes, series: list[Curve]) -> None:
    """A dotted line across the plot for each curve, and a band for the first."""
    if (first := series[0][0]["baseline"]) is not None:
        color = series[0][2][0]
        axes.axhspan(*first["interval"], color=color, alpha=0.1, linewidth=0, zorder=0)
    for value, names, color in _baselines(series):
        level(axes, value, " and ".join(names), color, False, linewidth=1.1, linestyle=DOTS)


def _baselines(
    series: list[Curve],
) -> list[tuple[float, list[str], str]]:
    """Each height of a baseline, the curves that have it, and its colour: black where they share it."""
    found: dict[float, list[tuple[str, str]]] = {}
    for one, _, (color, *_) in series:
        if one["baseline"] is not None:
            found.setdefault(one["baseline"]["value"], []).append((one["name"], color))
    return [
        (value, [name for name, _ in whose], BLACK if whose[1:] else whose[0][1])
        for value, whose in found.items()
    ]


def _label_margin(axes: Axes, series: list[Curve]) -> None:
    """Each curve's name at its end, and each baseline's height in its colour, in the right margin.

    Names that do not fit stand in the legend alone.
    """
    names = [
        (one["curve"][-1]["value"], fill(one["name"], 16), look[0])
        for one, _, look in series
        if one["curve"]
    ]
    heights = [(value, f"baseline {value:.3f}", color) for value, _, color in _baselines(series)]
    every = [*names, *heights]
    margin_labels(axes, every if fit_margin(every, LEAST_IN) else heights, HEIGHT_IN)


def _draw_overlays(axes: Axes, overlays: list[Document], planned: list[int]) -> None:
    """Published points, hollow and in black, since they are of another evaluation."""
    every = [(overlay, series) for overlay in overlays for series in overlay["series"]]
    for number, (overlay, series) in enumerate(every):
        sizes = [point["size"] for point in series["points"]]
        points(
            axes,
            sizes,
            [point["score"] for point in series["points"]],
            f"{overlay['label']}: {series['name']}",
            "published",
            places=[size or zero_place(planned) for size in sizes],
            marker=OVERLAY_MARKERS[number % len(OVERLAY_MARKERS)],
            markersize=8,
            markerfacecolor="none",
            markeredgecolor=BLACK,
            color=GREY,
            linewidth=0.7,
            linestyle=DOTS,
            zorder=4.5,
            label=f"{overlay['label']}: {series['name']}",
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
            [twin["size"] for twin in there],
            there,
            f"twins with {steps:,} steps",
            [twin["size"] * 0.93 ** (number + 1) for twin in there],
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
    note(axes, document["profile"], "lowest", trough["size"], trough["value"], *trough["interval"])
    if not document["valley"]["significant"] or recovery is None or recovery["value"] is None:
        return
    low, high = recovery["interval"]
    note(axes, document["profile"], "baseline crossed at", recovery["value"], None, low, high)
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
