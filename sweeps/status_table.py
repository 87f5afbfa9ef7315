"""The picture of a sweep in words: the matrix, what runs, what failed and what to do about it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from valley.forecast import Forecast
from valley.picture import KINDS, STATES, Line, Picture, Stuck, Tracked, worst
from valley.spent import Spent

MOST_LINES = 40
"""Cells that are shown one by one; more are folded."""
MOST_GROUPS = 40
MOST_RUNNING = 8
MOST_CELLS = 4
WORDS = {"pending": "queued", "new": "to run"}
COLOURS = {"done": 32, "running": 36, "queued": 33, "failed": 31, "lost": 31, "blocked": 2}

Cell = tuple[str, str]
"""A text and the word that it is coloured by."""


def status_text(
    name: str,
    picture: Picture,
    progress: Callable[[Tracked], dict[str, Any] | None],
    end: Forecast | str | None,
    spent: Mapping[str, Spent],
    colour: bool = False,
) -> str:
    """All that `status.py` prints.

    Args:
        progress: how far a running job says that it is.
        end: when what is under way will have ended, or why that cannot be said.
        spent: what finished jobs of each kind took against what was estimated.
    """
    lines = picture.lines
    states = Counter(word_of(line.state) for line in lines)
    said = ", ".join(f"{states[word]} {word}" for word in map(word_of, STATES) if states[word])
    parts = [f"sweep {name}: {_count(len(lines), 'cell')}: {said}", ""]
    parts += _table(_matrix(lines, picture.totals), colour)
    if colour:
        parts.append(_legend())
    for paragraph in (_running(picture, progress), _stuck(picture.stuck)):
        if paragraph:
            parts += ["", *paragraph]
    after = [*_spent(spent), *([_end(end)] if end else [])]
    return "\n".join([*parts, *([""] if after else []), *after])


def word_of(state: str) -> str:
    """A state as people are told it."""
    return WORDS.get(state, state)


def _matrix(lines: list[Line], totals: Mapping[str, Counter[str]]) -> list[list[Cell]]:
    """The head, a row per cell or per group of cells that stand alike, and the sum over all jobs."""
    folded = len(lines) > MOST_LINES
    kinds = [kind for kind in KINDS if kind in totals]
    head = (["cells", "which"] if folded else ["cell"]) + kinds
    foot = ["", "jobs done"] if folded else ["jobs done"]
    rows = [[(text, "") for text in head]]
    rows += _groups(lines, kinds) if folded else [_row(line, kinds) for line in lines]
    sums = [f"{totals[kind]['done']}/{totals[kind].total()}" for kind in kinds]
    return [*rows, [(text, "") for text in [*foot, *sums]]]


def _row(line: Line, kinds: list[str]) -> list[Cell]:
    return [(line.cell, word_of(line.state)), *_stand(line, kinds)]


def _stand(line: Line, kinds: list[str]) -> tuple[Cell, ...]:
    return tuple(_cell(line.tallies.get(kind), line.state) for kind in kinds)


def _cell(tally: Counter[str] | None, state: str) -> Cell:
    """How a cell's jobs of one kind stand; those behind a failure are `blocked`."""
    if not tally:
        return "-", "blocked"
    now = worst(tally)
    word = "blocked" if now == "new" and state in ("failed", "lost") else word_of(now)
    if tally["done"] in (0, tally.total()):
        return word, word
    return f"{tally['done']}/{tally.total()} done, {word}", word


