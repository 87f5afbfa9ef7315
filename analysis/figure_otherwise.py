"""Crosses on the valley's points that were made with other code, backends or packages than most are."""

from __future__ import annotations

from typing import Any

from drawing import tick, zero_place
from figure_panels import curve_of
from marks import note
from matplotlib.axes import Axes
from sentences import Document

LABEL = "made otherwise than most (MIXED, below)"


def cross_otherwise(
    axes: Axes,
    document: Document,
    series: list[tuple[str, tuple[str, str, int]]],
    planned: list[int],
) -> list[str]:
    """Cross those points, and say for each series at which sizes they are.

    Args:
        series: name, and profile, student and stage, in the order that they are drawn in.
    """
    places, heights, said = [], [], []
    found = [
        (name, 1.0 + 0.06 * offset, [e for e in curve_of(document, *key) if e["made_otherwise"]])
        for offset, (name, key) in enumerate(series)
    ]
    for name, shift, entries in [*found, *_twins(document)]:
        for entry in entries:
            places.append((entry["size"] or zero_place(planned)) * shift)
            heights.append(entry["score"]["value"])
            facts = f"made otherwise than most: {', '.join(entry['made_otherwise'])}"
            note(axes, name, facts, entry["size"], heights[-1])
        if entries:
            said.append(f"{name} at {', '.join(tick(entry['size']) for entry in entries)}")
    if places:
        look: dict[str, Any] = {
            "marker": "x",
            "markersize": 4,
            "color": "black",
            "linestyle": "none",
            "zorder": 6,
        }
        axes.plot(places, heights, label=LABEL, markeredgewidth=0.9, clip_on=False, **look)
    return said


def _twins(document: Document) -> list[tuple[str, float, list[Document]]]:
    """The twins of the valley's stage by their steps, each with its shift beside its size."""
    drawn = [twin for twin in document["twins"] if twin["profile"] == document["profile"]]
    if not drawn:
        return []
    shown = {_arm(twin) for twin in drawn if twin["stage"] == drawn[0]["stage"]}
    every = [
        entry
        for entry in document["behaviour"]
        if entry["made_otherwise"]
        and _arm(entry) in shown
        and (entry["profile"], entry["student"], entry["stage"])
        == (document["profile"], document["student"], drawn[0]["stage"])
    ]
    return [
        (
            f"twins with {steps:,} steps",
            0.93 ** (number + 1),
            [entry for entry in every if entry["steps"] == steps],
        )
        for number, steps in enumerate(sorted({arm[-1] for arm in shown}))
    ]


def _arm(entry: Document) -> tuple[Any, ...]:
    return entry["size"], entry["difficulty"], entry["correctness"], entry["steps"]
