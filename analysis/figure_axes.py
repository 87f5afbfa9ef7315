"""Score against any axis of a sweep: `plot_valley.py --x AXIS --hue AXIS --facet AXIS`.

A point is the mean of all cells that agree on the three axes and on every other axis but the seed. Cells
that differ in another axis are never averaged: choose one of its values with `--where`.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import drawing
import numpy as np
import pandas as pd
from arms import STEPS_AXIS, passed
from collect import Collected
from marks import HOLLOW, Drawing, error_bars
from matplotlib.axes import Axes
from results import Key
from sentences import Document

from valley.errors import UserError
from valley.statistics import Cell, SeedNoise, score_interval, seed_noise
from valley.where import spelled

UNSET = "unset"
LOOKS = (
    (drawing.BLUE, "o", "-"),
    (drawing.VERMILION, "s", "--"),
    (drawing.GREEN, "^", "-."),
    (drawing.PURPLE, "D", ":"),
    (drawing.AMBER, "v", "-"),
    (drawing.SKY, "P", "--"),
)
MOST_PANELS = 6
MOST_NAMED = 8


@dataclass(frozen=True)
class Wanted:
    """Which axes the figure shows: along x, as series, as panels."""

    x: str
    hue: str | None = None
    facet: str | None = None

    @property
    def named(self) -> list[str]:
        """All that were asked for."""
        return [axis for axis in (self.x, self.hue, self.facet) if axis is not None]


def points_of(collected: Collected, wanted: Wanted, profile: str | None) -> pd.DataFrame:
    """A row per point: its axes, `seeds`, `planned`, `pass@1` and its 95 % interval; NaN where missing.

    Raises:
        UserError: no such axis or profile; cells differ in an axis that is not shown; or they were
            graded on different problem sets.
    """
    every = (*collected.axes, "profile")
    for axis in wanted.named:
        if axis not in every:
            raise UserError(
                f"sweep {collected.sweep!r}: no axis {axis!r}; its axes: {', '.join(every)}"
            )
    if len(set(wanted.named)) < len(wanted.named):
        raise UserError(f"--x, --hue and --facet: {', '.join(wanted.named)}: each axis only once")
    groups = _groups(collected, wanted, profile)
    cells = {at: _cell(collected, keys) for at, keys in groups.items()}
    there = [cell for cell in cells.values() if cell is not None]
    if len({cell.by_problem.shape for cell in there}) > 1 or _problem_sets(collected) > 1:
        raise UserError(
            f"sweep {collected.sweep!r}: cells were graded on different problem sets, so their scores "
            "do not stand in one figure; choose with --where"
        )
    noise = seed_noise(cell for cell in there if not cell.given)
    rows = []
    for at, keys in groups.items():
        row: dict[str, Any] = dict(zip(wanted.named, at, strict=True))
        row |= {"seeds": 0, "planned": len(keys), **_score(cells[at], noise)}
        rows.append(row | {"seeds": 0 if (cell := cells[at]) is None else cell.seeds})
    return pd.DataFrame(rows)


def profiles_drawn(collected: Collected, wanted: Wanted, profile: str | None) -> list[str]:
    """All profiles where they are an axis; else the one asked for, or the manifest's first.

    Raises:
        UserError: no such profile.
    """
    profiles = list(dict.fromkeys(name for _, name in collected.cells))
    if profile is not None and profile not in profiles:
        raise UserError(f"--profile {profile}: not in sweep; profiles: {', '.join(profiles)}")
    return profiles if "profile" in wanted.named else [profile or profiles[0]]


def _groups(
    collected: Collected, wanted: Wanted, profile: str | None
) -> dict[tuple[Any, ...], list[Key]]:
    """The cells of each point.

    Raises:
        UserError: no such profile; cells of one point differ in an axis that is not shown.
    """
    chosen = profiles_drawn(collected, wanted, profile)
    hidden = [axis for axis in collected.axes if axis not in {*wanted.named, "seed"}]
    groups: dict[tuple[Any, ...], list[Key]] = {}
    apart: dict[str, Counter[str]] = {}
    for key, axes in collected.cells.items():
        if key[1] not in chosen:
            continue
        known = {**axes, "profile": key[1]}
        at = tuple(_value(known.get(axis, UNSET)) for axis in wanted.named)
        groups.setdefault(at, []).append(key)
    for axis in hidden:
        for keys in groups.values():
            values = Counter(spelled(collected.cells[key].get(axis)) for key in keys)
            if len(values) > 1:
                apart.setdefault(axis, Counter()).update(values)
    if apart:
        raise UserError(f"sweep {collected.sweep!r}: {_mixed(apart)}")
    return groups


def _mixed(apart: dict[str, Counter[str]]) -> str:
    """Which axes the cells of one point differ in, with what to do about it.

    Args:
        apart: how many cells have each value, by axis.
    """
    parts, conditions = [], []
    for axis, values in apart.items():
        named = list(values) if len(values) <= MOST_NAMED else [*list(values)[:MOST_NAMED], "…"]
        twins = "; matched-step twins" if axis == STEPS_AXIS and "null" in values else ""
        parts.append(f"{axis} ({', '.join(named)}{twins})")
        ((usual, _),) = values.most_common(1)
        conditions.append(shlex.join(["--where", f"{axis}={usual}"]))
    return (
        f"cells of one point differ in {' and in '.join(parts)}; show an axis with --x, --hue or "
        f"--facet, or choose one value of it, such as: {' '.join(conditions)}"
    )


def _value(value: Any) -> Any:
    """An axis's value as what can be compared and shown: truth values, lists and maps are text."""
    if value is None:
        return UNSET
    return value if isinstance(value, str) or _is_number(value) else spelled(value)


