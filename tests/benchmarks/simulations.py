"""Hold the statistics against grids whose truth is known: python tests/benchmarks/simulations.py --write

Each part prints a Markdown table, and with --write puts it into docs/statistics.md, between the comments
that bear the part's name. All parts take minutes on one core. tests/statistics has the same in small.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "statistics"), str(ROOT / "tests")]

from benchmarks.sampling_simulations import PARTS as SAMPLING  # noqa: E402
from benchmarks.verdict_simulations import PARTS as VERDICTS  # noqa: E402
from simulated import OWN, curves, rates  # noqa: E402

from valley.statistics import Cell, difference, score_interval, seed_noise, wilson  # noqa: E402
from valley.statistics.curve import valley_test  # noqa: E402
from valley.statistics.draws import Curve  # noqa: E402
from valley.statistics.landmarks import landmarks  # noqa: E402
from valley.t_distribution import NORMAL  # noqa: E402

DOCUMENT = ROOT / "docs" / "statistics.md"
DRAWS = 1000
SIZES = (32, 64, 128, 256, 512, 1024, 2048)
WITHOUT_VALLEY = {
    "flat": (0.25,) * 8,
    "rising": (0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45),
    "falling": (0.45, 0.40, 0.35, 0.30, 0.25, 0.20, 0.15, 0.10),
    "flat, then rising": (0.20, 0.20, 0.20, 0.20, 0.20, 0.30, 0.40, 0.50),
    "falling, then flat": (0.40,) + (0.15,) * 7,
}
WITH_VALLEY = (0.30, 0.26, 0.15, 0.10, 0.14, 0.24, 0.36, 0.48)
RECOVERY = 512 * 2 ** (0.06 / 0.12)
PAPER = (0.126, 0.055, 0.188, 0.264)
PAPER_SIZES = (1000, 10_000, 30_000)
Row = list[object]


def intervals_of_one_sample(_: int) -> Iterator[Row]:
    """Exact coverage of three intervals where each problem has one answer: sums over the binomial."""
    yield ["problems", "score", "percentile bootstrap", "BCa bootstrap", "Wilson, ours"]
    for problems in (279, 880):
        counts = np.arange(problems + 1)
        log_choose = np.array(
            [math.lgamma(problems + 1) - math.lgamma(c + 1) - math.lgamma(problems - c + 1) for c in counts]
        )  # fmt: skip

        def chances(p: float, c: np.ndarray = counts, l: np.ndarray = log_choose) -> np.ndarray:  # noqa: E741
            return np.exp(l + c * math.log(p) + (c[-1] - c) * math.log1p(-p))

        bounds = {"percentile": [], "bca": [], "wilson": []}
        for count in counts[1:-1]:
            p = count / problems
            below = np.cumsum(chances(p))
            bias = NORMAL.inv_cdf(float((below[count - 1] + below[count]) / 2))
            skew = (1 - 2 * p) / (6 * math.sqrt(problems * p * (1 - p)))
            plain, corrected = [], []
            for tail in (0.025, 0.975):
                z = bias + NORMAL.inv_cdf(tail)
                plain.append(np.searchsorted(below, tail) / problems)
                level = NORMAL.cdf(bias + z / (1 - skew * z))
                corrected.append(np.searchsorted(below, level) / problems)
            bounds["percentile"].append(plain)
            bounds["bca"].append(corrected)
            bounds["wilson"].append(wilson((np.arange(problems) < count).astype(float)))
        for score in (0.02, 0.03, 0.04, 0.055, 0.126, 0.264, 0.5):
            weights = chances(score)[1:-1]
            yield [problems, score] + [
                f"{weights[(b[:, 0] <= score) & (score <= b[:, 1])].sum():.3f}"
                for b in (np.array(found) for found in bounds.values())
            ]


def coverage(replicates: int) -> Iterator[Row]:
    """Nominal 95 % intervals of a score and of a paired difference."""
    yield [
        "problems",
        "samples",
        "seeds",
        "seed SD",
        "score",
        "score's interval",
        "difference's interval",
    ]
    for problems in (279, 880):
        for seeds in (1, 3):
            for samples in (1, 4, 16):
                for score in (0.02, 0.055, 0.2, 0.5):
                    sd = 0.0 if seeds == 1 else min(0.01, score / 4)
                    one, gap = covered(replicates, problems, samples, seeds, sd, score)
                    yield [problems, samples, seeds, sd, score, f"{one:.3f}", f"{gap:.3f}"]


def covered(
    replicates: int, problems: int, samples: int, seeds: int, sd: float, score: float
) -> tuple[float, float]:
    """How often the intervals of a score and of a difference of 5 points hold it; noise of 4 cells."""
    rng = np.random.default_rng([1, problems, samples, seeds, round(1000 * score)])
    scores = (score, score + 0.05, score, score + 0.05)
    one = gap = 0
    for start in range(0, replicates, 100):
        chunk = rates(
            rng,
            scores,
            replicates=min(100, replicates - start),
            problems=problems,
            samples=samples,
            seeds=seeds,
            seed_sd=sd,
        )
        for cells in ([Cell(r, samples=samples) for r in found] for found in chunk):
            noise = seed_noise(cells)
            interval, paired = (
                score_interval(cells[0], noise),
                difference(cells[1], cells[0], noise),
            )
            one += interval.low <= score <= interval.high
            gap += paired.low <= 0.05 <= paired.high
    return one / replicates, gap / replicates


def few_flips(replicates: int) -> Iterator[Row]:
    """The interval of a difference of a cell at .50 and one that loses a few of its passes."""
    lost = (0.004, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
    yield ["problems", "samples", *(f"{100 * share:g} % lost" for share in lost)]
    for problems in (280, 880):
        for samples in (1, 4):
            shares = []
            for share in lost:
                rng = np.random.default_rng([13, problems, samples, round(1000 * share)])
                covered = 0
                for _ in range(replicates):
                    passed = rng.binomial(samples, 0.5, problems)
                    left = passed - rng.binomial(passed, share)
                    cells = (Cell(c[None, :] / samples, samples=samples) for c in (passed, left))
                    found = difference(*cells)
                    covered += found.low <= share / 2 <= found.high
                shares.append(f"{covered / replicates:.3f}")
            yield [problems, samples, *shares]


def false_valleys(replicates: int) -> Iterator[Row]:
    """How often a curve without a valley is called one."""
    designs = [(1, 0.0), *((seeds, sd) for seeds in (2, 3) for sd in (0.0, 0.01, 0.02))]
    yield ["curve", *(f"{s} seed{'s' * (s > 1)}, SD {100 * sd:g}" for s, sd in designs)]
    for at, (name, scores) in enumerate(WITHOUT_VALLEY.items()):
        found = []
        for seeds, sd in designs:
            rng = np.random.default_rng([2, at, seeds, round(1000 * sd)])
            made = curves(rng, scores, SIZES, replicates=replicates, seeds=seeds, seed_sd=sd)
            found.append(f"{share(made, corrected):.3f}")
        yield [name, *found]


def share(made: Iterator[Curve], says: Callable[[Curve], bool]) -> float:
    """The share of curves of which `says` is true."""
    return float(np.mean([says(curve) for curve in made]))


def corrected(curve: Curve) -> bool:
    """Our test's VALLEY, with the seed noise of the curve's own cells."""
    return valley_test(curve, seed_noise(curve.cells), draws=DRAWS).verdict == "VALLEY"


def uncorrected(curve: Curve) -> bool:
    """What a test of the picked lowest and highest sizes says, each one-sided at 5 %."""
    scores = [cell.score for cell in curve.cells]
    low = int(np.argmin(scores[:-1]))
    high = low + 1 + int(np.argmax(scores[low + 1 :]))

    def above(a: Cell, b: Cell) -> bool:
        gaps = a.by_problem - b.by_problem
        return bool(gaps.mean() > 1.645 * gaps.std(ddof=1) / math.sqrt(len(gaps)))

    return above(curve.baseline, curve.cells[low]) and above(curve.cells[high], curve.cells[low])


def what_goes_wrong(replicates: int) -> Iterator[Row]:
    """False valleys of two tests that are not ours: what the corrections are for."""
    yield ["test", "curve", "sizes", "problems x samples", "false VALLEY"]
    falling, flat = (WITHOUT_VALLEY[name] for name in ("falling, then flat", "flat"))
    for sizes in (4, 5, 7):
        rng = np.random.default_rng([3, sizes])
        made = curves(rng, falling[: sizes + 1], SIZES[:sizes], replicates=replicates)
        found = f"{share(made, uncorrected):.3f}"
        yield ["lowest and highest picked first", "falling, then flat", sizes, "279 x 4", found]
    for own in (OWN, 0.0):
        rng = np.random.default_rng([4, round(own)])
        made = curves(
            rng,
            flat,
            SIZES,
            replicates=replicates,
            problems=880,
            samples=16,
            seed_sd=0.01,
            own=own,
        )
        test = "corrected, one seed, seed noise of 1 point left out"
        test += "" if own else "; all cells find the same problems easy"
        yield [test, "flat", len(SIZES), "880 x 16", f"{share(made, corrected):.3f}"]


def power_of_the_paper(replicates: int) -> Iterator[Row]:
    """How often the paper's own design would show a valley, were its published scores the truth."""
    yield ["problems", "samples", "1 seed, SD 0", "2 seeds, SD 1", "3 seeds, SD 1", "3 seeds, SD 2"]
    for problems in (279, 880):
        for samples in (1, 4, 16):
            found = []
            for seeds, sd in ((1, 0.0), (2, 0.01), (3, 0.01), (3, 0.02)):
                rng = np.random.default_rng([5, problems, samples, seeds, round(1000 * sd)])
                made = curves(
                    rng, PAPER, PAPER_SIZES, replicates=replicates, problems=problems,
                    samples=samples, seeds=seeds, seed_sd=sd,
                )  # fmt: skip
                found.append(f"{share(made, corrected):.3f}")
            yield [problems, samples, *found]


