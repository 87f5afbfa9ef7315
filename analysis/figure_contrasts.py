"""Pairs of arms: easy − hard and correct − incorrect, drawn from the document of `summary.py` alone."""

from __future__ import annotations

from collections import Counter

from drawing import BLACK, GREY, PROFILE_LOOKS, SMALL, WIDTH_IN, frame, tick
from marks import HOLLOW, Drawing, note
from matplotlib.axes import Axes
from sentences import Document
from size_unit import unit


def contrasts(document: Document) -> Drawing:
    """Easy − hard and correct − incorrect by stage, as paired differences around a zero line."""
    entries, missing = document["contrasts"], document["contrasts_missing"]
    profiles = [document["profile"], *document["profiles"]]
    rows = list(dict.fromkeys(map(_row, [*entries, *missing])))
    rows.sort(key=lambda row: (row[0] != "difficulty", row[3], row[4]))
    figure = Drawing(WIDTH_IN, 1.7 + 0.55 * max(1, len(rows)))
    axes = figure.add_subplot()
    axes.set_label("paired difference of pass@1")
    axes.axvline(0, color=BLACK, linewidth=0.9)
    looks = dict(zip(profiles, PROFILE_LOOKS, strict=False))
    for entry in [*entries, *missing]:
        if entry["profile"] not in looks:
            continue
        color, marker, _ = looks[entry["profile"]]
        place = rows.index(_row(entry))
        height = place + 0.3 * (profiles.index(entry["profile"]) - (len(profiles) - 1) / 2)
        if "difference" in entry:
            _draw_contrast(axes, entry, height, color, marker)
        else:
            _draw_missing(axes, entry, height, color)
    for profile, (color, marker, _) in looks.items():
        axes.plot([], [], color=color, marker=marker, linestyle="none", label=profile)
    axes.set_yticks(
        range(len(rows)),
        [f"{row[1]} − {row[2]}\nstage {row[3]}, {tick(row[4])} {unit()}" for row in rows],
    )
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axes.set_xlabel("difference of pass@1 in points, paired over problems, 95 % interval")
    axes.annotate(
        "pass@1 of each", (1.01, 1.0), xycoords="axes fraction", fontsize=SMALL, color=GREY
    )
    if not entries:
        axes.set_xlim(-10, 10)
    unmeasured = any(not entry["seeds_measured"] for entry in entries)
    frame(
        figure,
        document,
        _headline(entries),
        "easy − hard and correct − incorrect on the same problems, corrected (Holm) by profile"
        if entries
        else "no pair has both its scores yet"
        if document["contrasts_planned"]
        else "this grid has no easy and hard, or correct and incorrect, cells to compare",
        ["seed noise unmeasured" if unmeasured else "", f"student {document['student']}"],
        [axes],
    )
    return figure


def _row(entry: Document) -> tuple[str, str, str, int, int]:
    better, worse = entry["pair"]
    return entry["axis"], better, worse, entry["stage"], entry["size"]


def _headline(entries: list[Document]) -> str:
    """How many pairs have which verdict."""
    found = Counter(entry["verdict"] for entry in entries)
    if not found:
        return "INCONCLUSIVE: no pair to compare"
    if set(found) == {"INCONCLUSIVE"}:
        return f"INCONCLUSIVE: none of {len(entries)} pairs is told apart"
    verdicts = ("DIFFERENT", "EQUIVALENT", "INCONCLUSIVE")
    counted = ", ".join(f"{found[verdict]} {verdict}" for verdict in verdicts if found[verdict])
    return f"{counted} of {len(entries)} pairs"


def _draw_missing(axes: Axes, entry: Document, height: float, color: str) -> None:
    """A hollow mark at zero where a score of the pair is missing."""
    axes.plot([0], [height], **HOLLOW | {"markeredgecolor": color})
    where = ("axes fraction", "data")
    axes.annotate(
        "missing", (1.01, height), xycoords=where, va="center", fontsize=SMALL, color=color
    )
    note(axes, entry["profile"], "missing", _spelled(entry), None)


def _spelled(entry: Document) -> str:
    better, worse = entry["pair"]
    return f"{better} - {worse}, stage {entry['stage']}, {entry['size']} {unit()}"


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
    difference = entry["difference"]
    note(
        axes,
        entry["profile"],
        f"difference, 95 % interval, {entry['verdict']}",
        _spelled(entry),
        difference["value"],
        *difference["interval"],
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
