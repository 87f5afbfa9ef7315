"""Draw a sweep's results so far and print its verdict: `python analysis/plot_valley.py`.

Works on partial results: what is missing is hollow in the figures and listed in `valley.json`.
"""

from __future__ import annotations

import argparse
import math
from functools import partial
from pathlib import Path

import drawing
from collect import Collected, collect, writable, write_table
from figure_axes import Wanted, axes_figure, points_of, profiles_drawn
from figure_behaviour import behaviour, behaviour_by_score
from figure_continuous import continuous, pass_at_k
from figure_contrasts import contrasts
from figure_cost import cost
from figure_difficulty import difficulty
from figure_loss import losses
from figure_valley import valley
from footing import footer
from frame_files import write_frame
from options import sweep_options
from overlays import load
from sentences import Document
from size_unit import counted_in
from summary import summarise
from watching import watch

from valley.command_line import STATUS, add_where, next_line
from valley.errors import exit_on_user_error
from valley.records import write_json
from valley.where import Where

FIGURES = {
    "valley": valley,
    "contrasts": contrasts,
    "behaviour": behaviour,
    "behaviour_by_score": behaviour_by_score,
    "cost": cost,
    "difficulty": difficulty,
    "losses": losses,
    "continuous": continuous,
    "pass_at_k": pass_at_k,
}
"""By name, what draws it from the document."""


def figure_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a script that draws a sweep."""
    sweep_options(parser)
    add_where(parser, "cells with these axes, and baselines that lack the axis")
    parser.add_argument("--profile", help="draw verdicts from this decoding profile")
    parser.add_argument(
        "--overlay",
        action="append",
        default=[],
        metavar="NAME",
        help="draw published points into the valley: paper (He et al. 2025, second-hand numbers), or a "
        "JSON file like analysis/overlays/paper.json",
    )
    parser.add_argument(
        "--out", type=Path, help="default: figures/ in the sweep's folder, beside results.csv"
    )


def draw(document: Document, folder: Path) -> list[Path]:
    """Write every figure that has something to show as PNG, PDF and SVG with its CSV; returns their paths."""
    paths = []
    with drawing.style(), counted_in(document["size_in"]):
        for name, figure in FIGURES.items():
            if (drawn := figure(document)) is not None:
                paths += drawing.save(drawn, folder, name)
    return paths


def plot(options: argparse.Namespace) -> tuple[Collected, Document, list[Path]]:
    """Write the figures and `valley.json` of what `figure_options` asked for.

    The sweep's `results.csv` is written too, whole, unless `--out` leaves the sweep's folder alone.

    Returns:
        The cells that were chosen, what they say, and the files written, `valley.json` last.

    Raises:
        UserError: no such sweep, axis, value or profile, or a file cannot be written.
    """
    overlays = [load(name) for name in options.overlay]
    conditions = Where.parse(options.where)
    whole = collect(options.root, options.sweep)
    collected = whole.where(conditions)
    document = summarise(collected, options.profile) | {"overlays": overlays}
    folder = options.out or whole.folder / "figures"
    if options.out is None:
        write_table(whole)
    with writable(folder):
        paths = [*draw(document, folder), folder / "valley.json"]
        write_json(paths[-1], document)
    return collected, document, paths


def plot_axes(options: argparse.Namespace, wanted: Wanted) -> int:
    """Draw score against the axes that were asked for, with what is drawn beside it as a table.

    Returns:
        How many scores are missing.
    """
    whole = collect(options.root, options.sweep)
    collected = whole.where(Where.parse(options.where))
    points = points_of(collected, wanted, options.profile)
    folder = options.out or whole.folder / "figures"
    name = "-by-".join(wanted.named)
    document = footer(collected, profiles_drawn(collected, wanted, options.profile))
    with writable(folder), drawing.style():
        paths = drawing.save(axes_figure(points, wanted, document), folder, name)
        write_frame(points, paths[-1])
    for sentence in collected.damaged:
        print(f"left out: {sentence}")
    for path in paths:
        print(path)
    return len(collected.missing)


def _show(options: argparse.Namespace) -> int:
    """Draw, name the files, and print the verdicts last; returns how many scores are missing."""
    collected, document, paths = plot(options)
    for sentence in collected.damaged:
        print(f"left out: {sentence}")
    for path in paths:
        print(path)
    if collected.missing:
        print(next_line(STATUS, options.sweep, options.root))
    for sentence in document["sentences"]:
        print(sentence)
    return len(collected.missing)


def main() -> int:
    """Write the files and name them; the verdicts are the last lines printed, one per profile."""
    parser = argparse.ArgumentParser(
        prog="python analysis/plot_valley.py",
        description="Draw a sweep's results so far, with a verdict.",
    )
    figure_options(parser)
    parser.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=60.0,
        metavar="SECONDS",
        help="draw again as results land, looking every SECONDS (default 60), until none is missing; "
        "end it with Ctrl-C",
    )
    parser.add_argument("--x", metavar="AXIS", help="draw score against any axis instead (size)")
    parser.add_argument("--hue", metavar="AXIS", help="its values are series; `profile` too")
    parser.add_argument("--facet", metavar="AXIS", help="its values are panels; `profile` too")
    options = parser.parse_args()
    show = partial(_show, options)
    if options.x or options.hue or options.facet:
        if options.overlay:
            parser.error("--overlay is for the valley: leave it out, or --x, --hue and --facet")
        wanted = Wanted(options.x or "size", options.hue, options.facet)
        show = partial(plot_axes, options, wanted)
    if options.watch is None:
        show()
        return 0
    return watch(options.root, options.sweep, options.watch, show)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 86400:  # which is also so of nan
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 0.1 to 86400 seconds")
    return seconds


if __name__ == "__main__":
    exit_on_user_error(main)
