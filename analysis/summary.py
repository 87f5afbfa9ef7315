"""What a sweep says, as one JSON document that the figures and the report are drawn from.

1. `arms.py` indexes each decoding profile's cells by what was trained, as pass rates.
2. `_series` puts a stage's size curve through the valley test, for a profile or for one seed of it.
3. `controls.py` has matched-step twins, other profiles, and the pairs of difficulty and correctness.
4. `measures.py` has every arm's rates, lengths and costs, `trainings.py` the losses, `problem_levels.py` the
   scores by difficulty of the evaluation's problems, `footing.py` what all of it stands on.
5. `summarise` composes them and adds the sentences (`sentences.py`), what is missing, and provenance.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import checks
import continuous
import controls
import further_sentences
import sentences
from arms import Arm, View, asked_k, baseline_of, by_student, main_curve, views_of
from collect import Collected
from controls import estimate, finite, rate_correlations
from footing import footing, made_otherwise, provenance
from measures import behaviour
from problem_levels import by_level, problem_levels
from sentences import Document
from size_unit import counted_in, unit, unit_of
from trainings import loss_curves, trainings

from valley.errors import UserError
from valley.statistics import Cell, SeedNoise, score_interval
from valley.statistics.curve import Comparison, overturning_seed_sd, valley_test
from valley.statistics.draws import Curve
from valley.statistics.landmarks import landmarks

SCHEMA = "valley.verdict_on_sweep/1"


def _series(
    view: View,
    stage: int,
    subset: tuple[str, str],
    alone: bool = False,
    further_k: tuple[int, ...] = (),
) -> Document:
    """A stage's baseline and size curve, its landmarks, and the verdict on it.

    `alone`: one seed taken by itself, whose overturning seed noise need not be computed. `further_k`: the k
    above 1 whose pass@k was asked for.
    """
    baseline = view.cell(baseline_of(stage))
    planned = view.sizes(stage, subset)
    there = [(arm, cell) for arm in planned if (cell := view.cell(arm)) is not None]
    document: Document = {
        "profile": view.profile,
        "stage": stage,
        "difficulty": subset[0],
        "correctness": subset[1],
        "baseline": None if baseline is None else estimate(score_interval(baseline)),
        "curve": [_point(view, arm, cell) for arm, cell in there],
        "missing_sizes": [
            arm.size for arm in planned if len(view.counts.get(arm, {})) < view.planned[arm]
        ],
        "seed_noise": None
        if view.noise is None
        else {"sd": view.noise.sd, "degrees_of_freedom": view.noise.df},
    }
    document |= dict.fromkeys(
        ("trough", "depth", "recovery_size", "shape", "continuous", "truncation", "deciding")
    )
    document |= {"pass_at_k": {}, "continuous_not_shown": []}
    if baseline is None or not there:
        lacking = "baseline" if baseline is None else "sizes"
        document["valley"] = {
            "verdict": "INCONCLUSIVE",
            "significant": False,
            "recovered_above_baseline": False,
            "fell": False,
            "seeds_measured": view.noise is not None,
            "lacking": lacking,
        }
        return document
    curve = Curve(baseline, tuple(a.size for a, _ in there), tuple(cell for _, cell in there))
    document |= _landmarks(curve, view.noise) | {"valley": _verdict(curve, view.noise, alone)}
    if alone:
        return document
    document["shape"] = checks.shape(curve, document["trough"]["size"], view.noise)
    found, not_shown = continuous.metrics(view, stage, subset, document["trough"]["size"])
    at_k, none_at_k = continuous.metrics(
        view, stage, subset, document["trough"]["size"], [continuous.pass_at(k) for k in further_k]
    )
    document |= {"continuous": found, "pass_at_k": at_k}
    document["continuous_not_shown"] = [*not_shown, *none_at_k]
    document["truncation"] = checks.truncation(view, stage, [arm for arm, _ in there])
    document["deciding"] = checks.what_decides(curve, view.noise)
    twinned = any(arm.steps and arm.size == document["trough"]["size"] for arm in view.planned)
    document["valley"]["next"] = further_sentences.next_step(document, twinned)
    return document


def _point(view: View, arm: Arm, cell: Cell) -> Document:
    seeds = sorted(view.counts[arm])
    return {
        "size": arm.size,
        "steps": view.steps[arm],
        **estimate(score_interval(cell, view.noise)),
        "seeds": dict(zip(map(str, seeds), cell.rates.mean(axis=1).tolist(), strict=True)),
    }


def _landmarks(curve: Curve, noise: SeedNoise | None) -> Document:
    marks = landmarks(curve, noise)
    trough = curve.cells[curve.sizes.index(marks.trough_size)]
    recovery = None
    if marks.recovery_size is not None and marks.recovery_range is not None:
        low, high = marks.recovery_range
        recovery = {
            "value": finite(marks.recovery_size),
            "interval": [finite(low), finite(high)],
            "largest_size": curve.sizes[-1],
            "fraction_of_draws_below_baseline": marks.recovery_defined,
        }
    return {
        "trough": {
            "size": marks.trough_size,
            "size_interval": list(marks.trough_range),
            **estimate(score_interval(trough, noise)),
        },
        "depth": estimate(marks.depth),
        "recovery_size": recovery,
    }


def _verdict(curve: Curve, noise: SeedNoise | None, alone: bool) -> Document:
    test = valley_test(curve, noise)

    def best(family: tuple[Comparison, ...]) -> Document | None:
        return asdict(min(family, key=lambda c: (c.p, -c.value))) if family else None

    shown_falls = {fall.size for fall in test.below if fall.shown}
    after_fall = tuple(rise for rise in test.rises if rise.other in shown_falls)
    document: Document = {
        "verdict": test.verdict,
        "significant": test.verdict == "VALLEY",
        "recovered_above_baseline": bool(test.recovered),
        "recovered_sizes": list(test.recovered),
        "fell": bool(shown_falls),
        "seeds_measured": test.seeds_measured,
        "fall": asdict(test.fall) if test.fall else best(test.below),
        "rise": asdict(test.rise) if test.rise else best(after_fall or test.rises),
        "below_baseline": [asdict(comparison) for comparison in test.below],
        "above_baseline": [asdict(comparison) for comparison in test.above],
    }
    if test.verdict == "VALLEY" and noise is None and not alone:
        document["overturning_seed_sd"] = overturning_seed_sd(curve)
    if test.verdict == "INCONCLUSIVE":
        enough = len(curve.sizes) > 1
        document["lacking"] = ("rise" if shown_falls else "fall") if enough else "second size"
    return document


def _per_seed(view: View, stage: int, subset: tuple[str, str]) -> list[Document]:
    """The verdict on each seed's own curve: the sizes that the seed has, and no seed noise."""
    arms = view.sizes(stage, subset)
    seeds = sorted({seed for arm in arms for seed in view.counts.get(arm, {})})
    verdicts = []
    for seed in seeds:
        counts = {a: {seed: view.counts[a][seed]} for a in arms if seed in view.counts.get(a, {})}
        counts[baseline_of(stage)] = view.counts.get(baseline_of(stage), {})
        own = replace(view, counts=counts, planned=dict.fromkeys(counts, 1), noise=None)
        series = _series(own, stage, subset, alone=True)
        kept = ("trough", "depth", "recovery_size", "valley")
        sizes = [point["size"] for point in series["curve"]]
        entry = {"seed": seed, "sizes": sizes, **{name: series[name] for name in kept}}
        verdicts.append(entry | {"sentence": sentences.seed(entry)})
    return verdicts