def _groups(lines: list[Line], kinds: list[str]) -> list[list[Cell]]:
    groups: dict[tuple[Cell, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(_stand(line, kinds), []).append(line)
    ordered = sorted(groups.items(), key=lambda group: STATES.index(_worst(group[1])))
    every = _values(lines)
    rows = [
        [(str(len(group)), word_of(_worst(group))), (which(_values(group), every), ""), *stand]
        for stand, group in ordered[:MOST_GROUPS]
    ]
    if left := ordered[MOST_GROUPS:]:
        cells = sum(len(group) for _, group in left)
        rows.append([(str(cells), ""), (f"in {len(left)} more groups: --json, --where", "")])
    return rows


def _worst(lines: list[Line]) -> str:
    return worst(line.state for line in lines)


def _values(lines: list[Line]) -> dict[str, dict[Any, None]]:
    values: dict[str, dict[Any, None]] = {}
    for line in lines:
        for axis, value in line.axes.items():
            values.setdefault(axis, {})[str(value) if isinstance(value, dict | list) else value] = (
                None
            )
    return values


def which(values: Mapping[str, Mapping[Any, None]], every: Mapping[str, Mapping[Any, None]]) -> str:
    """What cells of a group have in common: of each axis that tells cells apart, its values."""
    parts = [
        f"{axis} {_span(list(found))}"
        for axis, found in values.items()
        if len(found) < len(every[axis])
    ]
    return ", ".join(parts) or "all"


def _span(values: list[Any]) -> str:
    if len(values) <= 3:
        return "/".join(map(str, values))
    if all(isinstance(value, int | float) for value in values):
        return f"{min(values)}..{max(values)} ({len(values)} values)"
    return f"{values[0]}/{values[1]}/… ({len(values)} values)"


def _table(rows: list[list[Cell]], colour: bool) -> list[str]:
    widths: dict[int, int] = {}
    for row in rows:
        for column, (text, _) in enumerate(row):
            widths[column] = max(widths.get(column, 0), len(text))
    lines = []
    for row in rows:
        padded = [_painted(f"{t:{widths[n]}}", w, colour) for n, (t, w) in enumerate(row)]
        lines.append("  ".join(padded).rstrip())
    return lines


def _legend() -> str:
    """What the colours of cells and jobs mean."""
    words: dict[int, list[str]] = {}
    for word, number in COLOURS.items():
        words.setdefault(number, []).append(word)
    painted = (_painted(" or ".join(alike), alike[0], True) for alike in words.values())
    return f"colours: {', '.join(painted)} (behind a failure)"


def _painted(text: str, word: str, colour: bool) -> str:
    return f"\x1b[{COLOURS[word]}m{text}\x1b[0m" if colour and word in COLOURS else text


def _running(picture: Picture, progress: Callable[[Tracked], dict[str, Any] | None]) -> list[str]:
    running = [job for job in picture.jobs.values() if job.known.state == "running"]
    # Trainings tell how far they are; the others are short.
    running.sort(key=lambda job: job.ticket.kind != "train")
    lines = []
    for job in running[:MOST_RUNNING]:
        line = f"running: {job.ticket.kind} {job.ticket.label} ({job.known.reason})"
        if (far := progress(job)) and "steps" in far:
            loss = f", loss {far['loss']:.3f}" if "loss" in far else ""
            doing = f"{far['doing']}, " if "doing" in far else ""
            line += f": {doing}step {far['step']} of {far['steps']}{loss}"
        lines.append(line)
    if left := len(running) - MOST_RUNNING:
        lines += [f"running: {left} more"] if left > 0 else []
    return lines


def _stuck(stuck: list[Stuck]) -> list[str]:
    lines = []
    for group in stuck:
        known, kind = group.known, group.jobs[0].ticket.kind
        jobs = f"{len(group.jobs)} {kind} jobs" if len(group.jobs) > 1 else f"a {kind} job"
        shown = ", ".join(group.cells[:MOST_CELLS])
        more = f" and {len(group.cells) - MOST_CELLS} more" if len(group.cells) > MOST_CELLS else ""
        why = f", {known.failure.replace('_', ' ')}" if known.failure else ""
        lines.append(
            f"{known.state}: {jobs}{why}; in {_count(len(group.cells), 'cell')}: {shown}{more}"
        )
        if known.reason not in known.line:
            lines.append(f"  said: {known.reason}")
        if known.line:
            lines.append(f"  line: {known.line}")
        lines.append(f"  next: {known.remedy or 'launch again with --retry lost'}")
        if known.log:
            lines.append(f"  log:  {known.log}")
    return lines


def _spent(spent: Mapping[str, Spent]) -> list[str]:
    lines = []
    for kind, one in spent.items():
        times = f" ({one.ratio:.2g} times that)" if one.ratio else ""
        lines.append(
            f"{kind}: {one.jobs} finished jobs took {one.measured_h:.2f} h, and "
            f"{one.estimated_h:.2f} h were estimated{times}"
        )
    return lines


def _end(end: Forecast | str) -> str:
    if isinstance(end, str):
        return f"expected end: {end}"
    at = time.localtime(time.time() + end.left_s)
    form = "%H:%M" if end.left_s < 12 * 3600 else "%a %d %b %H:%M"
    return (
        f"expected end: about {time.strftime(form, at)}, in about {duration(end.left_s)}, at "
        f"{_count(end.lanes, 'job')} at a time; by {end.basis}"
    )


def duration(seconds: float) -> str:
    """A length of time, rounded for people: `40 s`, `12 min`, `3.5 h`, `2 days`."""
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
