"""What stands beside a curve's verdict: cut-off answers, the shape of the rise, what would decide."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import further_sentences as words
import numpy as np
from arms import Arm, View, baseline_of, cell_of
from controls import estimate
from results import Counts
from sentences import Document

from valley.statistics import Cell, SeedNoise
from valley.statistics.censoring import censored_rates, survival
from valley.statistics.deciding import deciding
from valley.statistics.draws import Curve
from valley.statistics.shape import shape_after


def equivalence_delta(sweep_folder: Path) -> float | None:
    """The δ that a sweep's grid fixed, as a score; None where it left it at its default."""
    path = sweep_folder / "sweep.yaml"
    if not path.is_file():
        return None
    import yaml

    settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return settings.get("analysis", {}).get("equivalence_delta")


def truncation(view: View, stage: int, arms: list[Arm]) -> Document:
    """The censoring band of a curve, and whether a valley survives it."""
    ends = _end(view, stage, arms, upper=False), _end(view, stage, arms, upper=True)
    found = survival(*ends, view.noise)
    band = {
        size: [float(low.score), float(high.score)]
        for size, low, high in zip(
            (0, *ends[0].sizes), ends[0].all_cells, ends[1].all_cells, strict=True
        )
    }
    document: Document = {
        "survival": found.verdict,
        "band": {str(size): bounds for size, bounds in band.items()},
        "all_wrong": found.all_wrong.verdict,
        "all_right": found.all_right.verdict,
        "worst_case": found.worst.verdict,
    }
    return document | {"sentence": words.truncation(document)}


def _end(view: View, stage: int, arms: list[Arm], upper: bool) -> Curve:
    def rate(counts: Counts) -> np.ndarray:
        return censored_rates(counts.samples, counts.passed, counts.completed)[upper]

    def cell(arm: Arm) -> Cell:
        found = cell_of(arm, view.counts[arm], rate)
        assert found is not None
        return found

    return Curve(
        cell(baseline_of(stage)), tuple(arm.size for arm in arms), tuple(cell(arm) for arm in arms)
    )


def shape(curve: Curve, trough_size: int, noise: SeedNoise | None) -> Document:
    """How the curve rises after its trough."""
    found = shape_after(curve, trough_size, noise)
    document: Document = {
        "verdict": found.verdict,
        "sizes": list(found.sizes),
        "curvature": {c.scale: estimate(c.estimate) | {"p": c.p} for c in found.curvatures},
    }
    return document | {"sentence": words.shape(document)}


def what_decides(curve: Curve, noise: SeedNoise | None) -> Document | None:
    """The designs that would decide about a valley; None of fewer than two sizes or problems."""
    found = deciding(curve, noise)
    return None if found is None else asdict(found)