def turning_points(replicates: int) -> Iterator[Row]:
    """Trough, depth and recovery of a curve that crosses its baseline inside the grid."""
    yield ["problems", "samples", "seeds", "seed SD", "recovered in the grid", "median bias, log10 size",
           "recovery's interval", "depth's interval", "trough's interval"]  # fmt: skip
    depth = WITH_VALLEY[0] - min(WITH_VALLEY)
    for problems, samples, seeds, sd in ((279, 4, 1, 0.0), (279, 4, 3, 0.01), (880, 16, 3, 0.02)):
        rng = np.random.default_rng([6, problems, samples, seeds])
        errors, held = [], np.zeros(3)
        for curve in curves(
            rng, WITH_VALLEY, SIZES, replicates=replicates, problems=problems, samples=samples,
            seeds=seeds, seed_sd=sd,
        ):  # fmt: skip
            found = landmarks(curve, seed_noise(curve.cells), draws=DRAWS)
            errors.append(math.log10((found.recovery_size or math.nan) / RECOVERY))
            low, high = found.recovery_range or (math.nan, math.nan)
            held += [
                low <= RECOVERY <= high,
                found.depth.low <= depth <= found.depth.high,
                found.trough_range[0] <= 128 <= found.trough_range[1],
            ]
        inside = np.isfinite(errors)
        yield [problems, samples, seeds, sd, f"{inside.mean():.3f}",
               f"{np.median(np.array(errors)[inside]):+.3f}", *(f"{h:.3f}" for h in held / replicates)]  # fmt: skip


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "one-sample": intervals_of_one_sample,
    "coverage": coverage,
    "few-flips": few_flips,
    "false-valleys": false_valleys,
    "wrong-tests": what_goes_wrong,
    "paper-power": power_of_the_paper,
    "turning-points": turning_points,
    **SAMPLING,
    **VERDICTS,
}


def lines_of(rows: Iterator[Row]) -> Iterator[str]:
    """Rows as a Markdown table, the first one its head."""
    for number, row in enumerate(rows):
        yield f"| {' | '.join(map(str, row))} |"
        if number == 0:
            yield f"|{' --- |' * len(row)}"


def write(name: str, text: str) -> None:
    """Put a part's table between its comments in the document."""
    start, end = f"<!-- simulated: {name} -->", "<!-- end -->"
    found = DOCUMENT.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    DOCUMENT.write_text(pattern.sub(f"{start}\n{text}\n{end}", found), encoding="utf-8")


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}; default: all"
    )
    parser.add_argument("--replicates", type=int, default=4000, help="default: 4000")
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/statistics.md"
    )
    options = parser.parse_args()
    for name in options.parts or PARTS:
        start = time.process_time()
        print(f"{name}, {options.replicates} replicates:", flush=True)
        lines = []
        for line in lines_of(PARTS[name](options.replicates)):
            print(line, flush=True)
            lines.append(line)
        print(f"{time.process_time() - start:.0f} CPU-seconds", file=sys.stderr, flush=True)
        if options.write:
            write(name, "\n".join(lines))


if __name__ == "__main__":
    main()
