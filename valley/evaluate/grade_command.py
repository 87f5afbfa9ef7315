"""The grading command: `python -m valley.evaluate.grade`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grading import Graded, grade_files, notes_of
from valley.evaluate.outputs import check_outputs
from valley.evaluate.probe import find_isolation
from valley.evaluate.progress import Progress
from valley.evaluate.report import report
from valley.evaluate.samples import Sample
from valley.evaluate.score import score
from valley.records import iterate_records, write_json

DESCRIPTION = """\
Grade samples: take the program out of each, run it in a sandbox on its problem's tests, and write a
verdict for each, in the samples' order.

Verdicts depend on the problems, the samples and the settings, not on the number of workers or on what else
the machine does, as long as a program is not within a hair of its time limit; only cpu_s and wall_s are
measurements. Broken off at any moment, also by kill -9, the same command goes on where it was: finished
verdicts are kept in OUT.grading beside the output. With other problems, samples or settings it refuses
to go on.
"""
EPILOG = """\
exit status: 0; 1 if the grader could not run some programs, in new sandboxes either: they are in the output
as infrastructure_error, count as neither right nor wrong, and are tried again by the same command; 2 for a
mistake in what was given, such as --scores for a part of a set, which is graded and has no score; 130 if
interrupted.

example: python -m valley.evaluate.grade --problems problems.jsonl --samples samples.jsonl \\
             --mode strict --workers 2 --out verdicts.jsonl

Formats, statuses, rules of comparison and metrics: docs/grading.md
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Grade, and print what came of it."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    options = _parser().parse_args(arguments)
    config = _config(options)
    if options.scores is not None:
        others = {f"--{name}": getattr(options, name) for name in ("problems", "samples", "out")}
        others["the notes on --out"] = notes_of(options.out)
        check_outputs(others, {"--scores": options.scores})
    began = time.monotonic()
    progress = Progress(sys.stderr)
    try:
        graded = grade_files(
            options.problems,
            options.samples,
            options.out,
            config,
            workers=options.workers,
            progress=progress,
            restart=options.restart,
        )
    except KeyboardInterrupt:
        progress.end()
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    progress.end()
    took_s = time.monotonic() - began
    isolation = find_isolation(config.sandbox).name
    scores, fault = _scores(graded, options.samples, config)
    print(report(graded.verdicts, scores, config.mode, isolation, took_s))
    if fault:
        print(f"no score: {fault}")
        if options.scores is not None:
            print(f"{options.scores}: not written, since there is no score", file=sys.stderr)
    if scores is not None and options.scores is not None:
        write_json(options.scores, {**scores, "isolation": isolation, "mode": config.mode})
    broken = sum(v.status == "infrastructure_error" for v in graded.verdicts)
    if broken:
        print(
            f"the grader could not run {broken} of {len(graded.verdicts)} programs: their notes in "
            f"{options.out} say why; the same command tries them again",
            file=sys.stderr,
        )
    unwritten = options.scores is not None and scores is None
    return 1 if broken else 2 if unwritten else 0


def _scores(
    graded: Graded, samples: Path, config: GradeConfig
) -> tuple[dict[str, Any] | None, str]:
    """The scores, or why there are none: a part of a set can be graded, but has no pass@k."""
    rows = iterate_records(samples, Sample)
    try:
        return score(graded.problems.values(), rows, graded.verdicts, config.k), ""
    except UserError as error:
        return None, str(error)


def _config(options: argparse.Namespace) -> GradeConfig:
    names = set(GradeConfig.model_fields)
    try:
        return GradeConfig(**{k: v for k, v in vars(options).items() if k in names})
    except ValidationError as error:
        fault = error.errors()[0]
        option = "--" + str(fault["loc"][0]).replace("_", "-")
        raise UserError(f"{option} {fault['input']}: {fault['msg']}") from error


def _parser() -> argparse.ArgumentParser:
    fields = GradeConfig.model_fields
    parser = argparse.ArgumentParser(
        prog="python -m valley.evaluate.grade",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--problems", type=Path, required=True, help="JSON lines, valley.problem/1")
    add("--samples", type=Path, required=True, help="JSON lines, valley.sample/1")
    add("--out", type=Path, required=True, help="verdicts, JSON lines, valley.verdict/1")
    add(
        "--mode",
        choices=get_args(fields["mode"].annotation),
        default=fields["mode"].default,
        help="strict: as a contest runs programs; lcb: LiveCodeBench's own verdicts (strict)",
    )
    add(
        "--lcb-timeout-s",
        type=int,
        default=fields["lcb_timeout_s"].default,
        help="seconds that one test may last by the clock in mode lcb (6)",
    )
    add("--workers", type=int, default=1, help="programs that run at once (1)")
    add(
        "--sandbox",
        choices=get_args(fields["sandbox"].annotation),
        default=fields["sandbox"].default,
        help="isolation; auto takes the strongest that works here (auto)",
    )
    add(
        "--no-reuse",
        dest="reuse",
        action="store_false",
        help="a sandbox for each program, and not one for all programs of a worker; slower",
    )
    add(
        "--wall-limit-factor",
        type=float,
        default=fields["wall_limit_factor"].default,
        help="a test may last this many times its CPU limit, and two seconds, by the clock (4)",
    )
    add(
        "--output-limit-kib",
        type=int,
        default=fields["output_limit_kib"].default,
        help="most that a test may write to stdout, stderr or one file (16384)",
    )
    add(
        "--k",
        type=_numbers,
        default=[1],
        metavar="K,…",
        help="the k of each pass@k in the report, such as 1,5 (1)",
    )
    add("--scores", type=Path, help="write all metrics there too, as JSON")
    add(
        "--restart",
        action="store_true",
        help="throw away verdicts in OUT on other problems, samples or settings instead of refusing",
    )
    return parser


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers with commas expected") from error