def _further_curves(
    students: dict[str, Collected], profile: str, stage: int, subset: tuple[str, str]
) -> list[Document]:
    """The same curve of further stages and other students, each against its own baseline."""
    found = []
    for number, (student, collected) in enumerate(students.items()):
        view = views_of(collected).get(profile)
        if view is None:
            continue
        stages = sorted({arm.stage for arm in view.planned if view.sizes(arm.stage, subset)})
        for other in stages:
            if number == 0 and other == stage:
                continue
            series = _series(view, other, subset, alone=True) | {"student": student}
            series["valley"]["sentence"] = f"{student}: {sentences.verdict(series)}"
            found.append(series)
    return found


def summarise(collected: Collected, profile: str | None = None) -> Document:
    """The document written as `valley.json`; every number in figures and report is in it.

    Args:
        collected: A sweep, filtered to what can be one curve.
        profile: The decoding profile that verdicts are drawn from; the manifest's first by default.

    Raises:
        UserError: no such profile; several values on a further axis; several problem sets.
    """
    with counted_in(unit_of(collected)):
        return _summarised(collected, profile)


def _summarised(collected: Collected, profile: str | None) -> Document:
    students = by_student(collected)
    student, own = next(iter(students.items()))
    views = views_of(own)
    if profile is not None and profile not in views:
        raise UserError(f"--profile {profile}: not in sweep; profiles: {', '.join(views)}")
    main = views[profile or next(iter(views))]
    stage, subset = main_curve(main)
    further_k = asked_k(own)
    series = _series(main, stage, subset, further_k=further_k)
    others = [view for view in views.values() if view is not main]
    other_series = [_series(view, stage, subset, further_k=further_k) for view in others]
    trough = series["trough"]
    compared = []
    if trough is not None:
        arm = Arm(stage, trough["size"], *subset)
        sizes = len(series["curve"])
        found = (controls.against_profile(main, view, stage, arm, sizes) for view in others)
        compared = [entry for entry in found if entry is not None]
    every = [main, *others]
    delta = checks.equivalence_delta(collected.folder)
    trained = trainings(collected)
    further = _further_curves(students, main.profile, stage, subset)
    otherwise = made_otherwise(collected)
    measured = [
        entry
        for name, sweep in students.items()
        for view in views_of(sweep).values()
        for entry in behaviour(view, sweep, trained, name, otherwise)
    ]
    document: Document = {
        "schema": SCHEMA,
        "sweep": collected.sweep,
        "student": student,
        "students": list(students),
        "size_in": unit(),
        **series,
        "seeds": _per_seed(main, stage, subset),
        "twins": [entry for view in every for entry in controls.twins(view)],
        "profiles": {view.profile: s for view, s in zip(others, other_series, strict=True)},
        "profile_comparisons": compared,
        "contrasts": [entry for view in every for entry in controls.contrasts(view, delta)],
        "contrasts_planned": bool(
            (collected.table[["difficulty", "correctness"]] != "all").any(axis=None)
        ),
        "contrasts_missing": [e for view in every for e in controls.contrasts_missing(view)],
        "interactions": [entry for view in every for entry in controls.interactions(view)],
        "correlations": rate_correlations(main),
        "behaviour": measured,
        "further_curves": further,
        "by_level": by_level(main, problem_levels(own), stage, subset),
        "losses": loss_curves(collected, trained),
        "overlays": [],
        "planned": len(collected.table),
        "missing": [
            dict(zip(("cell", "profile", "reason"), row, strict=True)) for row in collected.missing
        ],
        "damaged": collected.damaged,
        "provenance": provenance(collected),
        "footing": footing(collected),
    }
    document["valley"]["sentence"] = sentences.verdict(document)
    for other in other_series:
        other["valley"]["sentence"] = sentences.verdict(other)
    extra = [document["by_level"]["sentence"], *(one["valley"]["sentence"] for one in further)]
    document["sentences"] = [*filter(None, extra), *sentences.all_of(document)]
    return document
