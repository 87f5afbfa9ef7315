"""Score kept answers under other rules, without a GPU: `python analysis/regrade.py --max-tokens 4096`.

Gives the curve again beside the original: a table of both with their differences, a figure, both verdicts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import drawing
import pandas as pd
import sentences
from arms import View, by_student, main_curve, views_of
from collect import Collected, collect, writable
from controls import estimate
from drawing import BLUE, VERMILION, frame, size_axis
from frame_files import write_frame
from marks import Drawing, error_bars, level
from options import sweep_options
from pydantic import ValidationError
from regrading import Regraded, Regrader, Rules
from results import Key, Results
from sentences import Document
from size_unit import axis_label, counted_in
from summary import summarise

from valley.command_line import add_where
from valley.errors import UserError, exit_on_user_error
from valley.evaluate.config import GradeConfig
from valley.records import write_json
from valley.statistics import difference, score_interval
from valley.store import Store
from valley.where import Where

SETTINGS = ("mode", "lcb_timeout_s", "wall_limit_factor", "output_limit_kib")


def regrade_all(
    collected: Collected, root: Path, rules: Rules, workers: int
) -> tuple[dict[Key, Regraded], Path]:
    """Every measured cell under other rules, and the folder that they are kept in."""
    store = Store(root, read_only=True)
    with writable(collected.folder / "regraded"):
        regrader = Regrader(collected.folder, store.path, Results(store), rules)
    found = {}
    made: dict[str, Regraded] = {}
    for key in collected.counts:
        places = collected.places[key]
        if places["grade"] not in made:
            made[places["grade"]] = regrader.regrade(places, workers)
        found[key] = made[places["grade"]]
    return found, regrader.folder


def as_collected(collected: Collected, found: dict[Key, Regraded]) -> Collected:
    """The sweep as if it had been graded so."""
    table = collected.table.copy()
    keys = list(zip(table["cell"], table["profile"], strict=True))
    for name in {name for one in found.values() for name in one.metrics}:
        table[name] = [found[key].metrics.get(name) if key in found else None for key in keys]
    return replace(collected, table=table, counts={key: one.counts for key, one in found.items()})


def table_of(before: View, after: View, paired: bool) -> pd.DataFrame:
    """A row per arm: pass@1 both ways with 95 % intervals, and their paired difference.

    Intervals are over problems, of these answers: seeds cannot differ between two gradings of one answer.
    """
    rows = []
    for arm in before.counts:
        first, second = before.cell(arm), after.cell(arm)
        if first is None or second is None:
            continue
        row: dict[str, Any] = {
            "profile": before.profile,
            "stage": arm.stage,
            "size": arm.size,
            "difficulty": arm.difficulty,
            "correctness": arm.correctness,
            "train.steps": arm.steps,
            "seeds": first.seeds,
        }
        for name, cell in (("original", first), ("regraded", second)):
            score = score_interval(cell)
            row |= _columns(f"pass@1_{name}", score.value, score.low, score.high)
        if paired:
            apart = difference(second, first)
            row |= _columns("difference", apart.value, apart.low, apart.high)
        rows.append(row)
    return pd.DataFrame(rows).sort_values(["stage", "size"], kind="stable")


def _columns(name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def figure_of(
    before: View, after: View, documents: Sequence[Document], rules: Rules, finding: str
) -> Drawing:
    """The main curve both ways; the baseline of each is a line.

    Args:
        documents: the summary of each.
    """
    figure = Drawing(drawing.WIDTH_IN, 3.6)
    axes = figure.add_subplot()
    stage, subset = main_curve(before)
    arms = [arm for arm in before.sizes(stage, subset) if arm in before.counts]
    looks = (
        (before, "original", BLUE, "o", "-", 0.98),
        (after, "regraded", VERMILION, "s", "--", 1.02),
    )
    for view, name, color, marker, line, shift in looks:
        cells = [(arm.size, cell) for arm in arms if (cell := view.cell(arm)) is not None]
        if cells:
            error_bars(
                axes,
                [size for size, _ in cells],
                [estimate(score_interval(cell)) for _, cell in cells],
                name,
                [size * shift for size, _ in cells],
                color=color,
                marker=marker,
                linestyle=line,
                label=name,
            )
        for arm in view.counts:
            if arm.size == 0 and arm.stage == stage and (cell := view.cell(arm)) is not None:
                level(axes, cell.score, name, color, False, linewidth=1, linestyle=":")
    size_axis(axes, [arm.size for arm in arms])
    axes.set_ylim(0, None)
    axes.set_ylim(-0.02 * axes.get_ylim()[1], None)  # so that a marker at zero is whole
    axes.set_xlabel(f"{axis_label()} (log scale; dotted: baseline)")
    axes.set_ylabel("pass@1")
    notes = ["95 % intervals over problems, of these answers"]
    caps = [one["footing"]["max_tokens"].get(before.profile) for one in documents]
    if caps[0] and caps[0] != caps[1]:
        notes.append(f"the original answers: at most {caps[0]:,} tokens")
    frame(figure, documents[1], f"Regraded: {rules}", finding, notes, [axes])
    return figure


def main() -> int:
    """Regrade, write table, figure and `regraded.json`, and print what changed."""
    options = _parser().parse_args()
    rules = _rules(options)
    collected = collect(options.root, options.sweep).where(Where.parse(options.where))
    if len(students := by_student(collected)) > 1:
        raise UserError(
            f"sweep {collected.sweep!r}: students {', '.join(students)}; regrade one at a time, with "
            "--where student=NAME"
        )
    if not collected.counts:
        raise UserError(
            f"sweep {collected.sweep!r}: nothing is graded yet, so nothing can be regraded"
        )
    found, folder = regrade_all(collected, options.root, rules, options.workers)
    again = as_collected(collected, found)
    documents = [summarise(one, options.profile) for one in (collected, again)]
    _cap(documents[1], rules.max_tokens)
    views = [views_of(one) for one in (collected, again)]
    table = pd.concat(
        [table_of(views[0][name], views[1][name], not rules.without_flagged) for name in views[0]],
        ignore_index=True,
    )
    verdicts = [sentences.label(document["valley"]) for document in documents]
    mixed = _mixed(list(found.values()))
    cut = sum(one.cut for one in found.values())
    cut_passed = sum(one.cut_passed for one in found.values())
    samples = sum(one.samples for one in found.values())
    out = options.out or folder
    with writable(out):
        write_frame(table, out / "regraded.csv")
        write_json(
            out / "regraded.json",
            {
                "schema": "valley.regrading/1",
                "rules": str(rules),
                "cut_samples": cut,
                "cut_samples_that_had_passed": cut_passed,
                "cut_samples_that_pass": sum(one.cut_pass for one in found.values()),
                "cut_samples_of_other_lengths": sum(one.other_lengths for one in found.values()),
                "lower_bound_since": sorted({o.not_cut_since for o in found.values()} - {""}),
                "original": documents[0],
                "regraded": documents[1],
            },
        )
        profile = documents[0]["profile"]
        finding = f"original: {verdicts[0]}\nregraded: {verdicts[1]}{mixed}"
        with drawing.style(), counted_in(documents[0]["size_in"]):
            figure = figure_of(views[0][profile], views[1][profile], documents, rules, finding)
            paths = drawing.save(figure, out, "curves")
    for path in (out / "regraded.csv", out / "regraded.json", *paths):
        print(path)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    if rules.max_tokens is not None:
        print(f"{cut:,} of {samples:,} answers are longer than {rules.max_tokens:,} tokens")
        for sentence in _of_cut(list(found.values())):
            print(sentence)
    for name, document, more in zip(("original", "regraded"), documents, ("", mixed), strict=True):
        print(f"{name}: {document['valley']['sentence']}{more}")
    return 0


def _cap(document: Document, max_tokens: int | None) -> None:
    """Let a summary of what was cut say the cap that it was cut at."""
    caps = document["footing"]["max_tokens"]
    if max_tokens is not None:
        caps |= {name: min(cap or max_tokens, max_tokens) for name, cap in caps.items()}


def _mixed(found: list[Regraded]) -> str:
    """What a verdict has to say where the scores of some of its cells are lower bounds and of others are not."""
    bounds = sum(bool(one.not_cut_since) for one in found)
    if bounds in (0, len(found)):
        return ""
    return (
        f" (of {len(found)} cells {bounds} count at a lower bound, so that they are not comparable)"
    )


def _of_cut(found: list[Regraded]) -> list[str]:
    """What became of answers longer than a cap: of those that were cut, and of those that could not be."""
    lines = []
    real = [one for one in found if one.cut and not one.not_cut_since]
    if cut := sum(one.cut for one in real):
        lines.append(
            f"{cut:,} were cut there: {sum(one.cut_passed for one in real):,} had passed, and "
            f"{sum(one.cut_pass for one in real):,} still do; {sum(one.other_lengths for one in real):,} "
            "have other numbers of tokens, made again from their text, than were generated"
        )
    for since in sorted({one.not_cut_since for one in found} - {""}):
        bound = [one for one in found if one.not_cut_since == since]
        lines.append(
            f"{sum(one.cut for one in bound):,} count as not passed, a lower bound, since {since}; "
            f"{sum(one.cut_passed for one in bound):,} of them had passed"
        )
    return lines


def _rules(options: argparse.Namespace) -> Rules:
    settings = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    if options.max_tokens is not None and options.max_tokens < 1:
        raise UserError(f"--max-tokens {options.max_tokens}: expected at least 1")
    if options.workers < 1:
        raise UserError(f"--workers {options.workers}: expected at least 1")
    try:
        GradeConfig.model_validate(settings)
    except ValidationError as error:
        fault = error.errors()[0]
        option = "--" + str(fault["loc"][0]).replace("_", "-")
        raise UserError(f"{option} {fault['input']}: {fault['msg']}") from error
    rescored = options.max_tokens is not None or options.without_flagged
    return Rules(
        settings,
        bool(settings) or options.run_again or not rescored,
        options.max_tokens,
        options.without_flagged,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python analysis/regrade.py",
        description="Score a sweep's kept answers under other rules, beside the original scores, which "
        "stay as they are. Without any other rule, programs are run again by the same.",
    )
    sweep_options(parser)
    add = parser.add_argument
    add("--mode", choices=get_args(GradeConfig.model_fields["mode"].annotation), help="of grading")
    add("--lcb-timeout-s", type=int, help="seconds by the clock for a test in mode lcb")
    add("--wall-limit-factor", type=float, help="a test's limit by the clock, in CPU limits")
    add("--output-limit-kib", type=int, help="most that a test may write to one file")
    add("--run-again", action="store_true", help="run programs again, where only scoring is other")
    add(
        "--max-tokens",
        type=int,
        help="as if answers had been cut at so many tokens: longer ones are cut there with the student's "
        "tokenizer, and graded again; where none is at hand they count as not passed",
    )
    add(
        "--without-flagged",
        action="store_true",
        help="leave out problems whose verdicts are in doubt: docs/grading.md",
    )
    add_where(parser, "cells with these axes")
    add("--profile", help="draw verdicts from this decoding profile")
    add("--workers", type=int, default=1, help="programs that run at once (1)")
    add("--out", type=Path, help="for table and figure; default: regraded/ in the sweep's folder")
    return parser


if __name__ == "__main__":
    exit_on_user_error(main)