def _cell(collected: Collected, keys: list[Key]) -> Cell | None:
    there = [collected.counts[key] for key in keys if key in collected.counts]
    if not there:
        return None
    given = all(collected.cells[key]["size"] == 0 for key in keys)
    samples = min(int(counts.samples.min()) for counts in there)
    return Cell(np.stack([passed(counts) for counts in there]), given=given, samples=samples)


def _problem_sets(collected: Collected) -> int:
    return int(collected.table.get("problem_set", pd.Series(dtype=str)).nunique())


def _score(cell: Cell | None, noise: SeedNoise | None) -> dict[str, float]:
    if cell is None:
        return dict.fromkeys(("pass@1", "pass@1_low", "pass@1_high"), float("nan"))
    found = score_interval(cell, noise)
    return {"pass@1": found.value, "pass@1_low": found.low, "pass@1_high": found.high}


def axes_figure(points: pd.DataFrame, wanted: Wanted, document: Document) -> Drawing:
    """Score along x, a series per hue, a panel per facet.

    Raises:
        UserError: more series or panels than can be told apart.
    """
    panels = _ordered(points[wanted.facet]) if wanted.facet else [None]
    series = _ordered(points[wanted.hue]) if wanted.hue else [None]
    for axis, option, values, most in (
        (wanted.hue, "--hue", series, len(LOOKS)),
        (wanted.facet, "--facet", panels, MOST_PANELS),
    ):
        if len(values) > most:
            raise UserError(
                f"{option} {axis}: {len(values)} values, and at most {most} can be told apart; choose "
                f"with --where {axis}=…"
            )
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Drawing(drawing.WIDTH_IN, 1.3 + 2.2 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    places = _places(points[wanted.x])
    for axes, panel in zip(grid.flat, panels, strict=False):
        inside = points if panel is None else points[points[wanted.facet] == panel]
        _panel(axes, inside, wanted, series, places, labels=13 // columns)
        if panel is not None:
            axes.set_title(f"{wanted.facet} {panel}")
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("pass@1")
    # All panels share this one's axis, and have drawn by now.
    grid[0, 0].set_ylim(0, None)
    grid[0, 0].set_ylim(-0.02 * grid[0, 0].get_ylim()[1], None)  # so that a marker at zero is whole
    shown = [f"by {wanted.hue}"] if wanted.hue else []
    gaps = int(points["pass@1"].isna().sum())
    small = [f"{gaps} of {len(points)} points missing"]
    small += [] if "profile" in wanted.named else [f"asked as {document['profile']}"]
    finding = (
        "95 % intervals over problems, and over seeds where a point has several; nothing is tested"
    )
    title = " ".join([f"pass@1 against {wanted.x}", *shown])
    drawing.frame(figure, document, title, finding, small, list(grid.flat)[: len(panels)])
    return figure


def _ordered(values: pd.Series) -> list[Any]:
    """Numbers by size, then words as the grid has them."""
    found = list(dict.fromkeys(values))
    numbers = [value for value in found if _is_number(value)]
    return sorted(numbers) + [value for value in found if not _is_number(value)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _places(values: pd.Series) -> dict[Any, float]:
    """Where each value stands: numbers at themselves on a log axis, 0 at its left; all else side by side."""
    ordered = _ordered(values)
    if spread := _spread(ordered):
        return {value: float(value or drawing.zero_place(spread)) for value in ordered}
    return {value: float(i) for i, value in enumerate(ordered)}


def _spread(values: Iterable[Any]) -> list[Any]:
    """The positive ones where all are numbers from 0 up and reach over a power of ten; else none."""
    values = list(values)
    if not all(_is_number(value) and value >= 0 for value in values):
        return []
    positive = sorted(value for value in values if value)
    return positive if positive and positive[-1] >= 10 * positive[0] else []


def _panel(
    axes: Axes,
    points: pd.DataFrame,
    wanted: Wanted,
    series: list[Any],
    places: dict[Any, float],
    labels: int,
) -> None:
    spread = _spread(places)
    is_log = bool(spread)
    step = 0.05 if is_log else 0.1
    for number, value in enumerate(series):
        color, marker, line = LOOKS[number]
        own = points if value is None else points[points[wanted.hue] == value]
        own = own.assign(place=own[wanted.x].map(places)).sort_values("place")
        shift = step * (number - (len(series) - 1) / 2)
        there = own[own["pass@1"].notna()]
        at = [place * (1 + shift) if is_log else place + shift for place in there["place"]]
        estimates = [
            {"value": row[0], "interval": [row[1], row[2]]}
            for row in there[["pass@1", "pass@1_low", "pass@1_high"]].to_numpy().tolist()
        ]
        label = "pass@1" if value is None else f"{wanted.hue} {value}"
        joined = line if len(there) > 1 and all(map(_is_number, places)) else "none"
        look: dict[str, Any] = {"color": color, "marker": marker, "linestyle": joined}
        if estimates:
            error_bars(axes, list(there[wanted.x]), estimates, label, at, label=label, **look)
        # An empty mark that is not clipped would lie at the page's corner for the layout.
        if len(gaps := own[own["pass@1"].isna()]["place"]):
            across = axes.get_xaxis_transform()
            axes.plot(gaps, [0] * len(gaps), transform=across, label="missing", **HOLLOW)
    if is_log:
        drawing.size_axis(axes, spread, labels, zero=len(spread) < len(places))
    else:
        every = -(-len(places) // labels)
        names = {place: _short(value) for value, place in list(places.items())[::every]}
        crowded = sum(map(len, names.values())) > 4 * labels
        axes.set_xticks(list(names), list(names.values()))
        if crowded:
            axes.tick_params(axis="x", labelrotation=30)
        axes.set_xlim(-0.5, len(places) - 0.5)
    how = "log scale" if is_log else "evenly spaced" if all(map(_is_number, places)) else ""
    axes.set_xlabel(f"{wanted.x} ({how})" if how else wanted.x)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
