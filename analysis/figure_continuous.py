"""The size curve on continuous metrics, drawn from the document of `summary.py` alone."""

from __future__ import annotations

from drawing import BLACK, BLUE, WIDTH_IN, error_bars, frame, size_axis
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sentences import Document

LABELS = {
    "tests_passed_before_first_failure": "share of tests passed\nbefore the first failure",
    "nll_per_token": "nats per token of\nheld-out traces",
}


def continuous(document: Document) -> Figure | None:
    """A panel per metric, one below the other; None where the results hold none."""
    found = document["continuous"] or {}
    if not found:
        return None
    figure = Figure(figsize=(WIDTH_IN, 1.5 + 1.7 * len(found)))
    panels = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
    sizes = sorted({point["size"] for metric in found.values() for point in metric["curve"]})
    for axes, (name, metric) in zip(panels, found.items(), strict=True):
        _panel(axes, metric)
        axes.set_ylabel(LABELS[name])
        size_axis(axes, sizes)
    panels[-1].set_xlabel(f"traces of stage {document['stage']}")
    counted = [
        f"{metric['counted']} {'held-out traces' if name == 'nll_per_token' else 'problems'}"
        for name, metric in found.items()
    ]
    unmeasured = any(metric["seed_sd"] is None for metric in found.values())
    frame(
        figure,
        document,
        "The same curve on continuous metrics",
        _finding(found),
        [" and ".join(counted), "seed noise unmeasured" if unmeasured else ""],
        panels,
    )
    return figure


def _panel(axes: Axes, metric: Document) -> None:
    base = metric["baseline"]
    dashes = (0, (5, 3))
    axes.axhline(base["value"], color=BLACK, linewidth=0.9, linestyle=dashes, label="baseline")
    axes.axhspan(*base["interval"], color=BLACK, alpha=0.12, linewidth=0)
    places = [point["size"] for point in metric["curve"]]
    error_bars(axes, places, metric["curve"], color=BLUE, marker="o", label="mean, 95 % interval")
    axes.grid(axis="y", color="#dddddd", linewidth=0.5)


def _finding(found: dict[str, Document]) -> str:
    short = {"tests_passed_before_first_failure": "tests passed", "nll_per_token": "likelihood"}
    said = [
        f"{short[name]} {metric['shape']['verdict']}"
        for name, metric in found.items()
        if metric["shape"] is not None
    ]
    return f"shape after the trough of pass@1: {', '.join(said)}" if said else "no shape to be told"
