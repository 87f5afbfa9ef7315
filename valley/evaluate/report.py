"""The report of a grading: a short table for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from valley.evaluate.samples import STATUSES, Verdict, verdicts_digest


def report(
    verdicts: Sequence[Verdict],
    scores: dict[str, Any] | None,
    mode: str,
    isolation: str,
    took_s: float,
) -> str:
    """Statuses, and each pass@k of all problems and of those without a flag.

    Args:
        scores: what `score` returned, or None where there is no score.
    """
    problems = len({verdict.problem_id for verdict in verdicts})
    counts = Counter(verdict.status for verdict in verdicts)
    lines = [
        f"graded {len(verdicts)} samples of {problems} problems in {took_s:.1f} s "
        f"(mode {mode}, isolation {isolation})",
        f"verdicts without times: sha256 {verdicts_digest(verdicts)[:16]}",
        "",
        *(f"{status:<28}{counts[status]:>9}" for status in STATUSES if counts[status]),
    ]
    if scores is None:
        return "\n".join(lines)
    metrics, flags = scores["metrics"], scores["flags"]
    names = [name for name in metrics if name.startswith("pass@") and "_" not in name]
    lines += ["", f"{'':<22}{'problems':>15}" + "".join(f"{name:>9}" for name in names)]
    flagged = metrics["flagged_problems"]
    for label, count, suffix in (
        ("all problems", metrics["problems"], ""),
        ("without flagged ones", metrics["problems"] - flagged, "_unflagged"),
    ):
        values = (metrics[name + suffix] for name in names)
        shown = "".join(f"{'–' if value is None else f'{value:.4f}':>9}" for value in values)
        lines.append(f"{label:<22}{count:>15}{shown}")
    if flags:
        told = ", ".join(f"{flag} {len(members)}" for flag, members in flags.items())
        lines.append(f"flagged: {told}")
    return "\n".join(lines)
