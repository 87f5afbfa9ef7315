"""Every arm beside its size: how its answers end, how long they are, what its training took."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from arms import STEPS_AXIS, Arm, View, cell_of, noise_of
from collect import Collected
from controls import RATES, estimate, finite
from results import Key
from sentences import Document
from trainings import Training

from valley.statistics import score_interval


def behaviour(
    view: View,
    collected: Collected,
    trained: dict[str, Training],
    student: str,
    otherwise: dict[Key, list[str]],
) -> list[Document]:
    """Score, completion and think-closed rates of every arm with intervals; the rest without.

    `train` holds means over seeds: optimizer steps, tokens that were trained on over all steps, and hours
    of `unit`; None of a baseline. `made_otherwise` says with what a score was made that is not as of most.
    """
    table = collected.table
    rows = table[(table["profile"] == view.profile) & (table["state"] == "done")]
    noise = {name: noise_of(view.counts, rate) for name, rate in RATES.items()}
    entries = []
    for arm, seeds in view.counts.items():
        entry = asdict(arm) | {"profile": view.profile, "student": student}
        cell = view.cell(arm)
        assert cell is not None
        entry["score"] = estimate(score_interval(cell, view.noise))
        for name, rate in RATES.items():
            rated = cell_of(arm, seeds, rate)
            assert rated is not None
            entry[name] = estimate(score_interval(rated, noise[name]))
        own = rows[_rows_of(arm, rows)]
        for name in ("pass@1_completed", "completion_tokens_median"):
            entry[name] = _mean(own, name)
        entry["train"] = _train(own, trained) if arm.size else None
        facts = (fact for cell in own["cell"] for fact in otherwise.get((cell, view.profile), ()))
        entry["made_otherwise"] = sorted(set(facts))
        entries.append(entry)
    return entries


def _rows_of(arm: Arm, rows: pd.DataFrame) -> pd.Series:
    chosen = (rows["stage"] == arm.stage) & (rows["size"] == arm.size)
    for axis in ("difficulty", "correctness"):
        chosen &= rows[axis] == getattr(arm, axis)
    if STEPS_AXIS in rows and not rows[STEPS_AXIS].dropna().empty:
        wanted = rows[STEPS_AXIS]
        if arm.steps is not None:
            chosen &= wanted == arm.steps
        elif rows.loc[rows["size"] > 0, STEPS_AXIS].isna().any():
            chosen &= wanted.isna()
    return chosen


def _mean(rows: pd.DataFrame, column: str) -> float | None:
    if column not in rows:
        return None
    return finite(float(rows[column].astype(float).mean()))


def _train(rows: pd.DataFrame, trained: dict[str, Training]) -> Document:
    ran = [trained[cell] for cell in rows["cell"] if cell in trained]
    units = {one.unit for one in ran if one.unit is not None}
    hours: list[Any] = [one.hours for one in ran if one.hours is not None]
    # An arm of which one seed ran on a GPU and another on CPUs has no common hours.
    unit = units.pop() if len(units) == 1 else None
    return {
        "steps": _mean(rows, "steps"),
        "tokens": _mean(rows, "train_tokens"),
        "unit": unit,
        "hours": float(np.mean(hours)) if hours and unit else None,
    }
