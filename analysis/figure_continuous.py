"""The size curve on continuous metrics and as pass@k, drawn from the document of `summary.py` alone."""

from __future__ import annotations

from drawing import BLACK, BLUE, WIDTH_IN, frame, size_axis, tick
from marks import Drawing, error_bars, level
from matplotlib.axes import Axes
from sentences import Document
from size_unit import unit

LABELS = {
    "tests_passed_before_first_failure": "share of tests passed\nbefore the first failure",
    "nll_per_token": "nats per token of\nheld-out traces",
}


def continuous(document: Document) -> Drawing | None:
    """A panel per metric, one below the other; None where the results hold none."""
    return _figure(document, document["continuous"] or {}, "The same curve on continuous metrics")


def pass_at_k(document: Document) -> Drawing | None:
    """A panel per k above 1 whose pass@k was asked for, one below the other; None where none was."""
    found = document["pass_at_k"]
    k = " and ".join(name.removeprefix("pass@") for name in found)
    return _figure(document, found, f"The same curve as {' and '.join(found)}", k)


def _figure(
    document: Document, found: dict[str, Document], title: str, k: str = "1"
) -> Drawing | None:
    if not found:
        return None
    figure = Drawing(WIDTH_IN, 1.5 + 1.7 * len(found))
    panels = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
    sizes = sorted({point["size"] for metric in found.values() for point in metric["curve"]})
    for axes, (name, metric) in zip(panels, found.items(), strict=True):
        label = LABELS.get(name, name)
        axes.set_label(label)
        _panel(axes, metric)
        axes.set_ylabel(label)
        size_axis(axes, sizes)
    panels[-1].set_xlabel(f"{unit()} of stage {document['stage']}")
    counted = [_counted(name, metric) for name, metric in found.items()]
    unmeasured = any(metric["seed_sd"] is None for metric in found.values())
    frame(
        figure,
        document,
        title,
        _finding(found),
        [" and ".join(dict.fromkeys(counted)), "seed noise unmeasured" if unmeasured else ""],
        panels,
        k=k,
    )
    return figure


def _counted(name: str, metric: Document) -> str:
    """What a metric is the mean of, and what has no place in it."""
    number, left_out = metric["counted"], metric["left_out"]
    text = f"{number} {'held-out traces' if name == 'nll_per_token' else 'problems'}"
    if left_out["of_counted"]:
        text = text.replace(" ", f" of {number + left_out['of_counted']} ", 1)
    if left_out["sizes"]:
        text += f" (left out: size {', '.join(map(tick, left_out['sizes']))})"
    return text


def _panel(axes: Axes, metric: Document) -> None:
    dashes = (0, (5, 3))
    look = {"linewidth": 0.9, "linestyle": dashes, "label": "baseline"}
    level(axes, metric["baseline"], "baseline", BLACK, True, **look)
    sizes = [point["size"] for point in metric["curve"]]
    label = "mean, 95 % interval"
    error_bars(axes, sizes, metric["curve"], unit(), color=BLUE, marker="o", label=label)
    axes.grid(axis="y", color="#dddddd", linewidth=0.5)


def _finding(found: dict[str, Document]) -> str:
    short = {"tests_passed_before_first_failure": "tests passed", "nll_per_token": "likelihood"}
    said = [
        f"{short.get(name, name)} {metric['shape']['verdict']}"
        for name, metric in found.items()
        if metric["shape"] is not None
    ]
    return f"shape after the trough of pass@1: {', '.join(said)}" if said else "no shape to be told"
